"""What a batch has written so far and may write next, in arrays.

SentT' is known but for its labels, so a draft of all that is left is known once a label is guessed for every word. Its segments:

    segment 0         the start: no label, then s0
    segment 1 ... L   the label of a word, then its sentinel
    segment L + 1     the end: no label, then </s>

Drafts are flat: one entry per drafted token, row after row. Rows of a batch that have ended are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hyperloader.formulations.decoding.labels import CLOSED, EMPTY, IN, NONE, OPEN, OUT, LabelTables
from hyperloader.text.sentt import SENTINELS
from hyperloader.text.t5_vocabulary import EOS, PAD


class Draft(NamedTuple):
    """The tokens that the active rows may write next; all arrays have the shape (drafted tokens,), row by row.

    Attributes:
        row: which of the active rows.
        position: place in what the row writes; its first token has 1, the decoder's start token 0.
        token: the guess.
        segment: of SentT'.
        node: of the label tries, before the token.
        separator: the token that would end the segment here.
    """

    row: np.ndarray
    position: np.ndarray
    token: np.ndarray
    segment: np.ndarray
    node: np.ndarray
    separator: np.ndarray


class Drafts:
    """Written and guessed tokens of a batch.

    Args:
        tables: the labels.
        guesses: for each row the numbers of the labels that its words may get.
        limit: tokens that a row may write, None: as many as it takes.
        constrained: labels are guessed only where they may be written.

    Attributes:
        active: the rows that go on.
        ids: (rows, longest + 1), the decoder's start token first; valid up to `written` ids after it.
        probabilities: (rows, longest + 1), of these ids, in the same places.
    """

    def __init__(self, tables: LabelTables, guesses: Sequence[Sequence[int]], limit: int | None, *, constrained: bool):
        self._tables, self._lengths, self._constrained = tables, np.array([len(row) for row in guesses]), constrained
        rows, longest = len(guesses), max(self._lengths)
        self._limit = limit or (longest + 1) * tables.pieces_KM.shape[1] + 1
        self.active = np.arange(rows)
        self.ids = np.full((rows, self._limit + 1), PAD)
        self.probabilities = np.ones(self.ids.shape)
        self.written = np.zeros(rows, int)
        self._segment, self._node = np.zeros(rows, int), np.full(rows, NONE)
        self._labels = np.full((rows, longest + 2), EMPTY)
        for row, guess in zip(self._labels, guesses, strict=True):
            row[1 : len(guess) + 1] = guess
        self._window = np.full(rows, self._limit)

    def draft(self) -> Draft:
        """All that the active rows may write next, by the present guesses."""
        tables, active = self._tables, self.active
        lengths, current = self._lengths[active], self._segment[active]
        labels = self._possible_labels()
        rows, segments = np.arange(len(active)), np.arange(labels.shape[1])
        # a token that no label goes on with is followed by the sentinel
        labels[rows[self._node[active] == NONE], current[self._node[active] == NONE]] = EMPTY
        done = np.zeros_like(labels)
        done[rows, current] = tables.depth_N[self._node[active]]
        sizes = tables.count_K[labels] + 1 - done
        sizes[(segments < current[:, None]) | (segments > lengths[:, None] + 1)] = 0

        flat = sizes.ravel()
        row, segment = (np.repeat(grid.ravel(), flat) for grid in np.indices(sizes.shape))
        entry = np.arange(len(row))
        place = entry - np.repeat(np.cumsum(flat) - flat, flat) + done[row, segment]
        totals = sizes.sum(1)
        order = entry - np.repeat(np.cumsum(totals) - totals, totals)
        label = labels[row, segment]
        after_span = labels[row, segment - 1] >= IN if self._constrained else np.ones(len(row), bool)
        separator = np.where(segment > lengths[row], EOS, tables.vocabulary.sentinel(segment))
        draft = Draft(
            row=row,
            position=self.written[active][row] + 1 + order,
            token=np.where(place < tables.count_K[label], tables.pieces_KM[label, place], separator),
            segment=segment,
            node=tables.path_K2M[label, np.where(after_span, OPEN, CLOSED), place],
            separator=separator,
        )
        kept = (draft.position <= self._limit) & (order < self._window[active][row])
        draft = Draft(*(array[kept] for array in draft))
        self.ids[active[draft.row], draft.position] = draft.token
        return draft

    def advance(self, draft: Draft, answers: np.ndarray, guesses: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Keep each row's longest prefix that the model agrees with and the model's own next token; guess the rest anew.

        Args:
            draft: what `draft` returned.
            answers: the tokens that the model writes in the places of the drafted ones, given all drafted ones before; (drafted tokens,).
            guesses: what labels are guessed from; the same, but that `I` may stand anywhere; (drafted tokens,).
            probabilities: of the answers; (drafted tokens,).

        Returns:
            Which of the active rows go on, (active rows,); the others are no longer active.
        """
        tables, active = self._tables, self.active
        entry = np.arange(len(draft.row))
        stop = np.cumsum(np.bincount(draft.row, minlength=len(active))) - 1
        # of several assignments to one place the last one counts: from the end, so that it is the first difference
        wrong = np.flatnonzero(answers != draft.token)[::-1]
        stop[draft.row[wrong]] = wrong
        kept = entry <= stop[draft.row]
        rows = active[draft.row]
        self.ids[rows[kept], draft.position[kept]] = answers[kept]
        self.probabilities[rows[kept], draft.position[kept]] = probabilities[kept]

        labels = tables.guess_NC[tables.opened_N[draft.node], tables.column_of(guesses)]
        labels[stop] = tables.guess_NC[draft.node[stop], tables.column_of(answers[stop])]
        guessed = np.flatnonzero((labels >= 0) & (~kept & (guesses != draft.token) | (entry == stop[draft.row])))[::-1]
        self._labels[rows[guessed], draft.segment[guessed]] = labels[guessed]

        last, segment, node = answers[stop], draft.segment[stop], draft.node[stop]
        self._move(last, segment, node)
        accepted = draft.position[stop] - self.written[active]
        self.written[active] = draft.position[stop]
        unexpected = (tables.column_of(last) == tables.end) & (last != draft.separator[stop])
        irregular = (self._window[active] < self._limit) | (labels[stop] < 0) | unexpected
        self._window[active[irregular]] = 2 * accepted[irregular]
        going = (last != EOS) & (self.written[active] < self._limit)
        self.active = active[going]
        return going

    def labels(self) -> list[list[int]]:
        """The numbers of the labels that each row's words have now."""
        return [row[1 : length + 1].tolist() for row, length in zip(self._labels, self._lengths, strict=True)]

    def _move(self, token: np.ndarray, segment: np.ndarray, node: np.ndarray) -> None:
        """Go on from the last token of each active row: to the word after a sentinel, or further into a label."""
        tables, active = self._tables, self.active
        sentinel = tables.vocabulary.size - 1 - token
        is_sentinel = (sentinel >= 0) & (sentinel < SENTINELS)
        # sentinels after that of the last word lead to the end
        following = np.minimum(sentinel, self._lengths[active]) + 1
        in_words = (following >= 1) & (following <= self._lengths[active])
        self._segment[active] = np.where(is_sentinel, following, segment)
        self._node[active] = np.where(is_sentinel, np.where(in_words, tables.root, NONE), tables.child_NC[node, tables.column_of(token)])

    def _possible_labels(self) -> np.ndarray:
        """The guesses of the active rows; constrained, an `I` that continues no span becomes `O`."""
        labels = self._labels[self.active]
        if not self._constrained:
            return labels
        # the last label before each that is not `I`
        places = np.where(labels != IN, np.arange(labels.shape[1]), 0)
        opening = np.take_along_axis(labels, np.maximum.accumulate(places, axis=1), axis=1)
        return np.where((labels == IN) & (opening <= OUT), OUT, labels)

"""The labels of a task as tables over the tokens that write them: a trie, and what it completes to.

Nodes of the trie are what of a label is already written. There are two tries, one for words after a span, where `I` may
continue it, and one for all others, where it may not; both number their nodes in one table. Columns are the tokens that occur in
labels, then END, which stands for whatever ends a label there (the word's sentinel), and OTHER for all other tokens.

Shape suffixes: K labels, M longest label in tokens, N nodes, C columns of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hyperloader.text.sentt import INSIDE, OUTSIDE, SENTINELS
from hyperloader.text.t5_vocabulary import EOS, Vocabulary

# labels by number: nothing written, `O`, `I`, then the slot types
EMPTY, OUT, IN = range(3)
# the node outside both tries
NONE = 0
CLOSED, OPEN = range(2)


class LabelTables:
    """Tables of the labels that a task may write.

    Args:
        vocabulary: of the backbone.
        types: the slot types, which the vocabulary can write.

    Attributes:
        numbers: of the labels.
        columns: the tokens of the columns, (C,); `end` and `other` are the numbers of the two columns after them.
        pieces_KM: tokens of each label, `count_K` of them.
        path_K2M: the node before each token of a label and after the last, in the closed and in the open trie.
        child_NC: the node after a token; `root` is the one in the open trie where a label starts.
        guess_NC: the first label, in the order of the labels, that goes on with that token or ends there; -1 where there is none.
        allowed_NC: which tokens, and whether END, continue a label.
        opened_N: the same node in the open trie.
        depth_N: tokens written.
    """

    def __init__(self, vocabulary: Vocabulary, types: Iterable[str]):
        self.vocabulary = vocabulary
        self.numbers = {name: number for number, name in enumerate((OUTSIDE, INSIDE, *types), OUT)}
        labels = [(), *map(vocabulary.label_pieces, self.numbers)]
        K, M = len(labels), max(map(len, labels))
        self.columns = np.unique(np.concatenate([np.array(label, int) for label in labels]))
        self.end, self.other = len(self.columns), len(self.columns) + 1
        self._column_of = np.full(vocabulary.size, self.other)
        self._column_of[self.columns] = np.arange(len(self.columns))
        self._column_of[EOS] = self._column_of[-SENTINELS:] = self.end

        self.count_K = np.array([len(label) for label in labels])
        self.pieces_KM = np.zeros((K, M + 1), int)
        self.path_K2M = np.full((K, 2, M + 1), NONE)
        nodes: dict[tuple[int, tuple[int, ...]], int] = {}
        for number, label in enumerate(labels[1:], 1):
            self.pieces_KM[number, : len(label)] = label
            for kind in (CLOSED, OPEN) if number != IN else (OPEN,):
                for end in range(len(label) + 1):
                    self.path_K2M[number, kind, end] = nodes.setdefault((kind, label[:end]), len(nodes) + 1)
        self.root = nodes[OPEN, ()]

        shape = (len(nodes) + 1, len(self.columns) + 2)
        self.child_NC, self.guess_NC = np.full(shape, NONE), np.full(shape, -1)
        self.allowed_NC = np.zeros((shape[0], self.end + 1), bool)
        self.opened_N, self.depth_N = np.zeros(shape[0], int), np.zeros(shape[0], int)
        self.allowed_NC[NONE, self.end], self.guess_NC[NONE, self.end] = True, EMPTY
        for (kind, prefix), node in nodes.items():
            self.depth_N[node], self.opened_N[node] = len(prefix), nodes[OPEN, prefix]
            # from the last label to the first, so that the first one stays
            for number in range(K - 1, EMPTY, -1):
                label = labels[number]
                if label[: len(prefix)] != prefix or (kind, number) == (CLOSED, IN):
                    continue
                column = self._column_of[label[len(prefix)]] if len(label) > len(prefix) else self.end
                self.guess_NC[node, column], self.allowed_NC[node, column] = number, True
                if column != self.end:
                    self.child_NC[node, column] = nodes[kind, label[: len(prefix) + 1]]

    def column_of(self, tokens: np.ndarray) -> np.ndarray:
        """The columns of tokens; ids after the sentinels, which some models have, are OTHER."""
        inside = tokens < self.vocabulary.size
        return np.where(inside, self._column_of[np.where(inside, tokens, 0)], self.other)

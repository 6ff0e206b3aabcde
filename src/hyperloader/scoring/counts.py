"""Span counts of each test sentence on disk: what comparisons of runs start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyperloader.errors import RunError
from hyperloader.files import readable, write_text
from hyperloader.runs.records import ScoresRecord

COLUMNS = ("sentence", "gold", "predicted", "correct", "cluster")


class SentenceCounts(NamedTuple):
    """Of the sentences of a test set, in its order.

    Attributes:
        spans: gold, predicted and correct ones (sentences, 3).
        clusters: a number for each sentence, that of the first one with the same words.
    """

    spans: np.ndarray
    clusters: np.ndarray


def clusters_of(sentences: Iterable[Sequence[str]]) -> np.ndarray:
    """For each sentence the number of the first one with the same words."""
    first: dict[tuple[str, ...], int] = {}
    return np.array([first.setdefault(tuple(words), number) for number, words in enumerate(sentences)], dtype=np.int64)


def write_counts(path: str | Path, counts: SentenceCounts) -> None:
    """Write them as CSV, a line for each sentence."""
    numbered = np.column_stack([np.arange(len(counts.spans)), *counts])
    write_text(path, "".join(",".join(map(str, row)) + "\n" for row in (COLUMNS, *numbered.tolist())))


def read_counts(path: Path) -> SentenceCounts:
    """What `write_counts` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    readable(path, remedy=ScoresRecord.REMEDY, error=RunError)
    try:
        counts = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.int64, ndmin=2)
    except ValueError as error:
        raise RunError(f"not a table of whole numbers ({error})", file=path, remedy=ScoresRecord.REMEDY) from None
    if counts.shape[1:] != (len(COLUMNS),) or not len(counts) or (counts < 0).any():
        raise RunError(f"not the columns {', '.join(COLUMNS)}, with counts in them", file=path, remedy=ScoresRecord.REMEDY)
    return SentenceCounts(counts[:, 1:4], counts[:, 4])

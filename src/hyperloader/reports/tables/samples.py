"""Scores with their uncertainty: every run's F1 on the test set and on the same bootstrap samples of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from zlib import crc32

import numpy as np

from hyperloader.errors import RunError
from hyperloader.reports.tables.published import AVERAGE
from hyperloader.reports.tables.scores import Cell, Scores, averaged
from hyperloader.scoring.counts import SentenceCounts, read_counts
from hyperloader.scoring.statistics import resampled_f1s


class Samples:
    """Scores on resampled test sets; sums and differences of them are those on the same sample.

    Args:
        scores: of runs, each with its `counts/`.
        datasets: titles of the corpora that the average is over.
    """

    def __init__(self, scores: Scores, datasets: Iterable[str]):
        self.scores, self.datasets = scores, list(datasets)

    def f1(self, title: str, fraction: float, dataset: str) -> dict[int, np.ndarray]:
        """Headline F1s (1 + samples) by seed, first that on the test set; empty if not run."""
        if dataset == AVERAGE:
            return averaged([self.f1(title, fraction, name) for name in self.datasets])
        return self._f1s.get((title, fraction, dataset), {})

    @cached_property
    def _counts(self) -> dict[tuple[str, float, str], dict[int, SentenceCounts]]:
        test_sets: dict[str, tuple[Cell, SentenceCounts]] = {}
        counts = {}
        for key, cells in self.scores.cells.items():
            counts[key] = {seed: read_counts(cell.counts) for seed, cell in cells.items()}
            for seed, cell in cells.items():
                check_same_test_set(test_sets.setdefault(key[2], (cell, counts[key][seed])), (cell, counts[key][seed]))
        return counts

    @cached_property
    def _f1s(self) -> dict[tuple[str, float, str], dict[int, np.ndarray]]:
        found: dict[tuple[str, float, str], dict[int, np.ndarray]] = {key: {} for key in self._counts}
        for dataset in dict.fromkeys(dataset for _, _, dataset in found):
            places = [(key, seed) for key, counts in self._counts.items() if key[2] == dataset for seed in counts]
            for (key, seed), samples in zip(places, f1_samples([self._counts[key][seed] for key, seed in places], dataset), strict=True):
                found[key][seed] = samples
        return found


def f1_samples(counts: Sequence[SentenceCounts], dataset: str) -> np.ndarray:
    """F1s (runs, 1 + samples) of runs on the same test set."""
    return resampled_f1s(np.stack([own.spans for own in counts]), counts[0].clusters, draw_seed(dataset))


def draw_seed(dataset: str) -> int:
    """The seed of all draws from a test set: another one for each corpus, whichever corpora there are beside it."""
    return crc32(dataset.encode())


def check_same_test_set(first: tuple[Cell, SentenceCounts], second: tuple[Cell, SentenceCounts]) -> None:
    """Refuse to compare runs sentence by sentence that were scored on different sentences.

    Raises:
        RunError: the numbers of gold spans, the repeated sentences, or the checksums of the test sets in the signatures, differ.
    """
    (one, counts), (other, others) = first, second
    same = np.array_equal(counts.spans[:, 0], others.spans[:, 0]) and np.array_equal(counts.clusters, others.clusters)
    if one.test_set != other.test_set or not same:
        raise RunError(f"another test set than that of {one.counts}", file=other.counts, remedy="compare runs on the same data")

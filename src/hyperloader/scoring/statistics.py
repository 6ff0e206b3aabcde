"""How far another test set would move a score; by drawing from the test sentences (docs/statistics.md).

All start from span counts: integers (..., sentences, 3), the gold, the predicted and the correct spans of each test sentence. What is
drawn is clusters of sentences with equal words, since a repeated sentence is no second piece of evidence. Models stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000
# numbers in a block of draws
BLOCK = 4_000_000


def micro_f1(counts: np.ndarray) -> np.ndarray:
    """Micro F1 (...) of summed span counts (..., 3); 0 where there is no span at all."""
    gold, predicted, correct = np.moveaxis(counts, -1, 0)
    return 2 * correct / np.maximum(gold + predicted, 1)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of bootstrap samples."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def cluster_sums(counts: np.ndarray, clusters: np.ndarray | None = None) -> np.ndarray:
    """Span counts (..., sentences, 3) summed over the sentences of each cluster, (..., clusters, 3); without clusters, as they are.

    Args:
        clusters: a number for each sentence, the same for those that are drawn together.
    """
    if clusters is None:
        return counts
    names, places = np.unique(clusters, return_inverse=True)
    sums = np.zeros((*counts.shape[:-2], len(names), 3), dtype=counts.dtype)
    np.add.at(sums, (..., places, slice(None)), counts)
    return sums


def resampled_f1s(systems: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Micro F1 of systems on the test set and on bootstrap samples of it, which are the same for all systems.

    Args:
        systems: span counts (systems, sentences, 3).
        clusters: see `cluster_sums`.
        seed: of the draws.
        resamples: how many samples.

    Returns:
        F1s (systems, 1 + resamples); the first of each system is that on the test set itself.
    """
    sums = cluster_sums(systems, clusters)
    count, number, _ = sums.shape
    # floats multiply faster, and hold these whole numbers exactly
    flat = sums.transpose(1, 0, 2).reshape(number, -1).astype(float)
    rng, found = np.random.default_rng(seed), [flat.sum(0)[None]]
    for block in np.array_split(np.arange(resamples), -(-resamples * number // BLOCK)):
        drawn = rng.integers(number, size=(len(block), number)) + number * np.arange(len(block))[:, None]
        found.append(np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape) @ flat)
    return micro_f1(np.concatenate(found).reshape(-1, count, 3)).T


def bootstrap_interval(
    counts: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The percentile bootstrap interval, 95 %, of one system's micro F1 over test sentences.

    Args:
        counts: span counts (sentences, 3).
        clusters: see `cluster_sums`.
        seed: of the draws.
        resamples: how many samples of the test set.
    """
    if not len(counts):
        return 0.0, 0.0
    sums = cluster_sums(counts, clusters)
    # clusters of equal counts are interchangeable: only how often each kind is drawn counts
    kinds, how_many = np.unique(sums, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(sums), how_many / len(sums), size=resamples)
    return interval(micro_f1(drawn @ kinds))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction of the p-values of one family of tests (Holm 1979), in their order."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected.tolist()

"""How sure a score, or a difference of two, is; by drawing from the test sentences (docs/statistics.md).

All start from span counts: integers (..., sentences, 3), the gold, the predicted and the correct spans of each test sentence. What
is drawn again is the test set; models stay as they are, so that none of this says how far another seed would be off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
# of the normal distribution: a two-sided test at 5 % that finds a difference four times out of five (1.96 + 0.84)
DETECTABLE = 2.8016


def micro_f1(counts: np.ndarray) -> np.ndarray:
    """Micro F1 (...) of summed span counts (..., 3); 0 where there is no span at all."""
    gold, predicted, correct = np.moveaxis(counts, -1, 0)
    return 2 * correct / np.maximum(gold + predicted, 1)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of bootstrap samples."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled_f1s(systems: np.ndarray, seed: int = 0, resamples: int = 1000) -> np.ndarray:
    """Micro F1 of systems on the test set and on bootstrap samples of it, which are the same for all systems.

    Args:
        systems: span counts (systems, sentences, 3).
        seed: of the draws.
        resamples: how many samples.

    Returns:
        F1s (systems, 1 + resamples); the first of each system is that on the test set itself.
    """
    count, sentences, _ = systems.shape
    rng = np.random.default_rng(seed)
    drawn = [np.bincount(rng.integers(sentences, size=sentences), minlength=sentences) for _ in range(resamples)]
    # floats multiply faster, and hold these whole numbers exactly
    times = np.stack([np.ones(sentences), *drawn])
    sums = times @ systems.transpose(1, 0, 2).reshape(sentences, -1).astype(float)
    return micro_f1(sums.reshape(-1, count, 3)).T


def swapped_differences(first: np.ndarray, second: np.ndarray, seed: int = 0, rounds: int = 9999) -> np.ndarray:
    """Differences in micro F1 of two systems, after each sentence's outputs were swapped between them or not, by chance.

    This is approximate randomisation (Noreen 1989; Yeh 2000): if it does not matter which system an output came from, the difference
    that was measured is like these. The outputs of all training seeds are swapped together, since the sentences are what is drawn.

    Args:
        first, second: span counts (seeds, sentences, 3) of the systems, on the same sentences.
        seed: of the draws.
        rounds: how many times.

    Returns:
        Differences (1 + rounds), each a mean over training seeds; the first is the one that was measured.
    """
    seeds, sentences, _ = first.shape
    change = (second - first).transpose(1, 0, 2).reshape(sentences, -1)
    # sentences with equal differences are interchangeable: only how many of them are swapped counts
    kinds, how_many = np.unique(change, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    differences = []
    for block in np.array_split(np.arange(rounds), max(1, rounds // 1000)):
        shift = (rng.binomial(how_many, 0.5, size=(len(block), len(how_many))).astype(float) @ kinds).reshape(-1, seeds, 3)
        differences.append((micro_f1(first.sum(1) + shift) - micro_f1(second.sum(1) - shift)).mean(-1))
    measured = (micro_f1(first.sum(1)) - micro_f1(second.sum(1))).mean()
    return np.concatenate([[measured], *differences])


def p_value(differences: np.ndarray) -> float:
    """Two-sided p of what `swapped_differences` returns, (1 + rounds,): how often chance alone is as far from zero as what was measured."""
    # the measured one counts itself, which keeps p above zero; sums of floats may differ in their last digits
    return float(np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction of the p-values of one family of tests (Holm 1979), in their order."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected.tolist()


def detectable_difference(samples: np.ndarray) -> float:
    """The difference that a two-sided test at 5 % would find on four of five test sets like this one.

    Args:
        samples: bootstrap samples of the difference, (resamples,).
    """
    return float(DETECTABLE * np.std(samples, ddof=1))


def bootstrap_interval(counts: np.ndarray, seed: int = 0, resamples: int = 1000) -> tuple[float, float]:
    """The percentile bootstrap interval, 95 %, of one system's micro F1 over test sentences.

    Args:
        counts: span counts (sentences, 3).
        seed: of the draws.
        resamples: how many samples of the test set.
    """
    if not len(counts):
        return 0.0, 0.0
    # sentences of equal counts are interchangeable: only how often each kind is drawn counts
    kinds, how_many = np.unique(counts, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(counts), how_many / len(counts), size=resamples)
    return interval(micro_f1(drawn @ kinds))

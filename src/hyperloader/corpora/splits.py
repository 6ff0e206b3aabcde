"""Seeded choices of sentences: the validation part held out of train, and nested fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from hyperloader.errors import CorpusError


def hold_out(n: int, share: float, seed: int, file: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Hold `share` of `n` sentences out for validation (section 4.1 of the paper: a tenth of the MIT corpora).

    Args:
        n: number of sentences.
        share: of them, in (0, 1).
        seed: of what is drawn.
        file: that they or their share stand in, for the error.

    Returns:
        The indices of train and of validation, each sorted, together every index once. Validation has
        `n * share` sentences, rounded half up.

    Raises:
        CorpusError: one of the two parts would be empty.
    """
    size = math.floor(n * Fraction(str(share)) + Fraction(1, 2))
    if not 0 < size < n:
        message = f"{n} sentences are too few to hold out {share:g} of them for validation"
        raise CorpusError(message, file=file, remedy="give a validation split, or more sentences")
    order = _permutation(n, seed)
    return np.sort(order[size:]), np.sort(order[:size])


def subset(n: int, percent: float, seed: int, most: int | None = None) -> np.ndarray:
    """Choose `percent` of `n` sentences, and at most so many; a smaller choice is inside every larger one of the same seed.

    Args:
        n: number of sentences.
        percent: in (0, 100].
        seed: of the order in which sentences are chosen.
        most: of them; None for all.

    Returns:
        Sorted indices: `n * percent / 100` of them, rounded half up, at least one unless `n` is 0.

    Raises:
        CorpusError: `percent` is not in (0, 100].
    """
    if not 0 < percent <= 100:
        raise CorpusError(f"a fraction of {percent} % is not possible", remedy="choose one above 0 and up to 100")
    size = math.floor(n * Fraction(str(percent)) / 100 + Fraction(1, 2))
    return np.sort(_permutation(n, seed)[: max(size, 1)][:most])


def _permutation(n: int, seed: int) -> np.ndarray:
    # RandomState, not Generator: NumPy promises that its stream stays the same in all later versions
    return np.random.RandomState(seed).permutation(n)

"""What differences between methods decide: one procedure for comparisons, claims and ablations (docs/statistics.md).

A difference has two errors: that of the test sentences, from bootstrap samples, and that of the training seed, from runs of several
seeds. Fewer than three seeds decide nothing about methods. Statements of several differences combine their p-values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import inf, sqrt

import numpy as np

from hyperloader.scoring.statistics import LEVEL, holm

ALPHA = 1 - LEVEL
MARGIN = 0.003
ENOUGH_SEEDS = 3
POWER = 0.8

# a number, then its bootstrap samples, if it has any, (1 + samples,), by training seed
Values = Mapping[int, np.ndarray]


class Verdict(StrEnum):
    """What is said of a statement about methods."""

    CONFIRMED = "confirmed"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    CONTRADICTED = "contradicted"
    TWO_SEEDS = "two seeds"
    ONE_SEED = "one seed"
    NO_PREMISE = "premise fails"
    NOT_RUN = "not run"

    @property
    def of_first(self) -> str:
        """Of the statement that the first of two methods is better: what it says of that one."""
        return {"confirmed": "better", "contradicted": "worse"}.get(self.value, self.value)


# why a statement cannot be decided: the gravest first
OPEN = (Verdict.NOT_RUN, Verdict.NO_PREMISE, Verdict.ONE_SEED, Verdict.TWO_SEEDS)


@dataclass(frozen=True)
class Evidence:
    """One-sided p-values of a statement.

    Attributes:
        holds: small if it holds.
        fails: small if it does not.
        ties: small if what it says to differ is equal within the margin.
        open: why some of it could not be tested, if so.
        tested: whether anything of it was, whatever came of that; without it there is nothing to correct.
    """

    holds: float = 1.0
    fails: float = 1.0
    ties: float = 1.0
    open: Verdict | None = None
    tested: bool = True

    @classmethod
    def untested(cls, reason: Verdict) -> Evidence:
        """Of a statement of which nothing could be tested."""
        return cls(open=reason, tested=False)

    @classmethod
    def exact(cls, holds: bool) -> Evidence:
        """Of a statement about numbers without an error."""
        return cls(holds=float(not holds), fails=float(holds), tested=False)

    @property
    def p(self) -> float:
        """Two-sided: that of the likeliest of the three answers."""
        return min(1.0, 2 * min(self.holds, self.fails, self.ties))

    def verdict(self, corrected: float | None = None) -> Verdict:
        """The answer at 5 %.

        Args:
            corrected: `p` after a correction for several statements; by default as it is.
        """
        factor = corrected / self.p if corrected is not None and self.p else 1.0
        answers = ((self.holds, Verdict.CONFIRMED), (self.fails, Verdict.CONTRADICTED), (self.ties, Verdict.EQUIVALENT))
        return next((answer for p, answer in answers if 2 * p * factor <= ALPHA), self.open or Verdict.INCONCLUSIVE)

    def negated(self) -> Evidence:
        """Of the opposite."""
        return Evidence(self.fails, self.holds, 1.0, self.open, self.tested)


def at_least(number: int, parts: Sequence[Evidence]) -> Evidence:
    """Of the statement that this many of the parts hold: partial conjunction (Benjamini and Heller 2008), whatever their dependence.

    With as many as there are it is a conjunction: it holds if all do, without a correction, and fails if one does, with Bonferroni's.
    """
    if len(parts) == number == 1:
        return parts[0]
    if not 0 < number <= len(parts):
        return Evidence.exact(number <= 0)
    spare = len(parts) - number + 1
    holds, fails = (sorted(getattr(part, side) for part in parts) for side in ("holds", "fails"))
    # a conjunction ties if each part holds or ties
    ties = max(2 * min(part.holds, part.ties) for part in parts) if spare == 1 else 1.0
    reason = next((reason for reason in OPEN if any(part.open is reason for part in parts)), None)
    p_values = (min(1.0, p) for p in (spare * holds[number - 1], number * fails[spare - 1], ties))
    return Evidence(*p_values, reason, any(part.tested for part in parts))


def all_of(parts: Sequence[Evidence]) -> Evidence:
    """Of the statement that all parts hold."""
    return at_least(len(parts), parts)


def exactly(number: int, parts: Sequence[Evidence]) -> Evidence:
    """Of the statement that this many of the parts hold, and no more."""
    return all_of([at_least(number, parts), at_least(number + 1, parts).negated()])


@dataclass(frozen=True)
class Decision:
    """Two methods' scores, their difference, and what it decides.

    Attributes:
        first, other: scores, means over the training seeds that both have.
        seeds: these.
        se_test: standard error of the difference over test sentences.
        sd_seeds: standard deviation of the difference over training seeds; None with one.
        margin: differences below it do not matter.
    """

    first: float
    other: float
    seeds: tuple[int, ...]
    se_test: float
    sd_seeds: float | None
    margin: float = MARGIN

    @property
    def difference(self) -> float:
        """Positive if the first is better."""
        return self.first - self.other

    @property
    def enough(self) -> bool:
        """Whether there are seeds enough to say something about methods."""
        return len(self.seeds) >= ENOUGH_SEEDS

    @property
    def interval(self) -> tuple[float, float]:
        """95 %: over test sentences and training seeds; over test sentences alone, these models as they are, if the seeds are too few."""
        half = self._error.quantile(ALPHA / 2)
        return self.difference - half, self.difference + half

    @property
    def detectable(self) -> float:
        """The smallest true difference that such an experiment would find four times out of five."""
        return self._error.quantile(ALPHA / 2) + self._error.quantile(1 - POWER)

    @property
    def p(self) -> float | None:
        """Two-sided, of no difference between the methods; None if the seeds are too few."""
        return 2 * self._error.tail(abs(self.difference)) if self.enough else None

    @property
    def p_models(self) -> float:
        """Two-sided, of no difference between these trained models, whatever other seeds would give."""
        return 2 * Error(self.se_test).tail(abs(self.difference))

    @property
    def models_differ(self) -> bool:
        """Whether these trained models differ at 5 %."""
        return self.p_models <= ALPHA

    @property
    def evidence(self) -> Evidence:
        """Of the statement that the first is better."""
        if not self.enough:
            return Evidence.untested(Verdict.ONE_SEED if len(self.seeds) == 1 else Verdict.TWO_SEEDS)
        above, below = (self._error.tail(sign * self.difference) for sign in (1, -1))
        ties = max(self._error.tail(self.margin + self.difference), self._error.tail(self.margin - self.difference))
        return Evidence(above, below, ties)

    @property
    def verdict(self) -> Verdict:
        """Of the statement that the first is better, with no correction for other statements."""
        return self.evidence.verdict()

    @cached_property
    def _error(self) -> Error:
        return Error(self.se_test, self.sd_seeds / sqrt(len(self.seeds)), len(self.seeds) - 1) if self.enough else Error(self.se_test)


def decide(first: Values, other: Values, margin: float = MARGIN) -> Decision | None:
    """Compare two methods by their scores on the same test sets, the same bootstrap samples and the same training seeds.

    Args:
        first, other: by training seed, the score and then its bootstrap samples (1 + samples,), as `resampled_f1s` returns them;
            a mean over corpora is a mean of these.
        margin: differences below it do not matter.

    Returns:
        None if they have no seed in common.
    """
    seeds = tuple(sorted(first.keys() & other.keys()))
    if not seeds:
        return None
    both = [np.stack([values[seed] for seed in seeds]) for values in (first, other)]
    change = both[0] - both[1]
    return Decision(
        *(float(values[:, 0].mean()) for values in both),
        seeds,
        float(change.mean(0)[1:].std(ddof=1)) if change.shape[1] > 2 else 0.0,
        float(change[:, 0].std(ddof=1)) if len(seeds) > 1 else None,
        margin,
    )


def verdicts(statements: Sequence[Evidence]) -> list[tuple[float | None, Verdict]]:
    """p after Holm's correction, None for one that was not tested, and the answer, for each of some statements.

    Those that were tested are the family, whatever their p: one that could be left out for being large would make it depend on the data.
    """
    corrected = iter(holm([statement.p for statement in statements if statement.tested]))
    return [(p, own.verdict(p)) for own, p in ((own, next(corrected) if own.tested else None) for own in statements)]


@dataclass(frozen=True)
class Error:
    """The error of a mean that has a normal part and one whose size is estimated from few values.

    Quantiles are squared and added (Howe 1974; Zou and Donner 2008): exact if one part is zero, on the safe side in between.

    Attributes:
        normal: standard error of the first.
        estimated: of the second.
        freedom: degrees of freedom of the second.
    """

    normal: float
    estimated: float = 0.0
    freedom: int = 1

    def quantile(self, tail: float) -> float:
        """How far the error goes with this probability to one side, below one half."""
        from scipy.special import ndtri, stdtrit

        return float(np.hypot(self.normal * ndtri(1 - tail), self.estimated * stdtrit(self.freedom, 1 - tail)))

    def tail(self, distance: float) -> float:
        """The probability of an error as large to one side as this."""
        from scipy.special import ndtr, ndtri, stdtr, stdtrit

        # rounding makes no difference
        if abs(distance) < 1e-12:
            return 0.5
        if distance < 0:
            return 1 - self.tail(-distance)
        if self.normal == 0 or self.estimated == 0:
            score = distance / (self.normal + self.estimated) if self.normal + self.estimated else inf
            return float(ndtr(-score) if self.estimated == 0 else stdtr(self.freedom, -score))
        # the logarithm of the probability by bisection
        low, high = np.log(np.finfo(float).tiny), np.log(0.5)
        for _ in range(60):
            middle = (low + high) / 2
            reached = np.hypot(self.normal * ndtri(np.exp(middle)), self.estimated * stdtrit(self.freedom, np.exp(middle)))
            low, high = (middle, high) if reached > distance else (low, middle)
        return float(np.exp(high))

"""What decides a rule: the paper's own numbers, or ours with their uncertainty."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperloader.reports.tables.published import Paper
from hyperloader.reports.tables.rules import Clause, Measure, Verdict, all_of, count_of
from hyperloader.reports.tables.samples import Samples
from hyperloader.scoring.statistics import LEVEL, interval

Values = dict[int, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """A verdict and the numbers that it rests on, in words."""

    verdict: Verdict
    numbers: str


class Evidence(ABC):
    """Numbers of methods, by training seed; each an array of the number itself, then of its bootstrap samples, if there are any.

    Args:
        paper: for its methods and corpora.
    """

    def __init__(self, paper: Paper):
        self.paper = paper

    @abstractmethod
    def f1(self, title: str, fraction: float, dataset: str) -> Values:
        """Micro F1 on a corpus or on average, empty if not known."""

    @abstractmethod
    def parameters(self, title: str, name: str) -> Values:
        """`trainable` parameters or their `share`, empty if not known."""

    def decide(self, part: Clause) -> Outcome:
        """Whether a chain of inequalities holds."""
        if not part.sign:
            return self._chain(part.measure, list(part.pairs(self.paper.titles)))
        verdicts = self.by_dataset(part)
        groups = {verdict: [name for name, own in verdicts.items() if own is verdict] for verdict in Verdict}
        listed = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in groups.items() if names)
        numbers = f"{len(groups[Verdict.CONFIRMED])} of {len(verdicts)} ({listed})"
        return Outcome(count_of(list(verdicts.values()), part.sign, part.number), numbers)

    def by_dataset(self, part: Clause) -> dict[str, Verdict]:
        """Whether a chain holds on each of the paper's corpora."""
        pairs = list(part.pairs(self.paper.titles))
        return {name: self._chain(Measure("f1", part.measure.fractions, name), pairs).verdict for name in self.paper.datasets}

    def _chain(self, measure: Measure, pairs: list[tuple[str, str]]) -> Outcome:
        values = {title: self._values(measure, title) for title in dict.fromkeys(title for pair in pairs for title in pair)}
        steps = {pair: _step(values[pair[0]], values[pair[1]]) for pair in pairs}
        verdict = all_of([Verdict.NOT_RUN if step is None else _sign(step) for step in steps.values()])
        known = {pair: step for pair, step in steps.items() if step is not None}
        if not known:
            return Outcome(verdict, "")
        shown = ", ".join(f"{title} {_text(measure, _mean(row))}" for title, row in values.items() if row)
        # the one that the chain is closest to breaking at, or breaks at first
        (left, right), (point, low, high) = min(known.items(), key=lambda item: item[1][0])
        between = "" if low == high == point else f" ({_text(measure, low, '+')} to {_text(measure, high, '+')})"
        return Outcome(verdict, f"{shown}; {left} - {right} {_text(measure, point, '+')}{between}")

    def _values(self, measure: Measure, title: str) -> Values:
        if measure.name == "f1":
            return self.f1(title, measure.fractions[0], measure.dataset)
        if measure.name == "fall":
            before, after = (self.f1(title, fraction, measure.dataset) for fraction in measure.fractions)
            return {seed: before[seed] - after[seed] for seed in before.keys() & after.keys()}
        return self.parameters(title, measure.name)


class Printed(Evidence):
    """The numbers that the paper prints.

    Args:
        paper: F1s.
        brackets: parameters by title.
    """

    def __init__(self, paper: Paper, brackets: dict[str, dict[str, float]]):
        super().__init__(paper)
        self.brackets = brackets

    def f1(self, title: str, fraction: float, dataset: str) -> Values:
        return _known(self.paper.f1.get((title, fraction, dataset)))

    def parameters(self, title: str, name: str) -> Values:
        return _known(self.brackets.get(title, {}).get(name))


class Measured(Evidence):
    """Our numbers.

    Args:
        paper: for its methods and corpora.
        samples: F1s.
        counted: parameters by title.
    """

    def __init__(self, paper: Paper, samples: Samples, counted: dict[str, dict[str, float]]):
        super().__init__(paper)
        self.samples, self.counted = samples, counted

    def f1(self, title: str, fraction: float, dataset: str) -> Values:
        return self.samples.f1(title, fraction, dataset)

    def parameters(self, title: str, name: str) -> Values:
        return _known(self.counted.get(title, {}).get(name))


def _known(value: float | None) -> Values:
    return {} if value is None else {0: np.array([value])}


def _step(greater: Values, smaller: Values) -> tuple[float, float, float] | None:
    """The mean difference over training seeds and the ends of its interval; None if it is not known.

    The interval covers that over test sentences (paired bootstrap) and, with several seeds, that over seeds (Student's t).
    """
    seeds = sorted(greater.keys() & smaller.keys())
    if not seeds:
        return None
    by_seed = np.stack([greater[seed] - smaller[seed] for seed in seeds])
    point, samples = float(by_seed[:, 0].mean()), by_seed.mean(0)[1:]
    low, high = interval(samples) if len(samples) else (point, point)
    if len(seeds) > 1:
        from scipy.special import stdtrit

        half = float(stdtrit(len(seeds) - 1, (1 + LEVEL) / 2) * by_seed[:, 0].std(ddof=1) / len(seeds) ** 0.5)
        low, high = min(low, point - half), max(high, point + half)
    return point, low, high


def _sign(step: tuple[float, float, float]) -> Verdict:
    """Whether a difference is positive, as far as its interval tells."""
    _, low, high = step
    return Verdict.CONFIRMED if low > 0 else Verdict.CONTRADICTED if high <= 0 else Verdict.INCONCLUSIVE


def _mean(values: Values) -> float:
    return float(np.mean([row[0] for row in values.values()]))


def _text(measure: Measure, value: Any, sign: str = "") -> str:
    if measure.name == "trainable":
        return f"{value:{sign},.0f}"
    return f"{100 * value:{sign}.2f} %" if measure.name == "share" else f"{value:{sign}.4f}"

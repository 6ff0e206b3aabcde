"""What decides a rule: the paper's own numbers, or ours with their errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperloader.reports.tables.published import Paper
from hyperloader.reports.tables.rules import Clause, Measure
from hyperloader.reports.tables.samples import Samples
from hyperloader.reports.tables.sheet import decimals
from hyperloader.scoring.decisions import MARGIN, Decision, Evidence, Values, Verdict, all_of, at_least, decide, exactly


@dataclass(frozen=True)
class Outcome:
    """The evidence for a statement and the numbers that it rests on, in words."""

    evidence: Evidence
    numbers: str


class Numbers(ABC):
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
        """A number of parameters or a share, see `Measure`, empty if not known."""

    def judge(self, parts: Sequence[Clause], margin: float = MARGIN) -> Outcome:
        """Whether all parts of a rule hold; nothing is decided unless what it takes for granted does."""
        outcomes = {part: self._part(part, margin) for part in parts}
        numbers = "; ".join(own.numbers for own in outcomes.values() if own.numbers)
        given, stated = ([own.evidence for part, own in outcomes.items() if part.given is wanted] for wanted in (True, False))
        premise = all_of(given).verdict() if given else Verdict.CONFIRMED
        if premise is not Verdict.CONFIRMED:
            return Outcome(Evidence.untested(Verdict.NO_PREMISE if premise is Verdict.CONTRADICTED else premise), numbers)
        return Outcome(all_of(stated), numbers)

    def by_dataset(self, part: Clause, margin: float = MARGIN) -> dict[str, Evidence]:
        """Whether a chain holds on each of the paper's corpora."""
        pairs = list(part.pairs(self.paper.titles))
        return {name: self._chain(Measure("f1", part.measure.fractions, name), pairs, margin).evidence for name in self.paper.datasets}

    def _part(self, part: Clause, margin: float) -> Outcome:
        if not part.sign:
            return self._chain(part.measure, list(part.pairs(self.paper.titles)), margin)
        evidence = self.by_dataset(part, margin)
        groups = {verdict: [name for name, own in evidence.items() if own.verdict() is verdict] for verdict in Verdict}
        listed = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in groups.items() if names)
        count = exactly if part.sign == "=" else at_least
        numbers = f"{len(groups[Verdict.CONFIRMED])} of {len(evidence)} ({listed})"
        return Outcome(count(part.number, list(evidence.values())), numbers)

    def _chain(self, measure: Measure, pairs: list[tuple[str, str]], margin: float) -> Outcome:
        values = {title: self._values(measure, title) for title in dict.fromkeys(title for pair in pairs for title in pair)}
        steps = {pair: decide(values[pair[0]], values[pair[1]], margin) for pair in pairs}
        evidence = all_of([self._evidence(measure, step) for step in steps.values()])
        known = {pair: step for pair, step in steps.items() if step is not None}
        if not known:
            return Outcome(evidence, "")
        shown = ", ".join(f"{title} {_text(measure, _mean(row))}" for title, row in values.items() if row)
        # the one that decides: of the largest p, or where none was tested of the smallest difference
        (left, right), step = max(known.items(), key=lambda item: (self._evidence(measure, item[1]).holds, -item[1].difference))
        ends = "" if self.exact(measure) else f" ({' to '.join(_text(measure, end, '+') for end in step.interval)})"
        return Outcome(evidence, f"{shown}; {left} - {right} {_text(measure, step.difference, '+')}{ends}")

    def exact(self, measure: Measure) -> bool:
        """Whether a measure has no error."""
        return measure.name not in ("f1", "fall")

    def _evidence(self, measure: Measure, step: Decision | None) -> Evidence:
        if step is None:
            return Evidence.untested(Verdict.NOT_RUN)
        return Evidence.exact(step.difference > 0) if self.exact(measure) else step.evidence

    def _values(self, measure: Measure, title: str) -> Values:
        if measure.name == "f1":
            return self.f1(title, measure.fractions[0], measure.dataset)
        if measure.name == "fall":
            before, after = (self.f1(title, fraction, measure.dataset) for fraction in measure.fractions)
            return {seed: before[seed] - after[seed] for seed in before.keys() & after.keys()}
        return self.parameters(title, measure.name)


class Printed(Numbers):
    """The numbers that the paper prints, all taken as exact, since it prints no errors.

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

    def exact(self, measure: Measure) -> bool:
        return True


class Measured(Numbers):
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


def _mean(values: Values) -> float:
    return float(np.mean([row[0] for row in values.values()]))


def _text(measure: Measure, value: Any, sign: str = "") -> str:
    if measure.name.startswith(("trainable", "per corpus")):
        return f"{value:{sign},.0f}"
    return f"{100 * value:{sign}.2f} %" if measure.name == "share" else decimals(value, sign)

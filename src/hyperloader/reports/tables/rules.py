"""Rules: what has to be greater than what for a claim to hold, as one line of text.

    rule    = part, " and ", part ... [" given ", part, " and ", part ...]
    part    = measure, ": ", methods, " > ", methods ...  [" in >= 4" or " in = 3"]
    methods = titles with ", " between them, or "others": all methods of the paper that the part does not name

`A > B, C` says that A exceeds B and C. What is given has to hold for there to be anything to decide. The measures are `Average 100` or
`ATIS 20` (micro F1 at that percentage of the training data), `fall 100-10` (average F1 at the first minus that at the second),
`trainable`, `trainable in all`, `per corpus` and `share` (trained parameters of a model, of the models for all corpora, those that one
more corpus adds, and as a part of all parameters), and `datasets 100`, which counts the corpora on which the chain holds and needs
the `in`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from hyperloader.errors import UserError
from hyperloader.reports.tables.published import AVERAGE

SHARE = r"\d+(?:\.\d+)?"
PART = re.compile(
    rf"(?:(?P<parameters>trainable(?: in all)?|per corpus|share)|fall (?P<before>{SHARE})-(?P<after>{SHARE})"
    rf"|(?P<dataset>(?!fall )\S+) (?P<percent>{SHARE})): "
    r"(?P<chain>.+? > .+?)(?: in (?P<sign>>?=) (?P<number>\d+))?"
)
COUNTED = "datasets"
OTHERS = "others"


@dataclass(frozen=True)
class Measure:
    """A number that each method has.

    Attributes:
        name: `f1`, `fall`, `trainable`, `trainable in all`, `per corpus` or `share`.
        fractions: for `f1` one percentage of the training data, for `fall` two.
        dataset: for `f1`: the title of a corpus, or `Average`.
    """

    name: str
    fractions: tuple[float, ...] = ()
    dataset: str = ""


@dataclass(frozen=True)
class Clause:
    """A chain of inequalities.

    Attributes:
        measure: what is compared; with a `sign`, on each corpus in turn.
        chain: titles of methods; each of a group exceeds each of the next group.
        sign: `>=` or `=`: on how many corpora it has to hold; otherwise empty.
        number: that many.
        given: whether it is what the others take for granted.
    """

    measure: Measure
    chain: tuple[tuple[str, ...], ...]
    sign: str = ""
    number: int = 0
    given: bool = False

    @property
    def titles(self) -> set[str]:
        """The methods that the chain names."""
        return {title for group in self.chain if group != (OTHERS,) for title in group}

    def pairs(self, everyone: list[str]) -> Iterator[tuple[str, str]]:
        """(greater, smaller) for each inequality, `others` being those of `everyone` that the chain does not name."""
        groups = [tuple(title for title in everyone if title not in self.titles) if group == (OTHERS,) else group for group in self.chain]
        for left, right in pairwise(groups):
            yield from ((greater, smaller) for greater in left for smaller in right)


def parse(rule: str) -> list[Clause]:
    """The parts of a rule.

    Raises:
        UserError: it is not one.
    """
    stated, *given = rule.split(" given ", 1)
    return [*_parts(stated), *(replace(part, given=True) for text in given for part in _parts(text))]


def _parts(several: str) -> list[Clause]:
    parts = []
    for text in several.split(" and "):
        match = PART.fullmatch(text)
        if match is None or bool(match["sign"]) != (match["dataset"] == COUNTED):
            raise UserError(f"'{text}' is not a rule such as 'Average 100: HyperLoader > others'")
        if match["parameters"]:
            measure = Measure(match["parameters"])
        elif match["before"]:
            measure = Measure("fall", (float(match["before"]), float(match["after"])), AVERAGE)
        else:
            measure = Measure("f1", (float(match["percent"]),), match["dataset"])
        chain = tuple(tuple(group.split(", ")) for group in match["chain"].split(" > "))
        parts.append(Clause(measure, chain, match["sign"] or "", int(match["number"] or 0)))
    return parts

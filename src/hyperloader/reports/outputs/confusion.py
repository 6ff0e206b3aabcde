"""Which slot types a run takes for which.

Spans are those of the headline, mode `conll`. In a sentence, gold and predicted spans are paired one to one: first those of the
same words; of what is left, those that share words, the most first, the earlier first where they share as many. What has no partner is
paired with nothing. So each gold span is in one row of its type and each predicted span in one row of its type, and the pairs of the same
type and the same words are the correct spans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperloader.files import write_text
from hyperloader.reports.outputs.reading import predictions_of
from hyperloader.reports.tables.scores import called
from hyperloader.reports.tables.sheet import as_csv
from hyperloader.runs.predictions import PredictedSentence
from hyperloader.runs.run import Run
from hyperloader.scoring import Span, spans_of

NONE = ""
RUN = ("scale", "recipe", "method", "title", "percent", "seed", "corpus")
COLUMNS = (*RUN, "gold", "predicted", "same_words", "other_words")


class Confused(NamedTuple):
    """How often spans of one type stand where spans of another do.

    Attributes:
        gold, predicted: slot types; empty where there is no partner.
        same_words: pairs whose first and last words are the same, correct ones where the types are as well; and spans without a partner.
        other_words: pairs that only overlap.
    """

    gold: str
    predicted: str
    same_words: int
    other_words: int

    @property
    def wrong(self) -> int:
        """How many of them are errors."""
        return self.other_words + (self.same_words if self.gold != self.predicted else 0)


def pair_spans(gold: Iterable[Span], predicted: Iterable[Span]) -> Iterator[tuple[Span | None, Span | None]]:
    """Pair the spans of a sentence, each in one pair."""
    ours, theirs = ({(start, end): (kind, start, end) for kind, start, end in spans} for spans in (gold, predicted))
    for words in sorted(ours.keys() & theirs.keys()):
        yield ours.pop(words), theirs.pop(words)
    shared = ((min(one[1], two[1]) - max(one[0], two[0]), one, two) for one in ours for two in theirs)
    for words, one, two in sorted(shared, key=lambda pair: (-pair[0], *pair[1:])):
        if words > 0 and one in ours and two in theirs:
            yield ours.pop(one), theirs.pop(two)
    yield from ((span, None) for span in ours.values())
    yield from ((None, span) for span in theirs.values())


def confusion(sentences: Iterable[PredictedSentence]) -> list[Confused]:
    """The counts of a test set, by gold type and predicted type."""
    counts: dict[tuple[str, str], Counter[bool]] = {}
    for sentence in sentences:
        for gold, predicted in pair_spans(spans_of(sentence.gold), spans_of(sentence.prediction)):
            types = (gold[0] if gold else NONE, predicted[0] if predicted else NONE)
            counts.setdefault(types, Counter())[not (gold and predicted) or gold[1:] == predicted[1:]] += 1
    return [Confused(*types, counts[types][True], counts[types][False]) for types in sorted(counts)]


def write_confusion(runs: Iterable[str | Path], output: str | Path) -> None:
    """Write the counts of runs as one CSV: a row for each run, corpus, gold type and predicted type that occur together.

    Raises:
        UserError: predictions are missing or damaged.
    """
    rows: list[Sequence[object]] = []
    for run in map(Run, runs):
        own = run.settings
        known = [own.scale, own.recipe, *called(own), f"{own.percent:g}", own.seed]
        for corpus in run.predictions().corpora:
            rows += [[*known, corpus, *counts] for counts in confusion(predictions_of(run, corpus))]
    write_text(output, as_csv(COLUMNS, rows))

"""The sentences of a test set on which two runs disagree, and which of them is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from hyperloader.corpora.registry import get_corpus
from hyperloader.errors import RunError, one_line
from hyperloader.files import write_text
from hyperloader.reports.outputs.reading import predictions_of
from hyperloader.reports.tables.scores import called
from hyperloader.reports.tables.sheet import as_csv
from hyperloader.reports.tables.web_page import Table, page, paragraph, table
from hyperloader.runs.predictions import PredictedSentence
from hyperloader.runs.run import Run
from hyperloader.scoring import Span, spans_of

BOTH, FIRST, SECOND, NEITHER = "both", "first", "second", "neither"
COLUMNS = ("sentence", "right", "words", "gold", "first", "second", "first_run", "second_run")


@dataclass(frozen=True)
class Disagreement:
    """A sentence for which two runs predict other spans, in the headline's mode `conll`.

    Attributes:
        number: of the sentence in the test set, from 0.
        right: whose spans are the gold ones: `first`, `second` or `neither`.
        words: of the sentence.
        gold, first, second: BIO tags.
    """

    number: int
    right: str
    words: Sequence[str]
    gold: Sequence[str]
    first: Sequence[str]
    second: Sequence[str]


@dataclass(frozen=True)
class Disagreements:
    """Two runs on a test set.

    Attributes:
        corpus: its name.
        first, second: names of the runs.
        sentences: those on which they disagree, in the order of the test set.
        counts: of all sentences, by whether the runs agree and who is right.
    """

    corpus: str
    first: str
    second: str
    sentences: list[Disagreement]
    counts: Counter[tuple[bool, str]]


def disagreements(first: str | Path, second: str | Path, corpus: str) -> Disagreements:
    """Compare the predictions of two runs on a corpus.

    Raises:
        UserError: a run has no predictions on it, they are damaged, or those of other sentences.
    """
    runs = Run(first), Run(second)
    one, other = (list(predictions_of(run, corpus)) for run in runs)
    if len(one) != len(other) or any((a.tokens, a.gold) != (b.tokens, b.gold) for a, b in zip(one, other, strict=True)):
        remedy = "compare runs on the same data"
        raise RunError(
            f"another test set than that of {runs[0].predictions_of(corpus)}", file=runs[1].predictions_of(corpus), remedy=remedy
        )
    found, counts = [], Counter()
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        right, agree = _right(a, b)
        counts[agree, right] += 1
        if not agree:
            found.append(Disagreement(number, right, a.tokens, a.gold, a.prediction, b.prediction))
    return Disagreements(corpus, *names_of(*runs), found, counts)


def names_of(*runs: Run) -> list[str]:
    """What runs are called: their method, share of the data and seed, and by what else they differ, at last their folders."""
    settings = [run.settings for run in runs]
    names = [f"{called(own)[1]}, {own.percent:g} %, seed {own.seed}" for own in settings]
    others = [
        (
            *(f"scale {own.scale}", f"recipe {own.recipe}", "tasks " + "+".join(own.data)),
            "draw " + "+".join(sorted({Path(place).parent.name for place in own.data.values()})),
            "all sentences" if own.shots is None else f"{own.shots} sentences",
        )
        for own in settings
    ]
    told = [place for place, values in enumerate(zip(*others, strict=True)) if len(set(values)) > 1]
    names = [", ".join((name, *(other[place] for place in told))) for name, other in zip(names, others, strict=True)]
    return names if len(set(names)) == len(names) else [f"{name}, {run}" for name, run in zip(names, runs, strict=True)]


def _right(first: PredictedSentence, second: PredictedSentence) -> tuple[str, bool]:
    """Who has the gold spans, and whether both have the same."""
    gold, one, other = (spans_of(tags) for tags in (first.gold, first.prediction, second.prediction))
    right = {(True, True): BOTH, (True, False): FIRST, (False, True): SECOND, (False, False): NEITHER}
    return right[one == gold, other == gold], one == other


def summary(found: Disagreements) -> str:
    """The counts in words."""
    total, counts = sum(found.counts.values()), found.counts
    return (
        f"{len(found.sentences)} of {total} sentences of {get_corpus(found.corpus).title}: "
        f"the first alone is right in {counts[False, FIRST]}, the second in {counts[False, SECOND]}, neither in {counts[False, NEITHER]}. "
        f"They agree on the others: both right in {counts[True, BOTH]}, both wrong in {counts[True, NEITHER]}."
    )


def as_counts(corpora: Iterable[Disagreements]) -> str:
    """The counts as an HTML table."""
    header = (
        "Corpus",
        "Sentences",
        "Disagreements",
        "First alone right",
        "Second alone right",
        "Neither",
        "Both right",
        "Both wrong alike",
    )
    kinds = ((False, FIRST), (False, SECOND), (False, NEITHER), (True, BOTH), (True, NEITHER))
    rows = [
        [get_corpus(own.corpus).title, *map(str, (own.counts.total(), len(own.sentences), *(own.counts[kind] for kind in kinds)))]
        for own in corpora
    ]
    return table(header, rows, "lrrrrrrr")


def as_text(found: Disagreements) -> str:
    """For the terminal: four lines for each sentence."""
    lines = [f"first:  {found.first}", f"second: {found.second}", "", summary(found)]
    for sentence in found.sentences:
        lines += ["", f"{sentence.number}  right: {sentence.right}"]
        lines += [f"  {name:7}{marked(sentence.words, getattr(sentence, name))}" for name in ("gold", "first", "second")]
    return "".join(f"{one_line(line)}\n" for line in lines)


def write_csv(found: Disagreements, output: str | Path) -> None:
    """A row for each sentence; words and tags are joined by blanks."""
    names = (found.first, found.second)
    rows = ([s.number, s.right, *(" ".join(part) for part in (s.words, s.gold, s.first, s.second)), *names] for s in found.sentences)
    write_text(output, as_csv(COLUMNS, rows))


def write_page(found: Disagreements, output: str | Path) -> None:
    """A page with a table that can be sorted and searched."""
    title = f"Disagreements on {get_corpus(found.corpus).title}"
    about = [paragraph(f"First: {found.first}. Second: {found.second}."), paragraph(summary(found))]
    write_text(output, page(title, *about, as_table([found])))


def as_table(corpora: Iterable[Disagreements], most: int | None = None) -> Table:
    """The sentences with their spans marked; of each corpus at most so many."""
    rows = [
        [
            get_corpus(found.corpus).title,
            str(s.number),
            s.right,
            *(marked(s.words, tags, html=True) for tags in (s.gold, s.first, s.second)),
        ]
        for found in corpora
        for s in found.sentences[:most]
    ]
    return Table(("Corpus", "Sentence", "Right", "Gold", "First", "Second"), rows, "lrllll")


def marked(words: Sequence[str], tags: Sequence[str], *, html: bool = False) -> str:
    """A sentence with its spans in brackets, or marked in HTML, each with its slot type."""
    begins: dict[int, Span] = {span[1]: span for span in spans_of(tags)}
    parts, place = [], 0
    while place < len(words):
        kind, start, end = begins.get(place, ("", place, place + 1))
        text = " ".join(words[start:end])
        text = escape(text, quote=False) if html else text
        if kind:
            text = f"<mark>{text} <small>{escape(kind, quote=False)}</small></mark>" if html else f"[{text} | {kind}]"
        parts.append(text)
        place = end
    return " ".join(parts)

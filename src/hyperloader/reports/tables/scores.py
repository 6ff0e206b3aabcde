"""The scores of many runs together, and all of them as one tidy CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hyperloader.config.settings import RunSettings
from hyperloader.corpora.registry import get_corpus
from hyperloader.errors import RunError
from hyperloader.files import write_text
from hyperloader.methods.registry import get_method
from hyperloader.reports.tables.sheet import as_csv
from hyperloader.runs.records import ScoresRecord, TrainedSettings
from hyperloader.runs.run import Run

# runs that differ in one of these do not belong into one table
TABLE_KEYS = ("scale", "recipe", "decoding")
RUN = ("scale", "recipe", "method", "title", "corpus", "percent", "seed", "decoding")
MEASURES = ("precision", "recall", "f1", "ci_low", "ci_high")
SCORE = ("alignment", "gold", "mode", "labels", "subset", *MEASURES, "gold_spans", "predicted_spans", "correct_spans")
TIDY = (*RUN, *SCORE, "sentences", "malformed", "signature")

T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """A run's headline score of one corpus, and the share of its outputs that were malformed.

    Attributes:
        by_order: F1 as the authors scored; None for a method that writes no text.
        cut: F1 with slot types cut at the slash; None for a corpus without any.
        unseen: F1 on test sentences that do not occur in train; None where there are none, or that is not known.
    """

    run: Path
    corpus: str
    f1: float
    signature: str
    malformed: float
    by_order: float | None
    cut: float | None
    unseen: float | None

    @property
    def test_set(self) -> str:
        """The field of the signature that names the test set."""
        return next(part for part in self.signature.split("|") if part.startswith("data:"))

    @property
    def counts(self) -> Path:
        """Where the span counts of each test sentence are."""
        return Run(self.run).counts_of(self.corpus)


@dataclass
class Scores:
    """The scores of some runs of one scale, recipe and decoding.

    Attributes:
        signature: that scale, recipe and decoding.
        cells: by seed, for each (method title, fraction in percent, corpus title).
        methods: name of the method or variant, by title.
        bases: name of the method, by the title of it or of its variant.
        rows: of the tidy table.
    """

    signature: dict[str, str] = field(default_factory=dict)
    cells: dict[tuple[str, float, str], dict[int, Cell]] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    rows: list[list[Any]] = field(default_factory=list)

    @classmethod
    def read(cls, paths: Iterable[str | Path]) -> Scores:
        """Gather the `scores.json` of runs.

        Raises:
            RunError: scores of different scales, recipes or decodings, two for the same cell and seed, or damaged ones.
        """
        scores = cls()
        for path in paths:
            scores._add(Path(path), ScoresRecord.read(path))
        return scores

    def _add(self, path: Path, run: ScoresRecord) -> None:
        signature, (name, title) = {key: getattr(run, key) for key in TABLE_KEYS}, called(run)
        if signature != (self.signature or signature):
            raise RunError(f"{describe(signature)} in a table of {describe(self.signature)}", file=path)
        self.bases[title] = run.method
        if self.methods.setdefault(title, name) != name:
            raise RunError(f"methods {self.methods[title]} and {name} are both titled {title}", file=path)
        self.signature = signature
        for corpus, entry in run.corpora.items():
            dataset = get_corpus(corpus).title
            cells = self.cells.setdefault((title, run.percent, dataset), {})
            if run.seed in cells:
                raise RunError(f"a second score of {title} on {dataset} at {run.percent:g} % with seed {run.seed}", file=path)
            others = (entry.score(alignment="order", gold="truncated"), entry.score(labels="cut"), entry.score(subset="unseen"))
            other_f1s = (other and other.f1 for other in others)
            cells[run.seed] = Cell(path.parent, corpus, entry.headline.f1, entry.headline.signature, entry.malformed, *other_f1s)
            known = dict(run) | {"method": name, "title": title, "corpus": corpus, "percent": f"{run.percent:g}"}
            for score in entry.scores:
                values = dict(score) | {key: f"{getattr(score, key):.4f}" for key in MEASURES}
                last = [entry.unseen if score.subset == "unseen" else entry.sentences, f"{entry.malformed:.4f}", score.signature]
                self.rows.append([*(known[key] for key in RUN), *(values[key] for key in SCORE), *last])

    @property
    def seeds(self) -> list[int]:
        """Every training seed of which there is a score."""
        return sorted({seed for cells in self.cells.values() for seed in cells})

    def f1(self, title: str, fraction: float, dataset: str, field: str = "f1") -> dict[int, float]:
        """Headline F1, or another field of the cells, by seed, empty if not run."""
        values = {seed: getattr(cell, field) for seed, cell in self.cells.get((title, fraction, dataset), {}).items()}
        return {seed: value for seed, value in values.items() if value is not None}

    def trained(self, title: str) -> bool:
        """Whether a method was run and is none of the controls."""
        return title in self.bases and get_method(self.bases[title]).trains_network


def called(run: RunSettings | TrainedSettings | ScoresRecord) -> tuple[str, str]:
    """Name and title of the method of a run, or of its variant."""
    return (run.variant.name, run.variant.title) if run.variant else (run.method, get_method(run.method).title)


def averaged(rows: Sequence[dict[int, T]]) -> dict[int, T]:
    """The mean over corpora for each seed that every one of them has."""
    seeds = sorted(set.intersection(*(set(row) for row in rows))) if rows else []
    return {seed: sum(row[seed] for row in rows) / len(rows) for seed in seeds}


def describe(signature: dict[str, str]) -> str:
    """A signature for a caption or an error."""
    return ", ".join(f"{key} {value}" for key, value in signature.items())


def seeds_in_words(seeds: Sequence[int], *others: Sequence[int]) -> str:
    """Training seeds for a caption; of rows with different ones, how many each has and all that there are."""
    every = sorted({*seeds, *(seed for row in others for seed in row)})
    numbers = sorted({len(row) for row in (seeds, *others)})
    listed = ", ".join(map(str, every))
    if numbers == [1] == [len(every)]:
        return f"one seed ({listed})"
    if numbers == [len(every)]:
        return f"{len(every)} seeds ({listed})"
    return f"{' to '.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))} of the seeds {listed} in each row"


def made_of(runs: Sequence[ScoresRecord]) -> str:
    """What was run, for a figure of the scores of these runs: scale, recipe, decoding and training seeds."""
    values = {key: " and ".join(dict.fromkeys(getattr(run, key) for run in runs)) for key in TABLE_KEYS}
    return f"{describe(values)}, {seeds_in_words(sorted({run.seed for run in runs}))}"


def write_scores(paths: Iterable[str | Path], output: str | Path) -> None:
    """Write every score of these runs to one CSV: a row for each run, corpus and way of scoring."""
    write_text(output, as_csv(TIDY, Scores.read(paths).rows))

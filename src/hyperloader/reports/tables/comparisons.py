"""HyperLoader against every other trained method, or one run against another: differences and what they decide.

docs/statistics.md says what each column means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hyperloader.errors import RunError
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.reports.tables.published import AVERAGE
from hyperloader.reports.tables.samples import Samples, check_same_test_set, f1_samples
from hyperloader.reports.tables.scores import Cell, Scores, describe, seeds_in_words
from hyperloader.reports.tables.sheet import Sheet, as_csv, capitalised, decimals, interval, write_sheet
from hyperloader.runs.run import Run
from hyperloader.scoring.counts import read_counts
from hyperloader.scoring.decisions import MARGIN, Decision, decide, verdicts

COLUMNS = (
    *("scale", "recipe", "decoding", "percent", "dataset", "method", "other", "seeds", "f1", "f1_other", "difference"),
    *(
        "ci_low",
        "ci_high",
        "se_test",
        "sd_seeds",
        "detectable",
        "models_differ",
        "p",
        "p_equivalent",
        "p_holm",
        "family",
        "margin",
        "verdict",
    ),
)


@dataclass(frozen=True)
class Row:
    """HyperLoader against another method at one share of the data, on a corpus or on average.

    Attributes:
        p: after Holm's correction in its family; None if the seeds are too few.
        verdict: by it.
    """

    fraction: float
    dataset: str
    other: str
    decision: Decision
    p: float | None
    verdict: str

    @property
    def family(self) -> str:
        """The tests that are corrected together."""
        return family(self.dataset)


def family(dataset: str) -> str:
    """All averages are corrected together, and all corpora."""
    return "averages" if dataset == AVERAGE else "corpora"


def comparisons(samples: Samples, margin: float = MARGIN) -> list[Row]:
    """Compare HyperLoader with every other trained method, on each corpus and on average, at each share of the data."""
    scores, ours = samples.scores, HyperLoader.title
    fractions = sorted({fraction for title, fraction, _ in scores.cells if title == ours}, reverse=True)
    others = [title for title in scores.methods if title != ours and scores.trained(title)]
    found = {}
    for fraction, other in ((fraction, other) for fraction in fractions for other in others):
        datasets = [name for title, percent, name in scores.cells if (title, percent) == (ours, fraction)]
        for dataset in (*datasets, AVERAGE):
            if decision := decide(samples.f1(ours, fraction, dataset), samples.f1(other, fraction, dataset), margin):
                found[fraction, dataset, other] = decision
    judged = {}
    for name in ("corpora", "averages"):
        members = {key: own for key, own in found.items() if family(key[1]) == name}
        judged |= zip(members, verdicts([own.evidence for own in members.values()]), strict=True)
    rows = []
    for key, decision in found.items():
        p, verdict = judged[key]
        rows.append(Row(*key, decision, p, verdict.of_first))
    return rows


def write_comparisons(rows: Sequence[Row], signature: dict[str, str], output: str | Path) -> None:
    """Write `comparisons.csv`, and Markdown beside it."""
    known = [signature.get(key, "") for key in ("scale", "recipe", "decoding")]
    lines, cells = [], []
    for row in rows:
        d = row.decision
        numbers = [decimals(value) for value in (d.first, d.other, d.difference, *d.interval, d.se_test, d.sd_seeds, d.detectable)]
        ties = d.evidence.ties if d.enough else None
        tests = [_yes(d.models_differ), decimals(d.p), decimals(ties), decimals(row.p), row.family, f"{d.margin:g}", row.verdict]
        lines.append(
            [*known, f"{row.fraction:g}", row.dataset, HyperLoader.title, row.other, " ".join(map(str, d.seeds)), *numbers, *tests]
        )
        f1s = [decimals(d.first), decimals(d.other), decimals(d.difference, "+"), interval(d.interval, "+")]
        cells.append([f"{row.fraction:g} %", row.dataset, row.other, *f1s, *numbers[5:], *tests[:4], f"**{row.verdict}**"])
    margin = rows[0].decision.margin if rows else MARGIN
    seeds = seeds_in_words(*(row.decision.seeds for row in rows)) if rows else ""
    made = f"{capitalised(describe(signature))}, {seeds}." if rows else "Nothing was compared."
    sheet = Sheet(
        title="Comparisons",
        caption=f"{HyperLoader.title} against the other trained methods: micro F1 and difference, each a mean over the training seeds; its "
        "95 % interval; its standard error over test sentences, and its standard deviation over training seeds; the smallest true "
        "difference that such an experiment finds four times out of five; whether these trained models differ, which says nothing about "
        f"other seeds; p of no difference between the methods; p of a difference above the margin, {margin:g}; p of the verdict after "
        "Holm's correction, of all averages or of all corpora. Intervals and p cover test sentences and training seeds; with fewer than "
        f"three seeds the interval is that of these models, over test sentences alone, and says nothing about the methods. {made}",
        header=["Data", "Dataset", "Other", "F1", "Its F1", "Difference", "95 % interval", "se, sentences", "sd, seeds", "Detectable"]
        + ["Models differ", "p", "p, equivalent", "p (Holm)", "Verdict"],
        rows=cells,
        align="lll" + "r" * 7 + "lrrrl",
    )
    write_sheet(output, as_csv(COLUMNS, lines), sheet, latex=False)


def compare_runs(first: Path, second: Path) -> str:
    """The scores of two runs on their common corpora, and whether these two models differ, as a table for the terminal.

    Raises:
        RunError: they have no corpus in common, or were scored on different test sets.
    """
    from tabulate import tabulate

    one, other = (_by_dataset(Scores.read([run / Run.SCORES])) for run in (first, second))
    names = [name for name in one if name in other]
    if not names:
        raise RunError(f"no corpus in common with {first}", file=second)
    f1s = {}
    for name in names:
        counts = [read_counts(cell.counts) for cell in (one[name], other[name])]
        check_same_test_set((one[name], counts[0]), (other[name], counts[1]))
        f1s[name] = f1_samples(counts, name)
    if len(names) > 1:
        f1s[AVERAGE] = np.mean(list(f1s.values()), axis=0)
    lines = []
    for name, (own, its) in f1s.items():
        d = decide({0: own}, {0: its})
        assert d is not None
        lines.append([name, decimals(d.first), decimals(d.other), decimals(d.difference, "+"), interval(d.interval, "+")])
        lines[-1] += [decimals(d.detectable), decimals(d.p_models)]
    header = ["", "first", "second", "difference", "95 % interval", "detectable", "p"]
    table = tabulate(lines, header, tablefmt="simple", disable_numparse=True, colalign=["left", *["right"] * 6])
    about = "of these two models, over test sentences; other seeds would give other models, see comparisons.csv"
    return f"first:  {first}\nsecond: {second}\n\n{table}\n\n{about}\n"


def _by_dataset(scores: Scores) -> dict[str, Cell]:
    """A single run's scores by corpus title."""
    return {dataset: cell for (_, _, dataset), cells in scores.cells.items() for cell in cells.values()}


def _yes(value: bool) -> str:
    return "yes" if value else "no"

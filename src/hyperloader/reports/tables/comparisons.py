"""HyperLoader against every other trained method, or one run against another: differences and how sure they are.

docs/statistics.md says what each column means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from hyperloader.errors import RunError
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.reports.tables.published import AVERAGE
from hyperloader.reports.tables.samples import Samples, check_same_test_set, draw_seed, read_counts
from hyperloader.reports.tables.scores import Cell, Scores, describe
from hyperloader.reports.tables.sheet import Sheet, as_csv, write_sheet
from hyperloader.runs.run import Run
from hyperloader.scoring.statistics import detectable_difference, holm, interval, p_value, resampled_f1s, swapped_differences

COLUMNS = (
    *("scale", "recipe", "decoding", "percent", "dataset", "method", "other", "seeds", "f1", "f1_other", "difference"),
    *("ci_low", "ci_high", "sd_seeds", "detectable", "p", "p_holm", "family"),
)


@dataclass(frozen=True)
class Pair:
    """Two systems on one corpus, training seed by training seed.

    Attributes:
        dataset: title of the corpus.
        counts: of both, span counts (seeds, sentences, 3).
        f1s: of both, F1s (seeds, 1 + samples), first that on the test set.
    """

    dataset: str
    counts: tuple[np.ndarray, np.ndarray]
    f1s: tuple[np.ndarray, np.ndarray]

    @cached_property
    def swapped(self) -> np.ndarray:
        """Differences after random swaps; the first is the one that was measured."""
        return swapped_differences(*self.counts, seed=draw_seed(self.dataset))


@dataclass(frozen=True)
class Difference:
    """Two systems' micro F1 on a corpus, or on the average of several, and their difference.

    Attributes:
        f1, other: means over training seeds.
        low, high: 95 % interval of the difference over test sentences (paired bootstrap).
        sd: standard deviation of the difference over training seeds, if there are several.
        detectable: the smallest difference that such a test set can be relied on to show.
        p: of the paired approximate randomisation test.
        holm: the same after Holm's correction, in a family of tests.
    """

    f1: float
    other: float
    low: float
    high: float
    sd: float | None
    detectable: float
    p: float
    holm: float | None = None

    @property
    def difference(self) -> float:
        """Positive if the first is better."""
        return self.f1 - self.other


def compare(pairs: Sequence[Pair]) -> Difference:
    """Compare two systems on a corpus, or on the average over several."""
    first, second = (np.mean([pair.f1s[side] for pair in pairs], axis=0) for side in (0, 1))
    by_seed = first - second
    samples = by_seed.mean(0)[1:]
    return Difference(
        f1=float(first[:, 0].mean()),
        other=float(second[:, 0].mean()),
        **dict(zip(("low", "high"), interval(samples), strict=True)),
        sd=float(by_seed[:, 0].std(ddof=1)) if len(by_seed) > 1 else None,
        detectable=detectable_difference(samples),
        p=p_value(np.mean([pair.swapped for pair in pairs], axis=0)),
    )


@dataclass(frozen=True)
class Row:
    """HyperLoader against another method at one share of the data, on a corpus or on average."""

    fraction: float
    dataset: str
    other: str
    seeds: list[int]
    difference: Difference

    @property
    def family(self) -> str:
        """The tests that are corrected together."""
        return f"{self.fraction:g} % {'averages' if self.dataset == AVERAGE else 'corpora'}"


def comparisons(samples: Samples) -> list[Row]:
    """Compare HyperLoader with every other trained method, on each corpus and on average, at each share of the data."""
    scores, ours = samples.scores, HyperLoader.title
    rows = []
    for fraction in sorted({fraction for title, fraction, _ in scores.cells if title == ours}, reverse=True):
        for other in [title for title in scores.methods if title != ours and scores.trained(title)]:
            datasets = [name for title, percent, name in scores.cells if (title, percent) == (ours, fraction)]
            pairs: dict[str, tuple[list[int], Pair]] = {}
            for name in datasets:
                counts = [samples.counts(title, fraction, name) for title in (ours, other)]
                f1s = [samples.f1(title, fraction, name) for title in (ours, other)]
                if seeds := sorted(counts[0].keys() & counts[1].keys()):
                    stacked = [tuple(np.stack([row[seed] for seed in seeds]) for row in both) for both in (counts, f1s)]
                    pairs[name] = seeds, Pair(name, *stacked)
            rows += [Row(fraction, name, other, seeds, compare([pair])) for name, (seeds, pair) in pairs.items()]
            averaged = [pairs.get(name, ([], None)) for name in samples.datasets]
            # an average needs every corpus with the same seeds
            if averaged and averaged[0][0] and all(seeds == averaged[0][0] for seeds, _ in averaged):
                rows.append(Row(fraction, AVERAGE, other, averaged[0][0], compare([pair for _, pair in averaged])))
    return _corrected(rows)


def write_comparisons(rows: Sequence[Row], signature: dict[str, str], output: str | Path) -> None:
    """Write `comparisons.csv`, and Markdown beside it."""
    known = [signature.get(key, "") for key in ("scale", "recipe", "decoding")]
    lines, cells = [], []
    for row in rows:
        d = row.difference
        numbers = [_number(value) for value in (d.f1, d.other, d.difference, d.low, d.high, d.sd, d.detectable, d.p, d.holm)]
        seeds = " ".join(map(str, row.seeds))
        lines.append([*known, f"{row.fraction:g}", row.dataset, HyperLoader.title, row.other, seeds, *numbers, row.family])
        shown = [_number(d.f1), _number(d.other), f"{d.difference:+.4f}", _interval(d), *map(_number, (d.sd, d.detectable, d.p, d.holm))]
        cells.append([f"{row.fraction:g} %", row.dataset, row.other, *shown])
    sheet = Sheet(
        title="Comparisons",
        caption=f"{HyperLoader.title} against the other trained methods: micro F1 and difference, each a mean over the training seeds; "
        "95 % interval of the difference over test sentences (paired bootstrap); standard deviation of the difference over training "
        "seeds, where there are several; the smallest difference that these test sentences would show four times out of five; p of a "
        "paired test (approximate randomisation over sentences), as it is and after Holm's correction in its family: all methods' "
        "averages at one share of the data, or all methods on all corpora there. "
        + (f"{describe(signature).capitalize()}." if signature else "Nothing was run."),
        header=["Data", "Dataset", "Other", "F1", "Its F1", "Difference", "95 % interval", "sd of seeds", "Detectable", "p", "p (Holm)"],
        rows=cells,
        align="lll" + "r" * 8,
    )
    write_sheet(output, as_csv(COLUMNS, lines), sheet, latex=False)


def compare_runs(first: Path, second: Path) -> str:
    """The scores of two runs on their common corpora, and whether they differ, as a table for the terminal.

    Raises:
        RunError: they have no corpus in common, or were scored on different test sets.
    """
    from tabulate import tabulate

    one, other = (_by_dataset(Scores.read([run / Run.SCORES])) for run in (first, second))
    names = [name for name in one if name in other]
    if not names:
        raise RunError(f"no corpus in common with {first}", file=second)
    pairs = []
    for name in names:
        counts = [read_counts(cell.counts) for cell in (one[name], other[name])]
        check_same_test_set((one[name], counts[0]), (other[name], counts[1]))
        f1s = resampled_f1s(np.stack(counts), seed=draw_seed(name))
        pairs.append(Pair(name, *(tuple(own[None] for own in both) for both in (counts, f1s))))
    rows = [(pair.dataset, compare([pair])) for pair in pairs]
    if len(pairs) > 1:
        rows.append((AVERAGE, compare(pairs)))
    lines = [
        [name, f"{d.f1:.4f}", f"{d.other:.4f}", f"{d.difference:+.4f}", _interval(d), f"{d.detectable:.4f}", f"{d.p:.4f}"]
        for name, d in rows
    ]
    header = ["", "first", "second", "difference", "95 % interval", "detectable", "p"]
    table = tabulate(lines, header, tablefmt="simple", disable_numparse=True, colalign=["left", *["right"] * 6])
    return f"first:  {first}\nsecond: {second}\n\n{table}\n"


def _by_dataset(scores: Scores) -> dict[str, Cell]:
    """A single run's scores by corpus title."""
    return {dataset: cell for (_, _, dataset), cells in scores.cells.items() for cell in cells.values()}


def _corrected(rows: list[Row]) -> list[Row]:
    """The rows with Holm's correction in each family."""
    corrected = {}
    for family in dict.fromkeys(row.family for row in rows):
        members = [index for index, row in enumerate(rows) if row.family == family]
        corrected |= zip(members, holm([rows[index].difference.p for index in members]), strict=True)
    return [replace(row, difference=replace(row.difference, holm=corrected[index])) for index, row in enumerate(rows)]


def _interval(d: Difference) -> str:
    return f"{d.low:+.4f} to {d.high:+.4f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

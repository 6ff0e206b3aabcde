"""Scores -> tables 3 and 4 in the paper's layout: ours, and below it the paper's.

Rows and columns are those of the published CSV, in its order; methods and corpora that the paper does not have come after them.
A cell without a score stays empty and is listed below the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev

from hyperloader.reports.tables.published import AVERAGE, Paper
from hyperloader.reports.tables.scores import Scores, averaged, describe, seeds_in_words
from hyperloader.reports.tables.sheet import Sheet, as_csv, decimals, spread, write_sheet


def write_table(number: int, scores: Iterable[str | Path], published: str | Path, output: str | Path) -> None:
    """Write a table as CSV, and as Markdown and LaTeX beside it.

    Args:
        number: the table's number in the paper, for the caption.
        scores: `scores.json` of runs; several seeds become mean and standard deviation, other fractions are left out.
        published: the paper's numbers (columns `fraction`, `dataset`, one per method).
        output: the CSV to write; the others have the same name with `.md` and `.tex`.

    Raises:
        RunError: scores of different scales, recipes or decodings, or two for the same cell and seed.
    """
    table = Table(Paper.read(published), Scores.read(scores))
    write_sheet(output, table.csv(), table.sheet(number))


class Table:
    """The paper's numbers and ours, cell by cell."""

    def __init__(self, paper: Paper, scores: Scores):
        self.paper, self.scores, self.fractions = paper, scores, paper.fractions
        keys = [key for key in scores.cells if key[1] in self.fractions]
        self.titles = list(dict.fromkeys([*paper.titles, *(title for title, _, _ in keys)]))
        self.datasets = list(dict.fromkeys([*paper.datasets, *(dataset for _, _, dataset in keys)]))
        self.trained = [title for title in self.titles if scores.trained(title)]

    def ours(self, title: str, fraction: float, dataset: str, field: str = "f1") -> dict[int, float]:
        """F1 by seed, empty if not run; the average is over the paper's corpora and needs every one of them.

        Args:
            field: of the cells; see `Scores.f1`.
        """
        if dataset != AVERAGE:
            return self.scores.f1(title, fraction, dataset, field)
        return averaged([self.ours(title, fraction, name, field) for name in self.paper.datasets])

    def best(self, fraction: float, dataset: str) -> tuple[list[str], list[str]]:
        """The methods with the highest printed F1 of a row, ours among the trained ones and the paper's; several if they tie."""
        ours = {title: self._cell(title, fraction, dataset)[0] for title in self.trained}
        paper = {title: self.paper.f1.get((title, fraction, dataset)) for title in self.titles}
        return _highest(ours), _highest(paper)

    @cached_property
    def seeds(self) -> list[int]:
        """Every seed of which there is a score."""
        return sorted({seed for key, cells in self.scores.cells.items() if key[1] in self.fractions for seed in cells})

    @property
    def rows(self) -> list[tuple[float, str]]:
        """(fraction, corpus) of each row, the averages last in their block."""
        return [(fraction, dataset) for fraction in self.fractions for dataset in (*self.datasets, AVERAGE)]

    def csv(self) -> str:
        """Columns `fraction`, `dataset`; per method: ours, `(sd)` with several seeds, `(by order)`, `(paper)`, `(difference)`; the best."""
        several = len(self.seeds) > 1
        header = ["fraction", "dataset"]
        for title in self.titles:
            header += [title, *([f"{title} (sd)"] if several else [])]
            header += [f"{title} ({name})" for name in ("by order", "paper", "difference")]
        lines = []
        for fraction, dataset in self.rows:
            line = [f"{fraction:g}", dataset]
            for title in self.titles:
                ours, sd, paper, difference = self._cell(title, fraction, dataset)
                line += [decimals(ours), *([decimals(sd)] if several else [])]
                line += map(decimals, (self._by_order(title, fraction, dataset), paper, difference))
            lines.append([*line, *(" = ".join(titles) for titles in self.best(fraction, dataset))])
        return as_csv([*header, "best", "best (paper)"], lines)

    def sheet(self, number: int) -> Sheet:
        """The table for people, with one line that lists what was not run."""
        rows = []
        for fraction, dataset in self.rows:
            best, best_paper = self.best(fraction, dataset)
            ours = [self._text(title, fraction, dataset, _mark(title, best)) for title in self.titles]
            by_order = [spread(self.ours(title, fraction, dataset, "by_order").values()) for title in self.titles]
            paper = [_mark(title, best_paper).format(decimals(self._cell(title, fraction, dataset)[2])) for title in self.titles]
            rows.append([f"{fraction:g} %", dataset, "ours", *ours])
            rows += [["", "", name, *cells] for name, cells in (("by order", by_order), ("paper", paper)) if any(cells)]
        missing = self._missing()
        return Sheet(
            title=f"Table {number}",
            caption=self._caption(),
            header=["Data", "Dataset", "", *self.titles],
            rows=rows,
            align="lll" + "r" * len(self.titles),
            notes=[
                *([f"Not run: {missing}."] if missing else []),
                *self._cut(),
                "Every score: [scores](scores.html). Which differ: [comparisons](comparisons.html).",
            ],
        )

    def _by_order(self, title: str, fraction: float, dataset: str) -> float | None:
        """The mean score as the authors scored, if the method writes text."""
        values = self.ours(title, fraction, dataset, "by_order").values()
        return round(mean(values), 4) if values else None

    def _cut(self) -> Iterator[str]:
        """The other convention of labels, of the corpora that have it."""
        for fraction, dataset in self.rows:
            cut = {title: self.ours(title, fraction, dataset, "cut").values() for title in self.titles if dataset != AVERAGE}
            if any(cut.values()):
                listed = ", ".join(f"{title} {spread(values)}" for title, values in cut.items() if values)
                yield f"{dataset} at {fraction:g} % with slot types cut at the slash, {listed}."

    def _cell(self, title: str, fraction: float, dataset: str) -> tuple[float | None, ...]:
        """Ours, its standard deviation, the paper's, the difference; rounded first, so that the printed numbers add up."""
        values = list(self.ours(title, fraction, dataset).values())
        ours = round(mean(values), 4) if values else None
        sd = stdev(values) if len(values) > 1 else None
        paper = self.paper.f1.get((title, fraction, dataset))
        return ours, sd, paper, None if ours is None or paper is None else round(ours - paper, 4)

    def _text(self, title: str, fraction: float, dataset: str, mark: str) -> str:
        """A cell of ours; beside an F1 of 0 stands why, as far as outputs that cannot be read tell it."""
        ours, sd, *_ = self._cell(title, fraction, dataset)
        if ours is None:
            return ""
        cells = self.scores.cells.get((title, fraction, dataset), {}).values()
        malformed = "" if ours or not cells else f" ({100 * mean(cell.malformed for cell in cells):.0f} % malformed)"
        return mark.format(f"{ours:.4f}") + ("" if sd is None else f" ± {sd:.4f}") + malformed

    def _caption(self) -> str:
        data = " and ".join(f"{fraction:g} %" for fraction in self.fractions)
        seeds = seeds_in_words(self.seeds) if self.seeds else ""
        over = f"mean ± standard deviation over {seeds}" if len(self.seeds) > 1 else f"{seeds}, which decides nothing about methods"
        made = f"{describe(self.scores.signature)}, tags aligned by sentinel, {over}" if self.seeds else "nothing was run"
        return (
            f"micro F1 on the whole test sets after training on {data} of the training and validation data; {made}. "
            "Rows: ours; ours as the authors scored, labels given to words by order and gold cut with the target; the paper's. "
            "Bold: the best of a row, of ours among the methods that are trained; with = if several share it. An F1 of 0 has the share of "
            "malformed outputs beside it. The paper's numbers are those of the real corpora and of T5-base and BERT-base; an average is "
            "over all the paper's corpora or not given."
        )

    def _missing(self) -> str:
        """What has no score: whole methods, else corpora by fraction, else single seeds."""
        missing = []
        for title in self.titles:
            blocks = []
            for fraction in self.fractions:
                absent = [_absent(name, self.ours(title, fraction, name), self.seeds) for name in self.datasets]
                if any(absent):
                    blocks.append(f"{fraction:g} %: " + ", ".join(filter(None, absent)))
            run = any(self.ours(title, fraction, name) for fraction in self.fractions for name in self.datasets)
            if blocks:
                missing.append(f"{title} ({'; '.join(blocks)})" if run else title)
        return ", ".join(missing)


def _absent(dataset: str, row: dict[int, float], seeds: list[int]) -> str:
    absent = [str(seed) for seed in seeds if seed not in row]
    return "" if row and not absent else f"{dataset} with seed {' and '.join(absent)}" if row else dataset


def _highest(values: dict[str, float | None]) -> list[str]:
    highest = max((value for value in values.values() if value is not None), default=None)
    return [title for title, value in values.items() if value is not None and value == highest]


def _mark(title: str, best: list[str]) -> str:
    """How a number is printed: `{}` is its place."""
    if title not in best:
        return "{}"
    return "**{}**" if len(best) == 1 else "**{}=**"

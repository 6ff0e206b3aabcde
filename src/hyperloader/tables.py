"""Scores -> tables 3 and 4 in the paper's layout: each cell ours, the paper's and the difference.

Rows and columns are those of the published CSV, in its order; methods and corpora that the paper does not have come after them.
A cell without a score stays empty and is listed below the Markdown table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev

from hyperloader.corpora.registry import get_corpus
from hyperloader.errors import RunError
from hyperloader.files import read_json, write_text
from hyperloader.methods import get_method

AVERAGE = "Average"
# scores that differ in one of these do not belong into one table
SIGNATURE = ("scale", "recipe", "decoding", "alignment")


def write_table(number: int, scores: Iterable[str | Path], published: str | Path, output: str | Path) -> None:
    """Write a table as CSV, and as Markdown beside it.

    Args:
        number: the table's number in the paper, for the caption.
        scores: `scores.json` of runs; several seeds become mean and standard deviation, other fractions are left out.
        published: the paper's numbers (columns `fraction`, `dataset`, one per method).
        output: the CSV to write; the Markdown file has the same name with `.md`.

    Raises:
        RunError: scores of different scales, recipes or decodings, or two for the same cell and seed.
    """
    table = Table(published, Scores.read(scores))
    output = Path(output)
    write_text(output, table.csv())
    write_text(output.with_suffix(".md"), table.markdown(number))


@dataclass
class Scores:
    """The F1s of some runs: by seed, for each (method title, fraction in percent, corpus title)."""

    signature: dict[str, str] = field(default_factory=dict)
    f1: dict[tuple[str, float, str], dict[int, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: Iterable[str | Path]) -> Scores:
        """Gather the `scores.json` of runs."""
        scores, methods = cls(), {}
        for path in paths:
            run = read_json(path, remedy="score this run first")
            try:
                signature, title = {key: run[key] for key in SIGNATURE}, get_method(run["method"]).title
                cells = {(title, run["percent"], get_corpus(name).title): cell["f1"] for name, cell in run["corpora"].items()}
                seed = run["seed"]
            except KeyError as error:
                raise RunError(f"no {error} in it", file=path, remedy="score this run again") from None
            if signature != (scores.signature or signature):
                raise RunError(f"{_words(signature)} in a table of {_words(scores.signature)}", file=path)
            if methods.setdefault(title, run["method"]) != run["method"]:
                raise RunError(f"methods {methods[title]} and {run['method']} are both titled {title}", file=path)
            scores.signature = signature
            for key, f1 in cells.items():
                if seed in scores.f1.setdefault(key, {}):
                    raise RunError(f"a second score of {key[0]} on {key[2]} at {key[1]:g} % with seed {seed}", file=path)
                scores.f1[key][seed] = f1
        return scores


class Table:
    """The paper's numbers and ours, cell by cell."""

    def __init__(self, published: str | Path, scores: Scores):
        import pandas as pd

        paper = pd.read_csv(published).set_index(["fraction", "dataset"])
        self.scores = scores
        self.paper = {(title, *row): value for title in paper.columns for row, value in paper[title].dropna().items()}
        self.fractions = list(dict.fromkeys(paper.index.get_level_values("fraction")))
        self.paper_datasets = [name for name in dict.fromkeys(paper.index.get_level_values("dataset")) if name != AVERAGE]
        keys = [key for key in scores.f1 if key[1] in self.fractions]
        self.titles = list(dict.fromkeys([*paper.columns, *(title for title, _, _ in keys)]))
        self.datasets = list(dict.fromkeys([*self.paper_datasets, *(dataset for _, _, dataset in keys)]))

    def ours(self, title: str, fraction: float, dataset: str) -> dict[int, float]:
        """F1 by seed, empty if not run; the average is over the paper's corpora and needs every one of them."""
        if dataset != AVERAGE:
            return self.scores.f1.get((title, fraction, dataset), {})
        rows = [self.ours(title, fraction, name) for name in self.paper_datasets]
        seeds = set.intersection(*(set(row) for row in rows))
        return {seed: mean(row[seed] for row in rows) for seed in sorted(seeds)}

    @cached_property
    def seeds(self) -> list[int]:
        """Every seed of which there is a score."""
        return sorted({seed for key, row in self.scores.f1.items() if key[1] in self.fractions for seed in row})

    @property
    def rows(self) -> list[tuple[float, str]]:
        """(fraction, corpus) of each row, the averages last in their block."""
        return [(fraction, dataset) for fraction in self.fractions for dataset in (*self.datasets, AVERAGE)]

    def csv(self) -> str:
        """Columns `fraction`, `dataset`, and per method: ours, `(sd)` if there are several seeds, `(paper)`, `(difference)`."""
        several = len(self.seeds) > 1
        header = ["fraction", "dataset"]
        for title in self.titles:
            header += [title, *([f"{title} (sd)"] if several else []), f"{title} (paper)", f"{title} (difference)"]
        lines = [header]
        for fraction, dataset in self.rows:
            line = [f"{fraction:g}", dataset]
            for title in self.titles:
                ours, sd, paper, difference = self._cell(title, fraction, dataset)
                line += [_number(ours), *([_number(sd)] if several else []), _number(paper), _number(difference)]
            lines.append(line)
        return "".join(",".join(line) + "\n" for line in lines)

    def markdown(self, number: int) -> str:
        """The table with its caption, and one line that lists what was not run."""
        from tabulate import tabulate

        rows = []
        for fraction, dataset in self.rows:
            cells = [self._cell(title, fraction, dataset) for title in self.titles]
            rows.append([f"{fraction:g} %", dataset, *(_text(*cell) for cell in cells)])
        table = tabulate(rows, ["Data", "Dataset", *self.titles], tablefmt="pipe", disable_numparse=True)
        missing = self._missing()
        return f"{self._caption(number)}\n\n{table}\n" + (f"\nNot run: {missing}.\n" if missing else "")

    def _cell(self, title: str, fraction: float, dataset: str) -> tuple[float | None, ...]:
        """Ours, its standard deviation, the paper's, the difference; rounded first, so that the printed numbers add up."""
        values = list(self.ours(title, fraction, dataset).values())
        ours = round(mean(values), 4) if values else None
        sd = stdev(values) if len(values) > 1 else None
        paper = self.paper.get((title, fraction, dataset))
        return ours, sd, paper, None if ours is None or paper is None else round(ours - paper, 4)

    def _caption(self, number: int) -> str:
        data = " and ".join(f"{fraction:g} %" for fraction in self.fractions)
        seeds = ", ".join(map(str, self.seeds))
        over = f"mean ± standard deviation over seeds {seeds}" if len(self.seeds) > 1 else f"seed {seeds}"
        made = f"{_words(self.scores.signature)}, {over}" if self.seeds else "nothing was run"
        return (
            f"**Table {number}**: micro F1 on the whole test sets after training on {data} of the training and validation data; {made}. "
            "Each cell: ours (the paper's, the difference). The paper's numbers are those of the real corpora and of T5-base and "
            "BERT-base; an average is over all the paper's corpora or not given."
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


def _words(signature: dict[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in signature.items())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _text(ours: float | None, sd: float | None, paper: float | None, difference: float | None) -> str:
    left = "" if ours is None else f"{ours:.4f}" + ("" if sd is None else f" ± {sd:.4f}")
    right = ", ".join(([] if paper is None else [f"{paper:.4f}"]) + ([] if difference is None else [f"{difference:+.4f}"]))
    return f"{left} ({right})".strip() if right else left

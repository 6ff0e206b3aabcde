"""The table of parameters: how many each method has and trains, beside the paper's brackets."""

from __future__ import annotations

from pathlib import Path

from hyperloader.planning.parameters import Row
from hyperloader.reports.tables import sheet

COLUMNS = ("method", "backbone", "runs", "total", "trainable", "live", "percent", "per_corpus", "paper_total", "paper_trainable")


def as_csv(rows: list[Row]) -> str:
    """The rows as CSV with a header."""
    cells = ([f"{row.percent:.4f}" if column == "percent" else getattr(row, column) for column in COLUMNS] for row in rows)
    return sheet.as_csv(COLUMNS, cells)


def as_sheet(rows: list[Row]) -> sheet.Sheet:
    """The rows as a table for people."""
    lines = [
        [
            row.method,
            f"{row.total:,}",
            f"{row.trainable:,}" + (f" x {row.runs}" if row.runs > 1 else ""),
            f"{row.live:,}",
            f"{row.percent:.2f} %",
            f"{row.per_corpus:,}",
            f"{row.paper_total} / {row.paper_trainable}" if row.paper_total else "",
        ]
        for row in rows
    ]
    return sheet.Sheet(
        title="Parameters",
        caption="of one model of each method, without BERT's head: all of them; the trained ones, times the number of models for all "
        "corpora; those of them that some forward pass uses; the trained ones' share of all; those that one more corpus adds; and "
        "the paper's total / trained.",
        header=["Method", "Total", "Trainable", "Live", "Share", "Per corpus", "Paper"],
        rows=lines,
        align="lrrrrrl",
    )


def write_parameters(rows: list[Row], output: str | Path) -> None:
    """Write `parameters.csv`, and Markdown and LaTeX beside it."""
    sheet.write_sheet(output, as_csv(rows), as_sheet(rows))

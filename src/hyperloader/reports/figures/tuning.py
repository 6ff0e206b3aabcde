"""Validation losses of the trials of learning rates over their steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hyperloader.files import write_text
from hyperloader.planning.plan import Plan
from hyperloader.planning.tuning import Tried
from hyperloader.reports.figures.style import COLOURS, HEIGHT, canvas, note, open_frame, remark
from hyperloader.reports.tables.scores import seeds_in_words
from hyperloader.reports.tables.sheet import as_csv

HEADER, COLUMNS = ("method", "title", "learning_rate", "step", "validation_loss"), 3


def write_tuning_curves(plan: Plan, scale: str, rows: Sequence[Tried], output: str | Path) -> None:
    """Write the curves as `.svg`, `.png` and `.csv`.

    Args:
        plan: for the recipe and the seeds.
        scale: name of the scale.
        rows: what was tried.
        output: path without its suffix.
    """
    points = [(row.name, row.title, f"{row.learning_rate:g}", step, f"{loss:.6g}") for row in rows for step, loss in row.curve.items()]
    write_text(Path(output).with_suffix(".csv"), as_csv(HEADER, points))
    names = list(dict.fromkeys(row.name for row in rows))
    rates = sorted({row.learning_rate for row in rows})
    lines = -(-len(names) // COLUMNS)
    with canvas(output, height=min(HEIGHT, 0.6 + 1.8 * max(lines, 1))) as figure:
        if not names:
            note(figure, "nothing was tried")
            return
        made = f"scale {scale}, recipe {plan.config.recipe}, {seeds_in_words(plan.scale(scale).tuning.seeds)}"
        remark(figure, f"validation loss over optimiser steps at each learning rate; {made}")
        panels = figure.subplots(lines, COLUMNS, squeeze=False)
        for ax in panels.flat[len(names) :]:
            ax.set_visible(False)
        for ax, name in zip(panels.flat, names, strict=False):
            own = [row for row in rows if row.name == name]
            for row in own:
                colour = COLOURS[rates.index(row.learning_rate) % len(COLOURS)]
                ax.plot(row.curve.keys(), row.curve.values(), color=colour, marker=".", label=f"{row.learning_rate:g}")
            ax.set_title(own[0].title)
            ax.set_yscale("log")
            ax.legend(fontsize=6)
            open_frame(ax)

"""Training and validation loss of every run over its steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.corpora.registry import known_corpora
from hyperloader.files import write_text
from hyperloader.planning.plan import PlannedRun
from hyperloader.reports.figures.style import COLOURS, GREY, HEIGHT, canvas, note, open_frame, remark, tell
from hyperloader.reports.tables.scores import called, seeds_in_words
from hyperloader.reports.tables.sheet import as_csv
from hyperloader.runs.records import Evaluation
from hyperloader.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADER = ("scale", "recipe", "method", "corpora", "percent", "seed", "step", "loss", "validation_loss", "kept")
# where a row has no room to number more than powers of ten
SEVERAL_DECADES = 1000
TRAINING, VALIDATION = {"linewidth": 0.7, "alpha": 0.6}, {"linewidth": 1.0, "linestyle": (0, (3, 1.5))}


@dataclass(frozen=True)
class Curve:
    """The losses of a run: one record per checkpoint with `step`, `loss` and `validation_loss`.

    `kept` is the step whose weights are the run's result, `title` the method's.
    """

    run: PlannedRun
    title: str
    records: list[Evaluation]
    kept: int


def write_curves(runs: Iterable[str | Path], output: str | Path) -> None:
    """Write `curves.svg`, `.png` and `.csv` of the runs that have a loss, which controls have not.

    Args:
        runs: folders of runs.
        output: path without its suffix.

    Raises:
        UserError: the record of a run is missing or damaged.
    """
    curves = [curve for curve in map(_read, runs) if curve.records]
    rows = [
        (
            *(curve.run.scale, curve.run.recipe, curve.title, curve.run.tasks, f"{curve.run.percent:g}", curve.run.seed),
            *(record["step"], *("" if record[key] is None else f"{record[key]:.6g}" for key in ("loss", "validation_loss"))),
            "yes" if record["step"] == curve.kept else "no",
        )
        for curve in curves
        for record in curve.records
    ]
    write_text(Path(output).with_suffix(".csv"), as_csv(HEADER, rows))
    _draw(curves, output)


def _read(folder: str | Path) -> Curve:
    record = Run(folder).record()
    known = {key: getattr(record.settings, key) for key in ("scale", "recipe", "method", "percent", "seed")}
    run = PlannedRun(corpora=tuple(record.settings.data), **known)
    return Curve(run, called(record.settings)[1], record.curve, record.best_step)


def _draw(curves: list[Curve], output: str | Path) -> None:
    titles = list(dict.fromkeys(curve.title for curve in curves))
    fractions = sorted({curve.run.percent for curve in curves})
    if not curves:
        with canvas(output, height=1.5) as figure:
            note(figure, "no run has a loss")
        return
    with canvas(output, height=min(HEIGHT, 1.1 + 1.2 * len(titles))) as figure:
        panels = figure.subplots(len(titles), len(fractions), sharey="row", sharex="row", squeeze=False)
        for row, title in zip(panels, titles, strict=True):
            for ax, fraction in zip(row, fractions, strict=True):
                _panel(ax, [curve for curve in curves if curve.title == title and curve.run.percent == fraction])
            for ax in row:
                _scale(ax)
            row[0].set_ylabel(title.replace(" (", "\n("), fontsize=7)
        for ax, fraction in zip(panels[0], fractions, strict=True):
            ax.set_title(f"{fraction:g} % of the training data")
        run = curves[0].run
        seeds = seeds_in_words(sorted({curve.run.seed for curve in curves}))
        remark(figure, f"loss over optimiser steps; scale {run.scale}, recipe {run.recipe}, {seeds}")
        _legend(figure, {curve.run.corpora[0] for curve in curves if len(curve.run.corpora) == 1})


def _last(records: list[Evaluation], key: str) -> str:
    """The last value of a loss in words, and the least."""
    values = [record[key] for record in records if record[key] is not None]
    return f"{values[-1]:.4g} at the end, {min(values):.4g} at its lowest" if values else "none"


def _colour(run: PlannedRun) -> str:
    """A single-task run has the colour of its corpus, a multi-task run is grey."""
    return COLOURS[list(known_corpora()).index(run.corpora[0]) % len(COLOURS)] if len(run.corpora) == 1 else GREY


def _panel(ax: Axes, curves: list[Curve]) -> None:
    for curve in curves:
        steps, colour = [record["step"] for record in curve.records], _colour(curve.run)
        for key, look in (("loss", TRAINING), ("validation_loss", VALIDATION)):
            values = [float("nan") if record[key] is None else record[key] for record in curve.records]
            # one record alone makes no line
            (line,) = ax.plot(steps, values, color=colour, marker="." if len(steps) == 1 else "", **look)
            tell(line, f"{curve.title}, {curve.run.tasks}, seed {curve.run.seed}, {key.replace('_', ' ')}: {_last(curve.records, key)}")
        kept = [record["validation_loss"] for record in curve.records if record["step"] == curve.kept]
        if kept and kept[0] is not None:
            ax.plot(curve.kept, kept[0], "o", color=colour, markersize=2.5)
    if not curves:
        ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", va="center", fontsize=7, color=GREY)
    ax.set_yscale("log")
    open_frame(ax)


def _scale(ax: Axes) -> None:
    """Number an axis, once all that shares it is drawn."""
    from matplotlib.ticker import LogLocator

    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < SEVERAL_DECADES * low else (1,), numticks=6))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()


def _legend(figure: Figure, alone: set[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="black", label="training", **TRAINING), Line2D([], [], color="black", label="validation", **VALIDATION)]
    handles += [Line2D([], [], color="black", linestyle="", marker="o", markersize=2.5, label="the weights that were kept")]
    if alone:
        known = enumerate(known_corpora().values())
        handles += [Line2D([], [], color=COLOURS[number % len(COLOURS)], label=own.title) for number, own in known if own.name in alone]
        handles += [Line2D([], [], color=GREY, label="all corpora")]
    figure.legend(handles=handles, loc="outside lower center", ncols=6)

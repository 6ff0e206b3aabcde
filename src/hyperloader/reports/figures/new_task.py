"""What a task that is added to a trained HyperLoader reaches, by the number of its sentences and by what is learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from hyperloader.corpora.registry import get_corpus, known_corpora
from hyperloader.files import write_text
from hyperloader.methods.registry import get_method
from hyperloader.reports.figures.style import COLOURS, GREY, canvas, note, open_frame, remark
from hyperloader.reports.tables.scores import made_of
from hyperloader.reports.tables.sheet import as_csv
from hyperloader.reports.tables.trainings import trainable_of
from hyperloader.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperloader.runs.records import ScoresRecord

HEADER = ("corpus", "learned", "method", "percent", "shots", "seed", "f1", "ci_low", "ci_high", "trainable")
# what is learned -> its name in the figure
NAMES = {
    "embedding": "z alone",
    "low_rank": "z and a low-rank correction",
    "all": "everything, for this task",
    "single task": "UniPELT-T5, this task alone",
    "all tasks": "all tasks at once",
}
ALL_TASKS = "all tasks"
# by what is learned and the amount, F1s of the seeds
Points = Mapping[str, Mapping[str, list[float]]]


def write_new_task(runs: Iterable[str | Path], output: str | Path) -> None:
    """Write `new_task.csv`, `.svg` and `.png`.

    Args:
        runs: folders of scored runs: those that add a task, those on one corpus, and those on all of them; others are left out.
        output: path without its suffix.

    Raises:
        UserError: a record of a run is missing or damaged.
    """
    rows, scored, points = [], [], defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    opened = [Run(run) for run in runs]
    added = {name for run in opened if run.settings.added for name in run.settings.data}
    order = [name for name in known_corpora() if name in added]
    for run in opened:
        settings = run.settings
        multitask = get_method(settings.method).multitask
        if not settings.added and multitask and not added <= settings.data.keys():
            continue
        learned = settings.added.mode if settings.added else ALL_TASKS if multitask else "single task"
        scores, trainable = run.scores(), trainable_of(run, run.record())
        scored.append(scores)
        for name in (name for name in order if name in scores.corpora):
            score, amount = scores.corpora[name].headline, _amount(settings.percent, settings.shots)
            f1, low, high = (f"{value:.4f}" for value in (score.f1, score.ci_low, score.ci_high))
            rows.append(
                (name, learned, settings.method, f"{settings.percent:g}", settings.shots or "", settings.seed, f1, low, high, trainable)
            )
            points[name][learned][amount].append(score.f1)
    rows.sort(key=lambda row: (order.index(row[0]), list(NAMES).index(row[1]), row[4] or 10**9, float(row[3]), row[5]))
    write_text(Path(output).with_suffix(".csv"), as_csv(HEADER, rows))
    _draw({name: points[name] for name in order}, scored, output)


def _amount(percent: float, shots: int | None) -> str:
    return f"{percent:g} %" if shots is None else str(shots)


def _draw(corpora: Mapping[str, Points], scored: Sequence[ScoresRecord], output: str | Path) -> None:
    if not corpora:
        with canvas(output, height=1.5) as figure:
            note(figure, "no run that adds a task")
        return
    amounts = list(
        dict.fromkeys(amount for own in corpora.values() for learned, by in own.items() if learned != ALL_TASKS for amount in by)
    )
    amounts.sort(key=lambda amount: (amount.endswith("%"), float(amount.removesuffix(" %"))))
    panels = {"average": _average(corpora)} | dict(corpora) if len(corpora) > 1 else dict(corpora)
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    with canvas(output, height=0.8 + 1.7 * lines) as figure:
        remark(figure, made_of(scored))
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for ax, (name, points) in zip(axes, panels.items(), strict=False):
            _panel(ax, points, amounts)
            ax.set_title(name if name == "average" else get_corpus(name).title, fontweight="bold" if name == "average" else None)
        for ax in axes[len(panels) :]:
            ax.axis("off")
        axes[0].set_ylabel("F1")
        figure.supxlabel("training sentences of the new task", fontsize=8)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=5, columnspacing=1.2, handlelength=1.6)


def _average(corpora: Mapping[str, Points]) -> Points:
    """Over those corpora that all have the point."""
    first, *others = corpora.values()
    return {
        learned: {
            amount: [mean(mean(own[learned][amount]) for own in corpora.values())]
            for amount in by
            if all(amount in own.get(learned, {}) for own in others)
        }
        for learned, by in first.items()
    }


def _panel(ax: Axes, points: Points, amounts: list[str]) -> None:
    open_frame(ax)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xticks(range(len(amounts)), amounts, rotation=45)
    for (learned, name), colour in zip(NAMES.items(), COLOURS, strict=False):
        own = points.get(learned, {})
        if learned == ALL_TASKS:
            for f1s in own.values():
                ax.axhline(mean(f1s), color=GREY, linestyle="--", linewidth=0.8, label=name)
            continue
        # numbers and shares of a corpus' sentences are two axes: no line leads from one to the other
        reached = [(x, mean(own[amount])) for x, amount in enumerate(amounts) if amount in own]
        first_share = sum(not amounts[x].endswith("%") for x, _ in reached)
        if reached:
            line = [*reached[:first_share], (nan, nan), *reached[first_share:]]
            ax.plot(*zip(*line, strict=True), color=colour, marker="o", markersize=3, label=name)

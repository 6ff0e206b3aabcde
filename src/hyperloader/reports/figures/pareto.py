"""F1 against what it costs: trainable parameters, and seconds of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.files import write_text
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.reports.figures.style import COLOURS, GREY, MARKERS, canvas, note, open_frame, remark, tell
from hyperloader.reports.tables.scores import seeds_in_words
from hyperloader.reports.tables.sheet import as_csv, interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperloader.reports.tables.ablations import Arm

COSTS = {"trainable": "trainable parameters of all models", "seconds": "seconds of training of all models"}
# a logarithmic axis that is shorter than this has no powers of ten to name
SEVERAL_TICKS = 10
HEADER = ("percent", "method", "title", "f1", "ci_low", "ci_high", *COSTS, *(f"best_by_{cost}" for cost in COSTS))


def write_pareto(arms: Sequence[Arm], made: str, output: str | Path) -> None:
    """Write `pareto.svg`, `.png` and `.csv`: HyperLoader and the methods that nothing cheaper equals are named, all others grey.

    Args:
        arms: methods and variants with their scores and costs.
        made: scale, recipe and decoding, in words.
        output: path without its suffix.
    """
    from matplotlib.lines import Line2D

    fronts = {cost: front(arms, cost) for cost in COSTS}
    rows = [
        (
            *(f"{arm.fraction:g}", arm.name, arm.title, *(f"{value:.4f}" for value in (arm.own.difference, *arm.interval))),
            *(f"{arm.trainable:.0f}", f"{arm.seconds:.1f}", *("yes" if arm in fronts[cost] else "no" for cost in COSTS)),
        )
        for arm in arms
    ]
    write_text(Path(output).with_suffix(".csv"), as_csv(HEADER, rows))
    fractions = sorted({arm.fraction for arm in arms})
    # a method has one look in all panels
    named = dict.fromkeys([arm.title for arm in arms if arm.name == HyperLoader.name])
    named |= dict.fromkeys(arm.title for cost in COSTS for arm in fronts[cost])
    looks = {
        title: {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number // len(COLOURS) % len(MARKERS)]}
        for number, title in enumerate(named)
    }
    with canvas(output, height=max(1.5, 3.2 * len(fractions))) as figure:
        if not arms:
            note(figure, "nothing was run")
            return
        seeds = seeds_in_words(*(arm.own.seeds for arm in arms))
        remark(figure, f"{made}, {seeds}\nwith 95 % intervals; grey, or hollow: as good or better is cheaper")
        panels = figure.subplots(len(fractions), len(COSTS), sharey="row", squeeze=False)
        for row, fraction in zip(panels, fractions, strict=True):
            for ax, (cost, label) in zip(row, COSTS.items(), strict=True):
                own = [arm for arm in arms if arm.fraction == fraction]
                _panel(ax, own, [arm for arm in fronts[cost] if arm.fraction == fraction], cost, looks)
                ax.set_xlabel(label)
            row[0].set_ylabel(f"average micro F1 at {fraction:g} %")
        handles = [Line2D([], [], linestyle="", markersize=4, label=title, **look) for title, look in looks.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.2, handletextpad=0.4)


def front(arms: Sequence[Arm], cost: str) -> list[Arm]:
    """Those that no other at the same share of the data equals at no higher a cost, the cheapest first."""
    best = []
    for arm in sorted(arms, key=lambda own: (own.fraction, getattr(own, cost), -own.own.difference)):
        same = [other for other in best if other.fraction == arm.fraction]
        if all(arm.own.difference > other.own.difference for other in same):
            best.append(arm)
    return best


def _panel(ax: Axes, arms: Sequence[Arm], best: Sequence[Arm], cost: str, looks: Mapping[str, Mapping[str, str]]) -> None:
    from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

    for arm in sorted(arms, key=lambda own: own in best or own.name == HyperLoader.name):
        low, high = (abs(end - arm.own.difference) for end in arm.interval)
        look = looks[arm.title] if arm in best else {"color": GREY, "alpha": 0.5, "marker": MARKERS[0]}
        if arm.name == HyperLoader.name and arm not in best:
            look = looks[arm.title] | {"fillstyle": "none"}
        drawn = ax.errorbar(getattr(arm, cost), arm.own.difference, [[low], [high]], markersize=3.5, capsize=2, elinewidth=0.7, **look)
        tell(drawn[0], f"{arm.title}: F1 {arm.own.difference:.4f} ({interval(arm.interval)}), {getattr(arm, cost):,.0f} {COSTS[cost]}")
    ax.set_xscale("log")
    costs = [getattr(arm, cost) for arm in arms]
    if max(costs) < SEVERAL_TICKS * min(costs):
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    open_frame(ax)

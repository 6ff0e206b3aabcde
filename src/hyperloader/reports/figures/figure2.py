"""Figure 2: average F1 over the corpora against the share of parameters that a method trains, ours beside the paper's.

As in the paper a share is that of one model: a single-task method trains one such model for each corpus.

The interval covers the test sets: with half-widths h_c of the 95 % intervals of C corpora it is sqrt(sum_c h_c^2) / C on either side,
since the test sets are drawn independently. With several seeds F1s and half-widths are means over seeds, which are scored on the same
sentences; from three seeds on that of their mean is squared and added (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from math import hypot, nan, sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from hyperloader.corpora.registry import get_corpus
from hyperloader.files import read_rows, write_text
from hyperloader.reports.figures.style import COLOURS, GREY, canvas, open_frame, remark, tell
from hyperloader.reports.tables.published import Paper, read_brackets, read_published
from hyperloader.reports.tables.scores import seeds_in_words
from hyperloader.reports.tables.sheet import as_csv
from hyperloader.scoring.decisions import ALPHA, ENOUGH_SEEDS, Error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, PAPER = "ours", "paper"
SCORES = (
    "scale",
    "recipe",
    "title",
    "corpus",
    "percent",
    "seed",
    "decoding",
    "alignment",
    "mode",
    "labels",
    "subset",
    "f1",
    "ci_low",
    "ci_high",
)
MULTI_TASK, SINGLE_TASK = "osDPXhp", "^v<>"


@dataclass(frozen=True)
class Point:
    """A method at one fraction of the training data.

    Attributes:
        fraction: of the training data, in percent.
        method: its title.
        source: `ours` or `paper`.
        single_task: a model for each corpus.
        trainable: share of a model's parameters in percent; not a number for controls, which have none.
        f1: average over the corpora, and over the seeds.
        low, high: 95 % interval over test sentences and, from three seeds on, training seeds; not a number for the paper's points.
        sd: standard deviation over seeds; not a number for a single one.
        seeds: number of them.
    """

    fraction: float
    method: str
    source: str
    single_task: bool
    trainable: float
    f1: float
    low: float = nan
    high: float = nan
    sd: float = nan
    seeds: int = 1


def write_figure2(scores: str | Path, parameters: str | Path, published: str | Path, output: str | Path) -> None:
    """Write `figure2.svg`, `.png` and `.csv`.

    A method without all corpora at a fraction has no point there. The paper's points average the same corpora as ours.

    Args:
        scores: `scores.csv`.
        parameters: `parameters.csv`.
        published: folder of the paper's numbers.
        output: path without its suffix.

    Raises:
        UserError: a file is missing or is not such a table.
    """
    published = Path(published)
    paper = Paper.read(published / "table4.csv", published / "table3.csv")
    known = [row for row in read_rows(scores, SCORES) if get_corpus(row["corpus"]).title in paper.datasets]
    # of each run and corpus the headline: gold is truncated only where labels are read by their order
    rows = [row for row in known if row["alignment"] != "order" and (row["mode"], row["labels"], row["subset"]) == ("conll", "raw", "all")]
    run = {get_corpus(row["corpus"]).title for row in rows}
    corpora = [name for name in paper.datasets if name in run] or paper.datasets
    points = [*_ours(rows, len(corpora), parameters), *_papers(paper, corpora, published / "methods.csv")]
    write_text(Path(output).with_suffix(".csv"), as_csv([field.name for field in fields(Point)], map(_cells, points)))
    _draw(points, sorted({*paper.fractions, *(point.fraction for point in points)}), _caption(rows, corpora, paper), output)


def _ours(rows: list[dict[str, str]], corpora: int, parameters: str | Path) -> list[Point]:
    counts = {row["method"]: row for row in read_rows(parameters, ("method", "runs", "percent"))}
    scores: dict[tuple[float, str], dict[str, list[tuple[float, float, float]]]] = {}
    for row in rows:
        f1, low, high = (float(row[column]) for column in ("f1", "ci_low", "ci_high"))
        scores.setdefault((float(row["percent"]), row["title"]), {}).setdefault(row["seed"], []).append((f1, f1 - low, high - f1))
    points = []
    for (fraction, title), seeds in scores.items():
        whole = [of_seed for of_seed in seeds.values() if len(of_seed) == corpora]
        if not whole:
            continue
        f1s = [mean(f1 for f1, _, _ in of_seed) for of_seed in whole]
        below, above = (mean(sqrt(sum(cell[side] ** 2 for cell in of_seed)) / corpora for of_seed in whole) for side in (1, 2))
        count = counts.get(title)
        trainable = float(count["percent"]) if count else nan
        single_task = bool(count) and int(count["runs"]) > 1
        sd = stdev(f1s) if len(f1s) > 1 else nan
        seeded = Error(0.0, sd / sqrt(len(f1s)), len(f1s) - 1).quantile(ALPHA / 2) if len(f1s) >= ENOUGH_SEEDS else 0.0
        low, high = max(0.0, mean(f1s) - hypot(below, seeded)), min(1.0, mean(f1s) + hypot(above, seeded))
        points.append(Point(fraction, title, OURS, single_task, trainable, mean(f1s), low, high, sd, len(f1s)))
    return points


def _papers(paper: Paper, corpora: list[str], brackets: Path) -> list[Point]:
    shares = read_brackets(brackets)
    single_task = {row["title"]: row["single_task"] == "yes" for row in read_published(brackets, ("title", "single_task"))}
    points = []
    for fraction in paper.fractions:
        for title in paper.titles:
            cells = [paper.f1[title, fraction, name] for name in corpora if (title, fraction, name) in paper.f1]
            if len(cells) == len(corpora) and title in shares:
                points.append(Point(fraction, title, PAPER, single_task[title], 100 * shares[title]["share"], mean(cells)))
    return points


def _cells(point: Point) -> list[str]:
    """A point's line of the CSV; empty where there is no number."""
    words = {True: "yes", False: "no"}
    values = [words[value] if isinstance(value, bool) else value for value in astuple(point)]
    values[0] = f"{point.fraction:g}"
    return ["" if value != value else f"{value:.4f}" if isinstance(value, float) else str(value) for value in values]


def _caption(rows: list[dict[str, str]], corpora: list[str], paper: Paper) -> str:
    """What was run: scale, recipe and seeds, and the corpora if not all of the paper's."""
    if not rows:
        return "nothing was run"
    signature = ", ".join(f"{key} {rows[0][key]}" for key in ("scale", "recipe", "decoding"))
    signature += f", {seeds_in_words(sorted({int(row['seed']) for row in rows}))}"
    return signature + ("" if corpora == paper.datasets else f"; averages over {', '.join(corpora)}")


def _draw(points: Sequence[Point], fractions: list[float], caption: str, output: str | Path) -> None:
    from matplotlib.lines import Line2D

    # the paper's methods come first, in its order: their looks do not depend on what else was run
    networks = [point for point in points if point.trainable == point.trainable]
    titles = dict.fromkeys(point.method for point in sorted(networks, key=lambda point: point.source == OURS))
    single = {point.method: point.single_task for point in networks}
    shapes = {False: iter(MULTI_TASK * len(titles)), True: iter(SINGLE_TASK * len(titles))}
    looks = {title: {"color": COLOURS[number % len(COLOURS)], "marker": next(shapes[single[title]])} for number, title in enumerate(titles)}
    # a control that is always right or always wrong is a check of the machinery and says nothing about methods
    controls = list(dict.fromkeys(point.method for point in points if point.trainable != point.trainable and 0 < point.f1 < 1))
    dashes = {title: {"color": GREY, "linestyle": (0, (4, 2 + 2 * number))} for number, title in enumerate(controls)}
    with canvas(output, height=3.4) as figure:
        panels = figure.subplots(1, len(fractions), sharey=True, squeeze=False)[0]
        for ax, fraction in zip(panels, fractions, strict=True):
            _panel(ax, [point for point in points if point.fraction == fraction], looks, dashes)
            ax.set_title(f"{fraction:g} % of the training data")
        panels[0].set_ylabel("average micro F1")
        panels[len(panels) // 2].set_xlabel("trainable parameters of a model (% of all its parameters)")
        remark(figure, caption)
        handles = [
            Line2D([], [], linestyle="", markersize=5, label=f"{title} (single-task)" if single[title] else title, **look)
            for title, look in looks.items()
        ]
        handles += [Line2D([], [], label=title, **look) for title, look in dashes.items()]
        filled = {"linestyle": "", "marker": "o", "color": GREY, "markersize": 5}
        handles += [
            Line2D([], [], label="filled: ours, with 95 % interval", **filled),
            Line2D([], [], label="hollow: the paper's", markerfacecolor="none", **filled),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.2, handletextpad=0.4)


def _in_words(point: Point) -> str:
    """A point's numbers."""
    interval = f" ({point.low:.4f} to {point.high:.4f})" if point.low == point.low else ""
    sd = f", sd {point.sd:.4f} over {point.seeds} seeds" if point.sd == point.sd else ""
    share = f", {point.trainable:.2f} % trained" if point.trainable == point.trainable else ""
    return f"{point.method}, {point.source}, {point.fraction:g} % of the data: F1 {point.f1:.4f}{interval}{sd}{share}"


def _panel(ax: Axes, points: list[Point], looks: dict[str, dict], dashes: dict[str, dict]) -> None:
    for point in points:
        drawn = []
        if point.method in dashes:
            drawn = [ax.axhline(point.f1, linewidth=0.8, **dashes[point.method])]
        elif point.method in looks and point.source == PAPER:
            drawn = ax.plot(point.trainable, point.f1, markersize=5, markerfacecolor="none", linestyle="", **looks[point.method])
        elif point.method in looks:
            interval = [[max(0.0, point.f1 - point.low)], [max(0.0, point.high - point.f1)]]
            drawn = ax.errorbar(point.trainable, point.f1, interval, markersize=4, capsize=3, elinewidth=0.8, **looks[point.method])[:1]
        for artist in drawn:
            tell(artist, _in_words(point))
    if not any(point.source == OURS for point in points):
        ax.text(0.97, 0.03, "not run here", transform=ax.transAxes, ha="right", va="bottom", fontsize=7, color=GREY)
    ax.set_xscale("log")
    ax.set_xlim(1, 140)
    ticks = [1, 2, 5, 10, 20, 50, 100]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    open_frame(ax)

"""F1 of each slot type under each method, trained on all of the data, as a heat map."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from hyperloader.corpora.registry import get_corpus, known_corpora
from hyperloader.files import write_text
from hyperloader.methods.registry import get_method
from hyperloader.reports.figures.style import HEIGHT, canvas, note, remark
from hyperloader.reports.tables.scores import called, made_of
from hyperloader.reports.tables.sheet import as_csv
from hyperloader.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from hyperloader.runs.records import ScoresRecord

FRACTION, MOST = 100, 12
HEADER = ("corpus", "label", "gold_spans", "method", "f1", "seeds")
# F1s by seed, for each method; the slot types of each corpus, with their gold spans
F1s = dict[str, list[float]]
Corpora = dict[str, dict[str, tuple[int, F1s]]]


def write_labels(runs: Iterable[str | Path], output: str | Path) -> None:
    """Write `labels.csv` with every slot type, and `labels.svg` and `.png` with the most frequent ones of each corpus.

    Args:
        runs: folders of runs; those on less than all of the training data are left out. Several seeds become their mean.
        output: path without its suffix.

    Raises:
        UserError: the scores of a run are missing or damaged.
    """
    titles: list[str] = []
    controls: set[str] = set()
    corpora: Corpora = {}
    scored = []
    for run in runs:
        scores = Run(run).scores()
        if scores.percent == FRACTION:
            scored.append(scores)
            title = called(scores)[1]
            if not get_method(scores.method).trains_network:
                controls.add(title)
            titles += [] if title in titles else [title]
            for name, entry in scores.corpora.items():
                for label, score in entry.labels.items():
                    types = corpora.setdefault(get_corpus(name).title, {})
                    types.setdefault(label, (score.gold_spans, {}))[1].setdefault(title, []).append(score.f1)
    corpora = {corpus.title: _ranked(corpora[corpus.title]) for corpus in known_corpora().values() if corpus.title in corpora}
    rows = [
        (corpus, label, gold, title, f"{mean(f1s[title]):.4f}", len(f1s[title]))
        for corpus, types in corpora.items()
        for label, (gold, f1s) in types.items()
        for title in titles
        if title in f1s
    ]
    write_text(Path(output).with_suffix(".csv"), as_csv(HEADER, rows))
    _draw(corpora, [title for title in titles if title not in controls or _informative(title, corpora)], scored, output)


def _ranked(types: dict[str, tuple[int, F1s]]) -> dict[str, tuple[int, F1s]]:
    """The most frequent types first; those that occur in predictions only have no F1 worth the name."""
    return {label: types[label] for label in sorted(types, key=lambda label: (-types[label][0], label)) if types[label][0]}


def _informative(control: str, corpora: Corpora) -> bool:
    """Whether a control finds some spans and misses others; one that does neither checks the machinery and says nothing of methods."""
    return {f1 for types in corpora.values() for _, f1s in types.values() for f1 in f1s.get(control, ())} not in ({0}, {1})


def _draw(corpora: Corpora, titles: list[str], scored: list[ScoresRecord], output: str | Path) -> None:
    shown = {corpus: list(types.items())[:MOST] for corpus, types in corpora.items() if types}
    if not shown:
        with canvas(output, height=1.5) as figure:
            note(figure, f"no run on {FRACTION} % of the training data")
        return
    columns = [[corpus for corpus in column if corpus in shown] for column in _balanced({name: len(rows) for name, rows in shown.items()})]
    tallest = max(sum(len(shown[corpus]) + 2 for corpus in column) for column in columns)
    with canvas(output, height=min(HEIGHT, 1.6 + 0.135 * tallest)) as figure:
        trained = f"F1 x 100 after training on {FRACTION} % of the training data; number of gold spans behind each slot type"
        remark(figure, f"{made_of(scored)}\n{trained}")
        parts = figure.subfigures(1, len(columns), squeeze=False)[0]
        for part, column in zip(parts, columns, strict=True):
            _column(part, {corpus: shown[corpus] for corpus in column}, corpora, titles, tallest)


def _balanced(sizes: dict[str, int]) -> list[list[str]]:
    """Corpora in two columns of about the same height, in their order."""
    half, left = sum(sizes.values()) / 2, []
    for corpus, size in sizes.items():
        if left and sum(sizes[name] for name in left) + size / 2 > half:
            break
        left.append(corpus)
    right = list(sizes)[len(left) :]
    return [left, right] if right else [left]


def _column(part: SubFigure, shown: dict[str, list], corpora: Corpora, titles: list[str], tallest: int) -> None:
    """Panels below each other; every row of every column has the same height."""
    ratios = [len(rows) for rows in shown.values()]
    spare = tallest - sum(ratio + 2 for ratio in ratios)
    panels = part.subplots(len(shown) + bool(spare), 1, squeeze=False, height_ratios=ratios + [spare] * bool(spare))[:, 0]
    if spare:
        panels[-1].axis("off")
    for ax, (corpus, rows) in zip(panels, shown.items(), strict=False):
        _panel(ax, rows, titles)
        kinds = f"{len(rows)} of {len(corpora[corpus])} slot types" if len(rows) < len(corpora[corpus]) else f"{len(rows)} slot types"
        ax.set_title(f"{corpus}, {kinds}", loc="right", pad=6)
    panels[0].tick_params(labeltop=True, labelbottom=False, length=0)
    panels[0].set_xticks(range(len(titles)), titles, rotation=90)


def _panel(ax: Axes, rows: list[tuple[str, tuple[int, F1s]]], titles: list[str]) -> None:
    cells = [[mean(f1s[title]) if title in f1s else float("nan") for title in titles] for _, (_, f1s) in rows]
    ax.imshow(cells, cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for y, row in enumerate(cells):
        for x, f1 in enumerate(row):
            if f1 == f1:
                ax.text(x, y, f"{100 * f1:.0f}", ha="center", va="center", fontsize=7, color="black" if f1 > 0.45 else "white")
    ax.set_yticks(range(len(rows)), [f"{label}  {gold:,}" for label, (gold, _) in rows])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)

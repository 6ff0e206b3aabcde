"""The paper's own tables as an experiment with seven corpora: HyperLoader against each of its other methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

from hyperloader.corpora.registry import known_corpora
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.reports.tables.published import Paper
from hyperloader.reports.tables.sheet import Sheet, as_csv, decimals

COLUMNS = (
    *("percent", "other", "difference", "wins", "losses", "p_wilcoxon", "rank", "rank_other"),
    *("least", "least_without", "most", "most_without", "task_kind", "difference_of_kind"),
)


@dataclass(frozen=True)
class Row:
    """HyperLoader against another method at one share of the data, over the corpora.

    Attributes:
        difference: of the averages.
        wins, losses: corpora.
        p: of Wilcoxon's signed-rank test, two-sided, by all signs.
        ranks: mean ranks of both among all methods, 1 being the best.
        least, most: the difference of the averages without one corpus, and its name.
        kinds: the difference of the averages over the corpora of each kind of task.
    """

    fraction: float
    other: str
    difference: float
    wins: int
    losses: int
    p: float
    ranks: tuple[float, float]
    least: tuple[float, str]
    most: tuple[float, str]
    kinds: dict[str, float]


def reanalysis(paper: Paper) -> Iterator[Row]:
    """Each share of the data and other method, of those methods that have a number on every corpus."""
    from scipy.stats import PermutationMethod, rankdata, wilcoxon

    ours, kinds = HyperLoader.title, {corpus.title: corpus.task_kind for corpus in known_corpora().values()}
    for fraction in paper.fractions:
        rows = {title: {name: paper.f1.get((title, fraction, name)) for name in paper.datasets} for title in paper.titles}
        table = {title: row for title, row in rows.items() if None not in row.values()}
        if ours not in table:
            continue
        ranks = rankdata([[-row[name] for row in table.values()] for name in paper.datasets], axis=1).mean(0)
        by_title = dict(zip(table, ranks.tolist(), strict=True))
        for other in (title for title in table if title != ours):
            # printed numbers have four digits, and equal differences share a rank
            change = {name: round(table[ours][name] - table[other][name], 4) for name in paper.datasets}
            without = [(mean(value for name, value in change.items() if name != left), left) for left in change]
            known = sorted({kinds[name] for name in change if name in kinds})
            by_kind = {kind: mean(change[name] for name in change if kinds.get(name) == kind) for kind in known}
            p = wilcoxon(list(change.values()), method=PermutationMethod(n_resamples=1 << len(change))).pvalue
            wins, losses = (sum(sign * value > 0 for value in change.values()) for sign in (1, -1))
            pair = by_title[ours], by_title[other]
            yield Row(fraction, other, mean(change.values()), wins, losses, float(p), pair, min(without), max(without), by_kind)


def written(paper: Paper) -> tuple[str, Sheet]:
    """The rows as CSV, a line for each kind of task, and for people."""
    lines, cells = [], []
    for row in reanalysis(paper):
        ranks, ends = (f"{rank:.2f}" for rank in row.ranks), (row.least, row.most)
        known = [f"{row.fraction:g}", row.other, decimals(row.difference), row.wins, row.losses, decimals(row.p), *ranks]
        known += [part for value, name in ends for part in (decimals(value), name)]
        lines += [[*known, kind, decimals(value)] for kind, value in row.kinds.items()]
        shown = [f"{row.fraction:g} %", row.other, decimals(row.difference, "+"), f"{row.wins} / {row.losses}", f"{row.p:.3f}"]
        shown += [" / ".join(f"{rank:.2f}" for rank in row.ranks), *(f"{decimals(value, '+')} (without {name})" for value, name in ends)]
        cells.append([*shown, *(decimals(value, "+") for value in row.kinds.values())])
    kinds = list(row.kinds) if lines else []
    sheet = Sheet(
        title="Reanalysis",
        caption="the numbers that the paper prints, as an experiment with its corpora: HyperLoader minus each other method on average, "
        "corpora won and lost, p of Wilcoxon's signed-rank test over corpora (two-sided, all signs, uncorrected), mean ranks of both among "
        "all methods, the least and the greatest difference of the averages without one corpus, and the difference by kind of task.",
        header=["Data", "Other", "Difference", "Won / lost", "p", "Ranks", "At least", "At most", *kinds],
        rows=cells,
        align="llrrrrll" + "r" * len(kinds),
    )
    return as_csv(COLUMNS, lines), sheet

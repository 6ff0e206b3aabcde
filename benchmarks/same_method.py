"""How often two groups of runs of one and the same method are called different: sentences alone, and the rule of the suite.

Each method with scored runs of several seeds at a share of the data is compared with itself: every pair of seeds, and every split of six
of them into three and three.

    python benchmarks/same_method.py results/demo/runs/matched/{hyperloader,hyperformer_pp}/all/100/seed*
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

from hyperloader.cli.standard_streams import told_in_one_line
from hyperloader.corpora.registry import get_corpus, paper_corpora
from hyperloader.reports.tables.published import AVERAGE
from hyperloader.reports.tables.samples import Samples
from hyperloader.reports.tables.scores import Scores
from hyperloader.runs.run import Run
from hyperloader.scoring.decisions import ENOUGH_SEEDS, Decision, Values, Verdict, decide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    scores = Scores.read(run / Run.SCORES for run in options.runs)
    samples = Samples(scores, [get_corpus(name).title for name in paper_corpora()])
    print("| method | data | on | seeds | F1 | sd | groups | compared | sentences alone | the rule |")
    print("|---|---:|---|---:|---:|---:|---|---:|---:|---:|")
    for title, fraction in dict.fromkeys((title, fraction) for title, fraction, _ in scores.cells):
        for name, datasets in ((AVERAGE, [AVERAGE]), ("corpora", samples.datasets)):
            values = [samples.f1(title, fraction, dataset) for dataset in datasets]
            f1s = [mean(own[seed][0] for own in values) for seed in values[0]]
            if len(f1s) < 2:
                continue
            about = f"| {title} | {fraction:g} % | {name} | {len(f1s)} | {mean(f1s):.4f} | {stdev(f1s):.4f} |"
            for size in (1, ENOUGH_SEEDS):
                found = [decision for own in values for decision in compared(own, size)]
                if found:
                    print(f"{about} {size} and {size} | {len(found)} | {share(own.models_differ for own in found)} | {ruled(found)} |")


def compared(values: Values, size: int) -> Iterator[Decision]:
    """The decisions on two disjoint groups of as many seeds."""
    for first in combinations(sorted(values), size):
        for other in combinations([seed for seed in sorted(values) if seed not in first], size):
            if first < other:
                decision = decide(*({place: values[seed] for place, seed in enumerate(group)} for group in (first, other)))
                assert decision is not None
                yield decision


def ruled(found: list[Decision]) -> str:
    """What the rule says of the same decisions."""
    if not found[0].enough:
        return "one seed"
    return share(own.verdict in (Verdict.CONFIRMED, Verdict.CONTRADICTED) for own in found)


def share(answers: Iterator[bool]) -> str:
    """How many answers are yes."""
    return f"{100 * mean(answers):.0f} %"


if __name__ == "__main__":
    with told_in_one_line():
        main()

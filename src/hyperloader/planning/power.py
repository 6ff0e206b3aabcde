"""What a plan can find before it is run: the smallest difference of two methods' averages that its seeds and test sets will show."""

from __future__ import annotations

from math import sqrt

from hyperloader.corpora.generated.generate import SIZES
from hyperloader.corpora.registry import get_corpus, paper_corpora
from hyperloader.planning.plan import Plan
from hyperloader.scoring.decisions import ENOUGH_SEEDS, Decision

# assumed: of one method's average over training seeds, and of a test sentence's share in the difference of two methods (docs/statistics.md)
SEED_SD, SENTENCE_SD = 0.003, 0.2


def expected(sizes: list[int], seeds: int) -> Decision:
    """The errors of the difference of two methods' averages.

    Args:
        sizes: sentences of each test set.
        seeds: number of training seeds.
    """
    test = SENTENCE_SD * sqrt(sum(1 / size for size in sizes)) / len(sizes)
    return Decision(0.0, 0.0, tuple(range(seeds)), test, sqrt(2) * SEED_SD if seeds > 1 else None)


def sizes_of_tests(plan: Plan, scale: str) -> list[int]:
    """Sentences in the test sets that the average is over, from the paper's table 2; empty if the plan lacks one of them."""
    if not set(paper_corpora()) <= set(plan.corpora):
        return []
    published = [corpus.paper for corpus in map(get_corpus, paper_corpora()) if corpus.paper]
    return [paper.test if plan.scale(scale).corpora == "real" else SIZES["test"] for paper in published]


def as_text(plan: Plan, scale: str) -> str:
    """What is detectable with the configured number of seeds, and with others; empty if the plan gives no average."""
    sizes, configured = sizes_of_tests(plan, scale), len(plan.seeds(scale))
    if not sizes:
        return ""
    numbers = sorted({number for number in (configured, 3, 5, 10) if number >= ENOUGH_SEEDS})
    listed = ", ".join(f"{expected(sizes, number).detectable:.4f} with {number} seeds" for number in numbers)
    too_few = "" if configured >= ENOUGH_SEEDS else f"\nThe configured seeds ({configured}) are too few to say anything about methods.\n"
    return (
        f"\nSmallest difference of two methods' averages that is found four times out of five: {listed}; of two trained models "
        f"{expected(sizes, 1).detectable:.4f}.\nAssumed: an average deviates by {SEED_SD:g} from seed to seed, a test sentence's share in "
        f"a difference by {SENTENCE_SD:g} (docs/statistics.md).\n{too_few}"
    )

"""What a plan can find, from the sizes of its test sets and its number of seeds."""

from pathlib import Path

import pytest
from scipy.stats import norm, t

from hyperloader.corpora.registry import known_corpora
from hyperloader.planning.plan import Plan
from hyperloader.planning.power import SEED_SD, SENTENCE_SD, as_text, expected

CONFIG = Path(__file__).parents[2] / "config/config.yaml"


def detectable(sizes, seeds):
    """Quantiles at 2.5 % and at 20 %, of both errors."""
    test, sd = SENTENCE_SD * sum(1 / size for size in sizes) ** 0.5 / len(sizes), SEED_SD * (2 / seeds) ** 0.5
    return sum(((norm.isf(tail) * test) ** 2 + (t.isf(tail, seeds - 1) * sd) ** 2) ** 0.5 for tail in (0.025, 0.2))


@pytest.mark.parametrize("scale", ["demo", "mini", "paper"])
def test_a_plan_says_what_its_seeds_can_find(scale):
    published = [corpus.paper.test for corpus in known_corpora().values()]
    sizes = [200] * 7 if scale == "demo" else published
    text = as_text(Plan.read(CONFIG, ["seeds=[1, 2, 3, 4]"]), scale)
    for seeds in (3, 4, 5, 10):
        assert f"{detectable(sizes, seeds):.4f} with {seeds} seeds" in text
    assert "too few" not in text and str(SEED_SD) in text
    assert "too few" in as_text(Plan.read(CONFIG, ["seeds=[1]"]), scale)
    # as the sum of quantiles of one normal error
    assert expected(sizes, 1).detectable == pytest.approx(2.8016 * expected(sizes, 1).se_test, rel=1e-4)


def test_a_plan_without_all_of_the_papers_corpora_has_no_average():
    assert as_text(Plan.read(CONFIG, ["corpora=[atis, snips]"]), "demo") == ""

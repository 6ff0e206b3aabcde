"""What differences decide: against distributions that are known, definitions, and simulated experiments."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t

from hyperloader.scoring.decisions import Decision, Error, Evidence, Verdict, all_of, at_least, decide, exactly, verdicts

false_decisions = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/false_decisions.py"))["false_decisions"]
SHARES = st.floats(0, 1)
EVIDENCE = st.builds(Evidence, SHARES, SHARES, SHARES, st.sampled_from([None, Verdict.ONE_SEED, Verdict.NOT_RUN]))


def values(*scores, error=0.0, samples=2001):
    """Scores by seed with bootstrap samples of this standard error, which are the same for all seeds."""
    noise = error * np.random.default_rng(0).standard_normal(samples)
    noise = np.append(0.0, (noise - noise.mean()) * (error / noise.std(ddof=1) if error else 1))
    return {seed: score + noise for seed, score in enumerate(scores)}


@given(st.floats(0, 2), st.floats(0, 2), st.integers(1, 9), st.floats(0.001, 0.4))
def test_tails_and_quantiles_of_an_error_are_each_others(normal, estimated, freedom, tail):
    error = Error(normal, estimated, freedom)
    quantile = error.quantile(tail)
    assert quantile == pytest.approx(np.hypot(normal * norm.isf(tail), estimated * t.isf(tail, freedom)))
    if quantile > 1e-6:
        assert error.tail(quantile) == pytest.approx(tail, rel=1e-3)
        assert error.tail(-quantile) == pytest.approx(1 - tail, rel=1e-3)


def test_an_error_of_one_part_is_that_of_normal_or_student():
    assert Error(0.5).tail(1.0) == pytest.approx(norm.sf(2)) and Error(0, 0.5, 4).tail(1.0) == pytest.approx(t.sf(2, 4))
    assert Error(0).tail(0.1) == 0 and Error(0).tail(0) == 0.5


def test_a_difference_has_the_errors_of_sentences_and_seeds():
    decision = decide(values(0.9, 0.8, 0.7, error=0.01), values(0.5, 0.5, 0.5, 0.1))
    assert (decision.first, decision.other, decision.difference) == pytest.approx((0.8, 0.5, 0.3)) and decision.seeds == (0, 1, 2)
    assert (decision.se_test, decision.sd_seeds) == pytest.approx((0.01, 0.1))
    half = np.hypot(1.95996 * 0.01, 4.30265 * 0.1 / 3**0.5)
    assert decision.interval == pytest.approx((0.3 - half, 0.3 + half), abs=1e-4)
    # p is 5 % where the interval ends
    low, _ = decision.interval
    assert decide(values(0.9, 0.8, 0.7, error=0.01), values(*[0.5 + low] * 3)).p == pytest.approx(0.05, rel=1e-3)
    assert decision.verdict is Verdict.CONFIRMED and decide(values(*[0.5] * 3), values(0.9, 0.8, 0.7)).verdict is Verdict.CONTRADICTED
    assert decide(values(0.5), {7: np.array([0.5])}) is None


@pytest.mark.parametrize("seeds, verdict", [(1, Verdict.ONE_SEED), (2, Verdict.TWO_SEEDS), (3, Verdict.CONFIRMED)])
def test_too_few_seeds_decide_nothing_whatever_the_difference(seeds, verdict):
    decision = decide(values(*[0.9] * seeds, error=0.001), values(*[0.1] * seeds))
    assert decision.verdict is verdict and decision.models_differ
    assert (decision.p is None) == (seeds < 3)
    assert decision.interval == pytest.approx((0.8 - 0.00196, 0.8 + 0.00196), abs=1e-5)


def test_equal_methods_are_equivalent_and_not_contradicted():
    same = decide(values(*[0.5] * 3), values(*[0.5] * 3))
    assert same.interval == (0, 0) and same.p == 1 and same.verdict is Verdict.EQUIVALENT
    # two one-sided tests at 2.5 %: the interval lies within the margin
    for difference, error, margin, verdict in (
        (0.001, 0.001, 0.003, Verdict.EQUIVALENT),
        (0.001, 0.002, 0.003, Verdict.INCONCLUSIVE),
        (0.001, 0.002, 0.006, Verdict.EQUIVALENT),
        (0.002, 0.0005, 0.003, Verdict.CONFIRMED),
        (-0.002, 0.0005, 0.003, Verdict.CONTRADICTED),
    ):
        assert decide(values(*[0.5 + difference] * 3, error=error), values(*[0.5] * 3), margin).verdict is verdict


def test_what_is_detectable_is_found_four_times_out_of_five():
    rng, error = np.random.default_rng(0), 0.01
    gap = Decision(0.5, 0.5, (1, 2, 3), error, 0.0).detectable
    found = [Decision(0.5 + gap + error * noise, 0.5, (1, 2, 3), error, 0.0).verdict for noise in rng.standard_normal(4000)]
    assert np.mean([verdict is Verdict.CONFIRMED for verdict in found]) == pytest.approx(0.8, abs=0.03)


@given(st.lists(EVIDENCE, min_size=1, max_size=7), st.data())
def test_counts_are_partial_conjunctions(parts, data):
    number = data.draw(st.integers(1, len(parts)))
    evidence = at_least(number, parts)
    if len(parts) == 1:
        assert evidence == parts[0]
        return
    spare = len(parts) - number + 1
    assert evidence.holds == min(1, spare * sorted(part.holds for part in parts)[number - 1])
    assert evidence.fails == min(1, number * sorted(part.fails for part in parts)[spare - 1])
    # that fewer hold is that more do not
    opposite = at_least(spare, [part.negated() for part in parts])
    assert (opposite.holds, opposite.fails) == (evidence.fails, evidence.holds)
    whole = all_of(parts)
    assert whole.holds == max(part.holds for part in parts) and whole.fails == min(1, len(parts) * min(part.fails for part in parts))


def test_counts_of_statements_without_errors():
    parts = [Evidence.exact(True), Evidence.exact(True), Evidence.exact(False)]
    said = {number: (at_least(number, parts).verdict(), exactly(number, parts).verdict()) for number in range(5)}
    yes, no = Verdict.CONFIRMED, Verdict.CONTRADICTED
    assert said == {0: (yes, no), 1: (yes, no), 2: (yes, yes), 3: (no, no), 4: (no, no)}


@pytest.mark.parametrize("true, number, size", [(0, 1, 7), (2, 3, 7), (6, 7, 7), (3, 4, 5)])
def test_counts_and_chains_hold_their_level_at_the_border(true, number, size):
    """As many parts hold beyond doubt as make the statement just false; the others are ties, and independent."""
    rng = np.random.default_rng([true, number])
    chance = rng.random((4000, size - true))
    parts = [[*[Evidence(0, 1)] * true, *(Evidence(p, 1 - p) for p in row)] for row in chance]
    wrong = np.mean([at_least(number, row).verdict() is Verdict.CONFIRMED for row in parts])
    # one side of 5 %, and three standard errors
    assert wrong <= 0.025 + 3 * (0.025 / 4000) ** 0.5
    # with as many as are true it is not contradicted more often either
    against = np.mean([at_least(true, row).verdict() is Verdict.CONTRADICTED for row in parts])
    assert against <= 0.025 + 3 * (0.025 / 4000) ** 0.5


def test_what_is_missing_is_said_only_if_the_rest_decides_nothing():
    yes, no, absent, seed = Evidence(0, 1), Evidence(1, 0), Evidence(open=Verdict.NOT_RUN), Evidence(open=Verdict.ONE_SEED)
    cases = ([yes, yes], [yes, Evidence(0.4, 0.6)], [yes, seed], [seed, absent], [absent, no])
    assert [all_of(own).verdict() for own in cases] == ["confirmed", "inconclusive", "one seed", "not run", "contradicted"]
    assert at_least(1, [yes, absent]).verdict() is Verdict.CONFIRMED


def test_a_family_is_corrected_by_holm():
    family = [Evidence(0.001, 0.999), Evidence(0.02, 0.98), Evidence(0.99, 0.01), Evidence(0.5, 0.5, 0.001)]
    assert [own.verdict().value for own in family] == ["confirmed", "confirmed", "contradicted", "equivalent"]
    assert [(round(p, 6), verdict.value) for p, verdict in verdicts(family)] == [
        (0.008, "confirmed"), (0.04, "confirmed"), (0.04, "contradicted"), (0.008, "equivalent"),
    ]  # fmt: skip
    assert verdicts([Evidence(0.02, 0.98)] * 2)[0] == (pytest.approx(0.08), Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("seeds, ratio", [(3, 0), (3, 2), (5, 1)])
def test_equal_methods_are_seldom_told_apart(seeds, ratio):
    alone, _, rule = false_decisions(seeds, ratio, replications=300, resamples=200)
    # 5 %, and three standard errors of 300
    assert rule <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert alone >= rule and (alone > 0.1 or ratio < 2)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("ratio", [0, 0.5, 1, 2, 3])
def test_equal_methods_are_told_apart_in_five_of_a_hundred_experiments_or_fewer(seeds, ratio):
    *_, rule = false_decisions(seeds, ratio, replications=1500, resamples=500)
    # three standard errors of 1,500; fewer in between, where the smaller of the two errors counts for more than it does
    assert 0.01 <= rule <= 0.05 + 3 * (0.05 * 0.95 / 1500) ** 0.5
    # of the seed nothing is known from one
    assert ratio < 1 or false_decisions(1, ratio, replications=500, resamples=200)[0] > 0.1

"""Resampling of test sentences against exact enumeration and against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import right
from scipy.stats import bootstrap, norm, permutation_test

from hyperloader.scoring.statistics import (
    DETECTABLE,
    bootstrap_interval,
    detectable_difference,
    holm,
    interval,
    micro_f1,
    p_value,
    resampled_f1s,
    swapped_differences,
)


def systems(seed, sentences, count=2):
    """Random span counts of systems on the same sentences."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 4, sentences)
    predicted = rng.integers(0, 4, (count, sentences))
    correct = rng.binomial(np.minimum(gold, predicted), np.linspace(0.5, 0.7, count)[:, None])
    return np.stack([np.broadcast_to(gold, predicted.shape), predicted, correct], -1)


def f1_difference(both):
    """A statistic over indices: the first rows are the first system's sentences, then come the second's."""
    return lambda first, second: float(micro_f1(both[first].sum(0)) - micro_f1(both[second].sum(0)))


@pytest.mark.parametrize("seed", range(5))
def test_the_paired_test_agrees_with_all_swaps(seed):
    first, second = systems(seed, 10)
    both, index = np.concatenate([first, second]), np.arange(10)
    exact = permutation_test((index, index + 10), f1_difference(both), permutation_type="samples", vectorized=False, n_resamples=np.inf)
    differences = swapped_differences(first[None], second[None], seed)
    assert differences[0] == pytest.approx(exact.statistic)
    # three standard errors of 10,000 draws, at most 0.015
    assert p_value(differences) == pytest.approx(np.mean(np.abs(exact.null_distribution) >= abs(exact.statistic) - 1e-12), abs=0.015)


def test_training_seeds_are_swapped_together():
    first, second = systems(1, 40, 2)
    once = swapped_differences(first[None], second[None])
    twice = swapped_differences(np.stack([first] * 2), np.stack([second] * 2))
    # the same run twice is no more evidence than once
    assert p_value(twice) == pytest.approx(p_value(once), abs=0.02) and twice[0] == pytest.approx(once[0])


def test_equal_systems_do_not_differ_and_opposite_ones_do():
    one = right(0.5)[None]
    assert p_value(swapped_differences(one, one)) == 1
    assert p_value(swapped_differences(one, right(0.5, start=50)[None])) > 0.5
    assert p_value(swapped_differences(right(0.9)[None], right(0.1)[None])) == 1 / 10_000


def test_chance_alone_is_significant_as_often_as_it_should_be():
    rng, small = np.random.default_rng(0), 0
    for seed in range(200):
        # two systems of equal quality, apart from chance
        right_ones = rng.random((2, 80)) < 0.7
        first, second = (np.stack([np.ones(80), np.ones(80), own], -1)[None] for own in right_ones)
        small += p_value(swapped_differences(first, second, seed, rounds=499)) <= 0.1
    # 20 are expected; 6 are more than three standard deviations away
    assert 6 < small < 34


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_that_of_its_definition(p):
    order = sorted(range(len(p)), key=lambda index: p[index])
    corrected, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = highest
    assert holm(p) == pytest.approx(corrected)


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 3))
def test_resampled_scores_start_with_the_real_one_and_do_not_depend_on_the_company(seed, sentences, count):
    counts = systems(seed, sentences, count)
    together = resampled_f1s(counts, seed, resamples=20)
    assert together.shape == (count, 21)
    assert together[:, 0] == pytest.approx(micro_f1(counts.sum(1)))
    assert np.array_equal(together, np.concatenate([resampled_f1s(own[None], seed, resamples=20) for own in counts]))


def test_the_paired_interval_agrees_with_scipy():
    first, second = systems(3, 200)
    both, index = np.concatenate([first, second]), np.arange(200)
    reference = bootstrap(
        (index, index + 200), f1_difference(both), paired=True, vectorized=False, n_resamples=3000, method="percentile", rng=0
    )
    samples = resampled_f1s(np.stack([first, second]), resamples=3000)
    low, high = interval(samples[0, 1:] - samples[1, 1:])
    width = reference.confidence_interval.high - reference.confidence_interval.low
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval), abs=0.06 * width)


def test_what_is_detectable_would_be_found_four_times_out_of_five():
    assert DETECTABLE == pytest.approx(norm.ppf(0.975) + norm.ppf(0.8), abs=1e-4)
    samples = np.random.default_rng(0).normal(0, 0.01, 100_000)
    gap = detectable_difference(samples)
    assert np.mean(np.abs(samples + gap) > norm.ppf(0.975) * 0.01) == pytest.approx(0.8, abs=0.01)


@given(st.integers(0, 9999), st.integers(1, 60))
def test_the_bootstrap_interval_surrounds_the_score_and_stays_the_same(seed, sentences):
    (counts,) = systems(seed, sentences, 1)
    low, high = bootstrap_interval(counts, seed)
    assert 0 <= low <= micro_f1(counts.sum(0)) <= high <= 1
    # the order of the sentences does not matter
    assert bootstrap_interval(counts[::-1], seed) == (low, high)


def test_the_bootstrap_interval_agrees_with_scipy():
    (counts,) = systems(3, 80, 1)
    ours = bootstrap_interval(counts, resamples=20_000)
    index, options = np.arange(len(counts)), {"vectorized": False, "method": "percentile", "rng": 0}
    reference = bootstrap((index,), lambda rows: float(micro_f1(counts[rows].sum(0))), n_resamples=20_000, **options)
    # standard errors of these percentiles are about 0.0007
    assert ours == pytest.approx(tuple(reference.confidence_interval), abs=0.004)


def test_a_test_set_without_doubt_or_without_sentences():
    assert bootstrap_interval(np.array([[1, 1, 1]] * 5)) == (1.0, 1.0)
    assert bootstrap_interval(np.array([[0, 0, 0]] * 5)) == (0.0, 0.0)
    assert bootstrap_interval(np.empty((0, 3), int)) == (0.0, 0.0)

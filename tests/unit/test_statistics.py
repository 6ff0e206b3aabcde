"""Resampling of test sentences against scipy, and of repeated ones together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from hyperloader.scoring.statistics import bootstrap_interval, cluster_sums, holm, interval, micro_f1, resampled_f1s


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
    together = resampled_f1s(counts, None, seed, resamples=20)
    assert together.shape == (count, 21)
    assert together[:, 0] == pytest.approx(micro_f1(counts.sum(1)))
    assert np.array_equal(together, np.concatenate([resampled_f1s(own[None], None, seed, resamples=20) for own in counts]))


def test_the_paired_interval_agrees_with_scipy():
    first, second = systems(3, 200)
    both, index = np.concatenate([first, second]), np.arange(200)
    reference = bootstrap(
        (index, index + 200), f1_difference(both), paired=True, vectorized=False, n_resamples=3000, method="percentile", rng=0
    )
    samples = resampled_f1s(np.stack([first, second]))
    low, high = interval(samples[0, 1:] - samples[1, 1:])
    width = reference.confidence_interval.high - reference.confidence_interval.low
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval), abs=0.06 * width)


@given(st.integers(0, 9999), st.integers(1, 60))
def test_the_bootstrap_interval_surrounds_the_score_and_stays_the_same(seed, sentences):
    (counts,) = systems(seed, sentences, 1)
    low, high = bootstrap_interval(counts, None, seed, resamples=1000)
    assert 0 <= low <= micro_f1(counts.sum(0)) <= high <= 1
    # the order of the sentences does not matter
    assert bootstrap_interval(counts[::-1], None, seed, resamples=1000) == (low, high)


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


@settings(deadline=None)
@given(st.integers(0, 999), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_sentences_of_a_cluster_are_drawn_together(seed, clusters):
    counts, clusters = systems(seed, len(clusters)), np.array(clusters)
    sums = np.stack([counts[:, clusters == cluster].sum(1) for cluster in np.unique(clusters)], 1)
    assert np.array_equal(cluster_sums(counts, clusters), sums)
    assert np.array_equal(resampled_f1s(counts, clusters, resamples=20), resampled_f1s(sums, None, resamples=20))
    assert bootstrap_interval(counts[0], clusters) == bootstrap_interval(sums[0])


def test_repeated_sentences_are_no_evidence():
    """A test set twice over is as sure as once, if its sentences are known to be the same, and falsely surer if not."""
    (counts,) = systems(5, 300, 1)
    once, clusters = bootstrap_interval(counts), np.arange(300)
    twice = [bootstrap_interval(np.concatenate([counts] * 2), own) for own in (np.concatenate([clusters] * 2), None)]
    width, (together, apart) = once[1] - once[0], [high - low for low, high in twice]
    assert together == pytest.approx(width, rel=0.05) and apart == pytest.approx(width / 2**0.5, rel=0.1)

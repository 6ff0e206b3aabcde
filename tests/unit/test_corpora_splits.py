import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.corpora.splits import hold_out, subset
from hyperloader.errors import CorpusError

SEEDS = st.integers(0, 2**32 - 1)
PERCENT = st.one_of(st.integers(1, 100), st.floats(0.01, 100))


@pytest.mark.parametrize(("n", "validation"), [(7816, 782), (9775, 978), (7660, 766), (556, 56)])
def test_a_tenth_of_the_mit_corpora_is_as_in_table_2(n, validation):
    train, held = hold_out(n, 0.1, 42)
    assert (len(train), len(held)) == (n - validation, validation)


@given(st.integers(10, 500), st.floats(0.06, 0.94), SEEDS)
def test_hold_out_parts_every_index_once_in_order(n, share, seed):
    train, held = hold_out(n, share, seed)
    assert sorted([*train, *held]) == list(range(n))
    assert list(train) == sorted(train) and list(held) == sorted(held)
    assert abs(len(held) - n * share) <= 0.5 + 1e-9


@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_sentences_to_hold_out(n):
    with pytest.raises(CorpusError, match="too few"):
        hold_out(n, 0.1, 42)


@given(st.integers(0, 400), PERCENT, PERCENT, SEEDS)
def test_fractions_are_nested_and_sorted(n, one, other, seed):
    smaller, larger = (subset(n, percent, seed) for percent in sorted((one, other)))
    assert set(smaller) <= set(larger) <= set(range(n))
    assert list(larger) == sorted(set(larger))
    assert len(smaller) >= min(n, 1)


@given(st.integers(0, 400), SEEDS)
def test_all_is_all(n, seed):
    assert list(subset(n, 100, seed)) == list(range(n))


def test_sizes_of_the_fractions_of_atis():
    assert [len(subset(4478, percent, 42)) for percent in (10, 20, 100)] == [448, 896, 4478]


def test_choices_are_the_same_on_every_machine():
    assert list(subset(20, 25, 42)) == [0, 1, 8, 15, 17]
    assert list(hold_out(20, 0.1, 42)[1]) == [0, 17]


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan"), float("inf")])
def test_impossible_fractions(percent):
    with pytest.raises(CorpusError, match="not possible"):
        subset(10, percent, 42)

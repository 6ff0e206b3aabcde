"""Which task and which examples a step sees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.formulations.text_to_text import collate
from hyperloader.text.batches import IGNORED, LENGTH_STEP, Example
from hyperloader.training.sampler import BLOCK_STEPS, TaskSampler, task_probabilities

PAPER_SIZES = {"movietrivia": 7034, "movie": 8797, "restaurant": 6894, "atis": 4478, "snips": 13084, "mtod": 30521, "mtop": 15667}
PUBLISHED = {"movietrivia": 0.1373, "movie": 0.1404, "restaurant": 0.1371, "atis": 0.1313, "snips": 0.1461, "mtod": 0.1590, "mtop": 0.1488}


def test_the_seven_published_probabilities():
    probabilities = task_probabilities(list(PAPER_SIZES.values()), temperature=10)
    assert dict(zip(PAPER_SIZES, probabilities.round(4), strict=True)) == pytest.approx(PUBLISHED, abs=1e-12)


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
def test_extreme_temperatures(temperature):
    probabilities = task_probabilities([10, 30_000], temperature)
    assert probabilities == pytest.approx([0, 1] if temperature < 1 else [0.5, 0.5], abs=0.01)


def test_temperature_one_is_in_proportion_to_size():
    assert task_probabilities([1, 3], 1) == pytest.approx([0.25, 0.75])


LENGTHS = st.lists(st.lists(st.integers(1, 90), min_size=1, max_size=30), min_size=1, max_size=4)


@given(LENGTHS, st.integers(0, 2**31), st.integers(0, 10_000))
def test_a_step_is_a_function_of_seed_and_step(lengths, seed, step):
    first, second = (TaskSampler(lengths, 4, 10, seed) for _ in range(2))
    second(step // 2)  # what was drawn before changes nothing
    (task, examples), (again, same) = first(step), second(step)
    assert task == again and np.array_equal(examples, same)
    assert examples.shape == (4,) and (examples < len(lengths[task])).all() and (examples >= 0).all()


def test_sorting_by_length_leaves_every_example_its_chance():
    lengths = [list(range(1, 51))]
    sampler = TaskSampler(lengths, batch_size=10, temperature=10, seed=0)
    counts = np.bincount(np.concatenate([sampler(step)[1] for step in range(5_000)]), minlength=50)
    expected = counts.sum() / 50
    # a chi-square of 49 degrees of freedom exceeds 94.6 once in 10,000 times
    assert ((counts - expected) ** 2 / expected).sum() < 94.6


@pytest.mark.parametrize("bucketing", [True, False])
@pytest.mark.parametrize("size, batch_size", [(448, 16), (450, 16), (33, 32), (7, 16), (4478, 32)])
def test_at_every_step_of_training_by_epochs_no_example_is_more_than_a_batch_ahead(size, batch_size, bucketing):
    lengths = np.random.default_rng(1).integers(5, 12, size=(size, 2))
    sampler = TaskSampler([lengths], batch_size, 10, 0, "epochs", bucketing)
    counts = np.zeros(size, dtype=int)
    for step in range(3 * -(-size // batch_size)):
        counts += np.bincount(sampler(step)[1], minlength=size)
        ahead = counts - (step + 1) * batch_size // size
        # of the pass that it is in, or of the next one where this one ends within a batch; never missed in one that is over
        assert ahead.min() >= -1 and np.maximum(ahead - 1, 0).sum() + np.maximum(-ahead, 0).sum() <= 2 * batch_size


@pytest.mark.parametrize("sampling", ["replacement", "epochs"])
def test_a_batch_of_few_examples_holds_few_copies(sampling):
    """Those of one length would otherwise be in the same batch as often as they are drawn in a block."""
    lengths = np.random.default_rng(0).integers(5, 60, size=(448, 2))
    distinct = {
        bucketing: np.mean([len(set(sampler(step)[1])) for step in range(BLOCK_STEPS)])
        for bucketing in (True, False)
        if (sampler := TaskSampler([lengths], 32, 10, 0, sampling, bucketing))
    }
    # as many examples with replacement as there are hold 1.6 copies of each that is among them; of a whole block these were 30
    assert distinct[True] > 0.9 * distinct[False] * (1 if sampling == "epochs" else 1 - np.exp(-1))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 9), st.integers(0, 99))
def test_by_epochs_no_example_comes_twice_before_all_came_once(lengths, batch_size, seed):
    sampler = TaskSampler([lengths, [1] * 5], batch_size, 10, seed, "epochs")
    for block in (0, 1, 2):
        seen = np.zeros((2, len(lengths)), dtype=int)
        for start, counts in ((0, seen[0]), (BLOCK_STEPS * block, seen[1])):
            for step in range(start, start + BLOCK_STEPS * (1 if start else block)):
                task, examples = sampler(step)
                if task == 0:
                    counts += np.bincount(examples, minlength=len(lengths))
        # whole blocks are whole passes but for their two ends
        assert np.ptp(seen[0]) <= 1 and np.ptp(seen[1]) <= 2
    fresh = TaskSampler([lengths, [1] * 5], batch_size, 10, seed, "epochs")
    assert all(np.array_equal(fresh(step)[1], sampler(step)[1]) for step in (1500, 3))


def test_without_bucketing_the_same_examples_come_in_another_order():
    lengths = np.random.default_rng(0).integers(5, 60, size=500)
    sorted_, plain = (TaskSampler([lengths], 8, 10, seed=0, bucketing=bucketing) for bucketing in (True, False))
    block = [np.sort(np.concatenate([sampler(step)[1] for step in range(BLOCK_STEPS)])) for sampler in (sorted_, plain)]
    assert np.array_equal(*block)


def test_tasks_come_by_their_probabilities():
    lengths = [[1] * 10, [1] * 1000]
    sampler = TaskSampler(lengths, 2, 10, seed=3)
    share = np.mean([sampler(step)[0] for step in range(20_000)])
    assert share == pytest.approx(task_probabilities([10, 1000], 10)[1], abs=0.015)


def test_batches_hold_examples_of_similar_length():
    lengths = np.random.default_rng(0).integers(5, 60, size=2_000)
    sampler = TaskSampler([lengths], 32, 10, seed=0)
    batches = [lengths[sampler(step)[1]] for step in range(256)]
    padded = sum(batch.max() * len(batch) for batch in batches)
    assert 1 - sum(batch.sum() for batch in batches) / padded < 0.1


def test_batches_are_alike_in_source_and_in_target():
    lengths = np.random.default_rng(0).integers(5, 60, size=(2_000, 2))
    sampler = TaskSampler([lengths], 32, 10, seed=0)
    batches = [lengths[sampler(step)[1]] for step in range(512)]
    padded = sum(batch.max(0).sum() * len(batch) for batch in batches)
    assert 1 - sum(batch.sum() for batch in batches) / padded < 0.1


def test_collate_shifts_and_pads():
    batch = collate("atis", [Example([9, 8, 1], [7, 1]), Example([9, 1], [7, 6, 1])])
    assert batch.inputs["input_ids"].shape == batch.labels.shape == (2, -(-3 // LENGTH_STEP) * LENGTH_STEP)
    assert batch.inputs["attention_mask"].sum(1).tolist() == [3, 2]
    assert batch.labels[0, :3].tolist() == [7, 1, IGNORED]
    assert batch.inputs["decoder_input_ids"][1, :3].tolist() == [0, 7, 6]
    assert (batch.inputs["decoder_input_ids"] >= 0).all()

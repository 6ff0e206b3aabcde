"""Which task and which examples a step sees: a pure function of the seed and the step (section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

# steps whose examples are drawn together, so that examples of similar length can share a batch
BLOCK_STEPS = 128


def task_probabilities(sizes: Sequence[int], temperature: float) -> np.ndarray:
    """p_t = N_t^(1/T) / sum_s N_s^(1/T).

    Args:
        sizes: number of training sentences N of each task.
        temperature: T; 1 is in proportion to size, infinity uniform.
    """
    scaled = np.asarray(sizes, dtype=np.float64) ** (1 / temperature)
    return scaled / scaled.sum()


class TaskSampler:
    """Single-task batches, tasks drawn by temperature, examples drawn with replacement.

    Tasks and examples of a block of steps are drawn first; then each task's examples are sorted by length, cut into
    batches, and the batches dealt out to the task's steps at random. Every example keeps its chance, and a batch
    holds little padding.

    Args:
        lengths: of each task, the lengths of its training examples.
        batch_size: examples per batch.
        temperature: see `task_probabilities`.
        seed: decides everything together with the step.
    """

    def __init__(self, lengths: Sequence[Sequence[int]], batch_size: int, temperature: float, seed: int):
        self._lengths = [np.asarray(own) for own in lengths]
        self._probabilities = task_probabilities([len(own) for own in lengths], temperature)
        self._batch_size, self._seed = batch_size, seed
        self._block = lru_cache(maxsize=2)(self._draw_block)

    def __call__(self, step: int) -> tuple[int, np.ndarray]:
        """Index of the task, and indices of its examples, of one 0-based step."""
        block, position = divmod(step, BLOCK_STEPS)
        return self._block(block)[position]

    def _draw_block(self, block: int) -> list[tuple[int, np.ndarray]]:
        generator = np.random.default_rng([self._seed, block])
        tasks = generator.choice(len(self._lengths), size=BLOCK_STEPS, p=self._probabilities)
        drawn: list[tuple[int, np.ndarray]] = [(0, np.empty(0, dtype=np.int64))] * BLOCK_STEPS
        for task, lengths in enumerate(self._lengths):
            steps = np.flatnonzero(tasks == task)
            examples = generator.integers(len(lengths), size=len(steps) * self._batch_size)
            by_length = examples[np.argsort(lengths[examples], kind="stable")].reshape(len(steps), self._batch_size)
            for step, batch in zip(steps, generator.permutation(by_length), strict=True):
                drawn[step] = (task, batch)
        return drawn

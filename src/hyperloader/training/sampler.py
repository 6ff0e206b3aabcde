"""Which task and which examples a step sees: a pure function of the seed and the step (section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

# steps whose examples are drawn together, so that examples of similar length can share a batch
BLOCK_STEPS = 512


def task_probabilities(sizes: Sequence[int], temperature: float) -> np.ndarray:
    """p_t = N_t^(1/T) / sum_s N_s^(1/T).

    Args:
        sizes: number of training sentences N of each task.
        temperature: T; 1 is in proportion to size, infinity uniform.
    """
    scaled = (np.asarray(sizes, dtype=np.float64) / max(sizes)) ** (1 / temperature)
    return scaled / scaled.sum()


class TaskSampler:
    """Single-task batches; tasks are drawn by temperature.

    Tasks and examples of a block of steps are drawn first; then each task's examples, as many at a time as it has, are sorted into
    batches of similar source and target length, and these batches dealt out to the task's steps at random. Every example keeps its
    chance, and a batch holds little padding, but no more copies of an example than were drawn close to each other.

    Args:
        lengths: of each task, the length of each training example, or its source and target length.
        batch_size: examples per batch.
        temperature: see `task_probabilities`.
        seed: decides everything together with the step.
        sampling: draw a task's examples with `replacement`, or by `epochs`: each once before any comes again, but for less than a batch
            where a pass ends within one.
        bucketing: whether batches are sorted by length.
    """

    def __init__(
        self,
        lengths: Sequence[Sequence[int] | Sequence[tuple[int, int]]],
        batch_size: int,
        temperature: float,
        seed: int,
        sampling: Literal["replacement", "epochs"] = "replacement",
        bucketing: bool = True,
    ):
        self._lengths = [np.asarray(own).reshape(len(own), -1) for own in lengths]
        self._probabilities = task_probabilities([len(own) for own in lengths], temperature)
        self._batch_size, self._seed, self._sampling, self._bucketing = batch_size, seed, sampling, bucketing
        self._block = lru_cache(maxsize=2)(self._draw_block)
        self._permutation = lru_cache(maxsize=2 * len(lengths))(self._draw_permutation)
        # of each block, the batches that each task had before it
        self._before = [np.zeros(len(lengths), dtype=np.int64)]

    def __call__(self, step: int) -> tuple[int, np.ndarray]:
        """Index of the task, and indices of its examples, of one 0-based step."""
        block, position = divmod(step, BLOCK_STEPS)
        return self._block(block)[position]

    def _draw_block(self, block: int) -> list[tuple[int, np.ndarray]]:
        generator, tasks = self._draw_tasks(block)
        drawn: list[tuple[int, np.ndarray]] = [(0, np.empty(0, dtype=np.int64))] * BLOCK_STEPS
        for task, lengths in enumerate(self._lengths):
            steps = np.flatnonzero(tasks == task)
            count = len(steps) * self._batch_size
            examples = generator.integers(len(lengths), size=count) if self._sampling == "replacement" else self._next(task, block, count)
            batches = examples.reshape(len(steps), self._batch_size)
            for own in self._passes(task, block, len(steps)):
                examples = batches[own].ravel()
                if self._bucketing:
                    examples = self._by_length(examples, lengths[examples])
                batches[own] = generator.permutation(examples.reshape(-1, self._batch_size))
            for step, batch in zip(steps, batches, strict=True):
                drawn[step] = (task, batch)
        return drawn

    def _passes(self, task: int, block: int, batches: int) -> list[slice]:
        """A task's batches of a block, as many together as hold its examples once. Sorted together, more of them would put the copies of
        an example, all as long as each other, into one batch; dealt out together, they would bring back some before others came."""
        if self._sampling == "epochs":
            first = self._before[block][task]
        elif self._bucketing:
            first = 0
        else:  # independent draws
            return [slice(batches)]
        passes = (first + np.arange(batches)) * self._batch_size // len(self._lengths[task])
        ends = [0, *(np.flatnonzero(np.diff(passes)) + 1), batches]
        return [slice(start, end) for start, end in pairwise(ends)]

    def _by_length(self, examples: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Sort by target length, then each of about as many stretches as it has batches by source length."""
        order = np.argsort(lengths[:, -1], kind="stable")
        batches = len(examples) // self._batch_size
        stretch = math.ceil(math.sqrt(batches)) * self._batch_size
        parts = [order[start : start + stretch] for start in range(0, len(order), max(stretch, 1))]
        return examples[np.concatenate([part[np.argsort(lengths[part, 0], kind="stable")] for part in parts] or [order])]

    def _draw_tasks(self, block: int) -> tuple[np.random.Generator, np.ndarray]:
        generator = np.random.default_rng([self._seed, block])
        return generator, generator.choice(len(self._lengths), size=BLOCK_STEPS, p=self._probabilities)

    def _next(self, task: int, block: int, count: int) -> np.ndarray:
        """The next examples of a task's endless series of passes."""
        while len(self._before) <= block:
            _, tasks = self._draw_tasks(len(self._before) - 1)
            self._before.append(self._before[-1] + np.bincount(tasks, minlength=len(self._lengths)))
        places = self._before[block][task] * self._batch_size + np.arange(count)
        epochs, places = np.divmod(places, len(self._lengths[task]))
        return np.asarray([self._permutation(task, int(epoch))[place] for epoch, place in zip(epochs, places, strict=True)], dtype=np.int64)

    def _draw_permutation(self, task: int, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, task, epoch]).permutation(len(self._lengths[task]))

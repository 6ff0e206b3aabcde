"""Prepared corpora as batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hyperloader.config.settings import Training
from hyperloader.corpora.prepared import PreparedCorpus
from hyperloader.text.batches import Batch
from hyperloader.training.sampler import TaskSampler
from hyperloader.training.tokenised import Tokeniser


def training_batches(corpora: Sequence[PreparedCorpus], tokenise: Tokeniser, training: Training, seed: int) -> Callable[[int], Batch]:
    """The batch of a step: one task drawn by temperature, its sentences at random (section 4.2)."""
    tasks = [(corpus.name, tokenise(corpus, "train")) for corpus in corpora]
    lengths = [examples.lengths for _, examples in tasks]
    sampler = TaskSampler(lengths, training.batch_size, training.temperature, seed, training.sampling, training.bucketing)

    def batch_of(step: int) -> Batch:
        task, indices = sampler(step)
        name, examples = tasks[task]
        return tokenise.formulation.collate(name, [examples[index] for index in indices])

    return batch_of


def validation_batches(corpora: Sequence[PreparedCorpus], tokenise: Tokeniser, training: Training, seed: int) -> dict[str, list[Batch]]:
    """Batches of each task's validation set, or of a random part of it that the recipe's limit allows."""
    result = {}
    for corpus in corpora:
        examples = tokenise(corpus, "validation")
        order = np.random.default_rng(seed).permutation(len(examples))
        if training.evaluation_batches is not None:
            order = order[: training.evaluation_batches * training.batch_size]
        # sorted by length, batches hold little padding
        chosen = sorted((examples[index] for index in order), key=lambda example: (len(example.source), len(example.target)))
        starts = range(0, len(chosen), training.batch_size)
        result[corpus.name] = [tokenise.formulation.collate(corpus.name, chosen[start : start + training.batch_size]) for start in starts]
    return result

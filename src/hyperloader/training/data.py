"""Prepared corpora as encoded examples and batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hyperloader.corpora.prepared import PreparedCorpus
from hyperloader.corpora.readers import Sentence
from hyperloader.encoding import Vocabulary
from hyperloader.sentt import to_sbio
from hyperloader.settings import Training
from hyperloader.training.batches import Batch, Example, collate
from hyperloader.training.sampler import TaskSampler


def encode(sentences: Sequence[Sentence], vocabulary: Vocabulary, training: Training) -> list[Example]:
    """Sentences as ids, cut to the recipe's lengths."""
    return [
        Example(
            vocabulary.encode(sentence.tokens, training.source_length),
            vocabulary.encode(to_sbio(sentence.tags), training.target_length),
        )
        for sentence in sentences
    ]


def training_batches(corpora: Sequence[PreparedCorpus], vocabulary: Vocabulary, training: Training, seed: int) -> Callable[[int], Batch]:
    """The batch of a step: one task drawn by temperature, its sentences at random (section 4.2)."""
    tasks = [(corpus.name, encode(corpus.train, vocabulary, training)) for corpus in corpora]
    lengths = [[len(example.source) + len(example.target) for example in examples] for _, examples in tasks]
    sampler = TaskSampler(lengths, training.batch_size, training.temperature, seed)

    def batch_of(step: int) -> Batch:
        task, indices = sampler(step)
        name, examples = tasks[task]
        return collate(name, [examples[index] for index in indices])

    return batch_of


def validation_batches(
    corpora: Sequence[PreparedCorpus], vocabulary: Vocabulary, training: Training, seed: int
) -> dict[str, list[Batch]]:
    """Batches of each task's validation set, or of a random part of it that the recipe's limit allows."""
    result = {}
    for corpus in corpora:
        examples = encode(corpus.validation, vocabulary, training)
        order = np.random.default_rng(seed).permutation(len(examples))
        if training.evaluation_batches is not None:
            order = order[: training.evaluation_batches * training.batch_size]
        # sorted by length, batches hold little padding
        chosen = sorted((examples[index] for index in order), key=lambda example: (len(example.source), len(example.target)))
        starts = range(0, len(chosen), training.batch_size)
        result[corpus.name] = [collate(corpus.name, chosen[start : start + training.batch_size]) for start in starts]
    return result

"""Prepared corpora as batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from hyperloader.config.settings import Training
from hyperloader.corpora.prepared import PreparedCorpus
from hyperloader.formulations.parts import too_long
from hyperloader.runs.records import LongSentences
from hyperloader.text.batches import Batch
from hyperloader.training.sampler import TaskSampler
from hyperloader.training.tokenised import Tokeniser

log = logging.getLogger(__name__)

# sentences; without gradients many need little memory, and fill a GPU
VALIDATION_BATCH = 256


def long_sentences(corpora: Sequence[PreparedCorpus], tokenise: Tokeniser) -> dict[str, dict[str, LongSentences]]:
    """By corpus and split, where there are any: how many sentences are read in parts or cut; logged."""
    found: dict[str, dict[str, LongSentences]] = {}
    for corpus in corpora:
        for split in ("train", "validation"):
            in_parts, cut = sum(map(too_long, getattr(corpus, split))), int(tokenise(corpus, split).cut.sum())
            if counts := LongSentences(in_parts=in_parts, cut=cut):
                found.setdefault(corpus.name, {})[split] = counts
                log.info("%s, %s: %d sentences are too long and read in parts, %d are cut", corpus.name, split, in_parts, cut)
    return found


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
        batches = [chosen[start : start + VALIDATION_BATCH] for start in range(0, len(chosen), VALIDATION_BATCH)]
        result[corpus.name] = [tokenise.formulation.collate(corpus.name, batch) for batch in batches]
    return result

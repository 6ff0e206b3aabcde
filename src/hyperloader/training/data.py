"""Prepared corpora as batches."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from hyperloader.config.settings import Training
from hyperloader.corpora.prepared import PreparedCorpus
from hyperloader.corpora.readers.checks import shown
from hyperloader.errors import CorpusError
from hyperloader.formulations import Formulation, Prediction
from hyperloader.formulations.parts import predict_in_parts, too_long
from hyperloader.models.memory import memory_for
from hyperloader.models.precision import arithmetic
from hyperloader.models.task_model import TaskModel
from hyperloader.runs.records import LongSentences, SpanScore
from hyperloader.text.batches import Batch
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import spans
from hyperloader.training.sampler import TaskSampler
from hyperloader.training.tokenised import Tokeniser

log = logging.getLogger(__name__)

# of the words of a training text, the share that may be foreign to a vocabulary, above which little is learned; the share that is worth a
# warning, which in ATIS and MIT's corpora under T5's vocabulary is below a hundredth; and how many are named
FOREIGN, NOTEWORTHY, SHOWN = 0.5, 0.1, 3
# sentences, and as many times those of a part of a training batch; without gradients many need little memory, and fill a GPU
VALIDATION_BATCH, VALIDATION_PARTS = 256, 8
T = TypeVar("T")


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


def check_words(corpora: Sequence[PreparedCorpus], formulation: Formulation) -> None:
    """Log how much of each training text is foreign to the backbone's vocabulary, and refuse a text that mostly is.

    Raises:
        CorpusError: more than `FOREIGN` of its words are unknown or spelled letter by letter.
    """
    for corpus in corpora:
        counts = Counter(word for sentence in corpus.train for word in sentence.words)
        words, types = formulation.foreign(counts, corpus.train_label_types)
        own, share = sum(counts[word] for word in words), sum(counts[word] for word in words) / max(counts.total(), 1)
        if not words and not types:
            continue
        often = ", ".join(map(shown, sorted(words, key=counts.__getitem__, reverse=True)[:SHOWN]))
        message = (
            f"{own:,} of {counts.total():,} words ({share:.1%}{f': {often} ...' if words else ''}) and {len(types)} of "
            f"{len(corpus.train_label_types)} slot types are unknown to the backbone's vocabulary or spelled letter by letter"
        )
        if share > FOREIGN:
            remedy = f"at most {FOREIGN:.0%} of the words may be: take a scale whose backbone knows this language"
            raise CorpusError(f"{corpus.name}, train: {message}", remedy=remedy)
        log.log(logging.WARNING if share > NOTEWORTHY else logging.INFO, "%s, train: %s", corpus.name, message)


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
    # what lowers the memory of a step lowers that of a validation
    size = max(1, min(VALIDATION_BATCH, VALIDATION_PARTS * training.batch_size // training.gradient_accumulation_steps))
    for corpus in corpora:
        # sorted by length, batches hold little padding
        chosen = sorted(
            _chosen(tokenise(corpus, "validation"), training, seed), key=lambda example: (len(example.source), len(example.target))
        )
        batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        result[corpus.name] = [tokenise.formulation.collate(corpus.name, batch) for batch in batches]
    return result


def validation_f1(model: TaskModel, formulation: Formulation, corpora: Sequence[PreparedCorpus], training: Training, seed: int) -> float:
    """Micro F1 of a model in evaluation mode on as many validation sentences as the loss is measured on, averaged over the tasks.

    They are the same ones, unless there is a limit and some sentences are read in parts: of the loss, single parts are drawn.
    """
    f1s = []
    for corpus in corpora:
        sentences = _chosen(corpus.validation, training, seed)

        def predict(parts: list[Sentence], task: str = corpus.name) -> list[Prediction]:
            what = f"tagging {len(parts)} validation sentences of {task} on {model.backbone.device.type}"
            with (
                memory_for(what, "select by the loss: selection: best (config/README.md)"),
                arithmetic(model.backbone.device, training.precision),
            ):
                return formulation.predict(model, task, [part.words for part in parts], training)

        predictions = predict_in_parts(sentences, lambda words: formulation.capacity(words, training), predict)
        pairs = [(set(spans(own.tags)), set(spans(other.tags))) for own, other in zip(sentences, predictions, strict=True)]
        counts = (sum(len(own) for own, _ in pairs), sum(len(other) for _, other in pairs), sum(len(own & other) for own, other in pairs))
        f1s.append(SpanScore.of(*counts).f1)
    return sum(f1s) / len(f1s)


def _chosen(items: Sequence[T], training: Training, seed: int) -> list[T]:
    """Of a validation set all, or a random part that the recipe's limit allows."""
    order = np.random.default_rng(seed).permutation(len(items))
    if training.evaluation_batches is not None:
        order = order[: training.evaluation_batches * training.batch_size]
    return [items[index] for index in order]

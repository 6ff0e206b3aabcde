"""Pre-training of a small T5 on the two things that tagging in SentT' needs.

    rewriting   source with some words hidden, `s0 x1 s1 s2 x3 s3 ...`; target the whole sentence
    tagging     source the whole sentence; target auxiliary classes in sBIO

The hidden words tell the two apart. What a frozen backbone must bring along is the alignment by sentinels and the kinds
of words; plain span corruption gives neither within a small budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.corpora.readers import Sentence
from hyperloader.encoding import EOS, PAD, Vocabulary
from hyperloader.sentt import to_sbio
from hyperloader.settings import PretrainedBackbone, Pretraining, Training
from hyperloader.task_model import PlainT5
from hyperloader.training.batches import Batch, Example, collate
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.loop import fit
from hyperloader.training.sampler import TaskSampler
from hyperloader.word_classes import word_classes

TASK = "pre-training"
CLASSES, DIMENSIONS, RARE, FUNCTION_WORDS = 80, 64, 3, 60


def with_word_classes(sentences: Sequence[Sequence[str]], seed: int) -> list[Sentence]:
    """Tag plain text with unsupervised word classes, in the shape that slots have.

    The most frequent words are outside; neighbours of one class form a span.
    """
    classes = word_classes(sentences, classes=CLASSES, dimensions=DIMENSIONS, rare=RARE, seed=seed)
    counts = Counter(word for sentence in sentences for word in sentence)
    frequent = {word for word, _ in counts.most_common(FUNCTION_WORDS)}
    tagged = []
    for words in sentences:
        tags, before = [], None
        for word in words:
            own = None if word in frequent else classes.get(word)
            tags.append("O" if own is None else f"{'I' if own == before else 'B'}-class{own:02d}")
            before = own
        tagged.append(Sentence(tuple(words), tuple(tags)))
    return tagged


def batches(sentences: Sequence[Sentence], vocabulary: Vocabulary, settings: Pretraining, seed: int) -> Callable[[int], Batch]:
    """The batch of a step: all rewriting or all tagging."""
    labels = [to_sbio(sentence.tags) for sentence in sentences]
    lengths = [sum(len(vocabulary.pieces(word)) + 1 for word in sentence.tokens) for sentence in sentences]
    sampler = TaskSampler([lengths], settings.batch_size, temperature=1, seed=seed)

    def batch_of(step: int) -> Batch:
        generator = np.random.default_rng([seed, 1, step])
        tagging = generator.random() < settings.tagging
        examples = []
        for index in sampler(step)[1]:
            words = sentences[index].tokens
            if tagging:
                examples.append(Example(vocabulary.encode(words), vocabulary.encode(labels[index])))
                continue
            hidden = generator.random(len(words)) < settings.hidden_words
            hidden[generator.integers(len(words))] = True
            shown = ["" if gone else word for word, gone in zip(words, hidden, strict=True)]
            examples.append(Example(vocabulary.encode(shown), vocabulary.encode(words)))
        return collate(TASK, examples)

    return batch_of


def pretrain(
    sentences: Sequence[Sentence], vocabulary: Vocabulary, settings: PretrainedBackbone, checkpoints: Path, fingerprint: str
) -> T5ForConditionalGeneration:
    """Make a T5 and train all of it; an interrupted pre-training goes on from its last checkpoint."""
    import torch

    torch.manual_seed(settings.seed)
    config = T5Config(
        vocab_size=vocabulary.size,
        num_decoder_layers=settings.architecture.num_layers,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
        **settings.architecture.model_dump(),
    )
    model = PlainT5(T5ForConditionalGeneration(config), (TASK,))
    budget = settings.pretraining
    training = Training(
        steps=budget.steps,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        schedule="linear",
        warmup_steps=budget.warmup_steps,
        weight_decay=0.0,
        label_smoothing=0.0,
        loss_reduction="mean",
        max_grad_norm=1.0,
        temperature=1,
        evaluate_every=max(100, budget.steps // 10),
        evaluation_batches=None,
        selection="last",
        source_length=512,
        target_length=512,
    )
    batch_of = batches(sentences, vocabulary, budget, settings.seed)
    fit(model, training, batch_of, checkpoints=Checkpoints(checkpoints, fingerprint), seed=settings.seed)
    return model.backbone

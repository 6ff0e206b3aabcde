"""Pre-training of a small T5 on the two things that tagging in SentT' needs.

    rewriting   source with some words hidden, `s0 x1 s1 s2 x3 s3 ...`; target the whole sentence
    tagging     source the whole sentence; target auxiliary classes in sBIO

The hidden words tell the two apart. What a frozen backbone must bring along is the alignment by sentinels and the kinds
of words; plain span corruption gives neither within a small budget.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.config.settings import PretrainedBackbone, Pretraining, Training
from hyperloader.corpora.generated.generate import DemoLanguage, demo_label_names
from hyperloader.corpora.prepared import PreparedCorpus, slot_types
from hyperloader.formulations.text_to_text import collate
from hyperloader.models.task_model import PlainT5
from hyperloader.text.batches import Batch, Example
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import to_sbio
from hyperloader.text.t5_vocabulary import EOS, PAD, Vocabulary
from hyperloader.training.backbones.making import t5_pieces
from hyperloader.training.backbones.teacher import TEACHER, start_embeddings
from hyperloader.training.backbones.vocabularies import ASCII, write_cut_vocabulary, write_trained_vocabulary, write_word_vocabulary
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.loop import fit
from hyperloader.training.sampler import TaskSampler

TASK = "pre-training"
# attention logits at the start: of a token for the same token, and for a neighbour
MATCH, NEIGHBOUR = 4.0, 5.0
# tokens on either side; longer sentences are cut
LENGTH = 512


def write_vocabulary(
    corpora: Sequence[PreparedCorpus], sentences: Sequence[Sentence], pieces: int | None, path: Path, mirror: str | None
) -> None:
    """Whole words of the generated language, sub-words of the corpora, or the part of T5's that they use; with all labels to come.

    Args:
        corpora: whose text it is for; none for the generated language.
        sentences: that text.
        pieces: number of sub-words that are trained on it; none for T5's.
        path: where to write.
        mirror: see `making.t5_pieces`.
    """
    if not corpora:
        write_word_vocabulary(["O", "I", *DemoLanguage().words(), *demo_label_names()], path, ASCII)
        return
    labels = labels_of(corpora)
    if pieces is not None:
        write_trained_vocabulary([sentence.words for sentence in sentences], sorted(labels), pieces, path)
        return
    full = t5_pieces(mirror)
    labels |= {label for sentence in sentences for label in to_sbio(sentence.tags)}
    words = {word for sentence in sentences for word in sentence.words} | set(map(Vocabulary(full).written, labels))
    write_cut_vocabulary(full, sorted(words), path)


def labels_of(corpora: Sequence[PreparedCorpus]) -> set[str]:
    """The sBIO labels of corpora."""
    return {"O", "I"} | {label for corpus in corpora for label in slot_types([*corpus.train, *corpus.validation])}


def batches(sentences: Sequence[Sentence], vocabulary: Vocabulary, settings: Pretraining, seed: int) -> Callable[[int], Batch]:
    """The batch of a step: all rewriting or all tagging."""
    labels = [to_sbio(sentence.tags) for sentence in sentences]
    lengths = [sum(len(vocabulary.pieces(word)) + 1 for word in sentence.words) for sentence in sentences]
    sampler = TaskSampler([lengths], settings.batch_size, temperature=1, seed=seed)

    def batch_of(step: int) -> Batch:
        generator = np.random.default_rng([seed, 1, step])
        tagging = generator.random() < settings.tagging
        examples = []
        for index in sampler(step)[1]:
            words = sentences[index].words
            if tagging:
                examples.append(Example(vocabulary.encode(words, LENGTH), vocabulary.encode_labels(labels[index], LENGTH)))
                continue
            hidden = generator.random(len(words)) < settings.hidden_words
            hidden[generator.integers(len(words))] = True
            shown = ["" if gone else word for word, gone in zip(words, hidden, strict=True)]
            examples.append(Example(vocabulary.encode(shown, LENGTH), vocabulary.encode(words, LENGTH)))
        return collate(TASK, examples)

    return batch_of


def start_aligned(model: T5ForConditionalGeneration) -> None:
    """Start where a sentinel in the target already looks at the same sentinel in the source.

    Finding this alignment from a random start takes most of a small budget.

    * In cross-attention, queries and keys start as the same projection, so that equal tokens match.
    * In self-attention, heads start with a preference for a neighbour: the token after or before in the encoder, one or two
      tokens before in the decoder.
    * Output projections start as transposed value projections, so that what is looked at is passed on.
    """
    config = model.config
    blocks = [*model.encoder.block, *model.decoder.block]
    self_attentions = [block.layer[0].SelfAttention for block in blocks]
    cross_attentions = [block.layer[1].EncDecAttention for block in model.decoder.block]
    # numbers of the buckets that relative positions fall into, see T5Attention._relative_position_bucket
    one_left, two_left, one_right = 1, 2, config.relative_attention_num_buckets // 2 + 1
    with torch.no_grad():
        for attention in cross_attentions:
            attention.q.weight.normal_(std=(MATCH / (config.d_model * config.d_kv)) ** 0.5)
            attention.k.weight.copy_(attention.q.weight)
        for attention in self_attentions + cross_attentions:
            attention.o.weight.copy_(attention.v.weight.T)
        for stack, buckets in ((model.encoder, (one_right, one_left)), (model.decoder, (one_left, two_left))):
            bias = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
            for head in range(config.num_heads):
                bias[buckets[head % 2], head] += NEIGHBOUR


def keep_unseen_embeddings(embeddings: torch.nn.Parameter, seen: Collection[int]) -> None:
    """Keep the embeddings of ids that the text lacks, such as the labels to come, at their random start.

    Their only gradient says that they are never the next token. Adam makes full steps of it, the same for all of them,
    and they would end as one and the same vector, which a frozen model could hardly tell apart again.
    """
    trained = torch.zeros(len(embeddings), 1)
    trained[list(seen)] = 1

    def kept(gradient: torch.Tensor) -> torch.Tensor:
        nonlocal trained
        # once to where the gradient is: a step that copies from the host cannot be recorded
        trained = trained.to(gradient)
        return gradient * trained

    embeddings.register_hook(kept)


def training_of(budget: Pretraining) -> Training:
    """A pre-training's budget as a training of all weights, without any validation."""
    return Training(
        steps=budget.steps,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        schedule="trapezoidal",
        warmup_steps=budget.warmup_steps,
        weight_decay=0.0,
        label_smoothing=0.0,
        loss_reduction="mean",
        max_grad_norm=1.0,
        temperature=1,
        evaluate_every=max(100, budget.steps // 10),
        evaluation_batches=None,
        selection="last",
        source_length=LENGTH,
        target_length=LENGTH,
    )


def pretrain(
    corpora: Sequence[PreparedCorpus],
    sentences: Sequence[Sentence],
    vocabulary: Vocabulary,
    settings: PretrainedBackbone,
    checkpoints: Path,
    fingerprint: str,
) -> T5ForConditionalGeneration:
    """Make a T5 and train all of it; an interrupted pre-training goes on from its last checkpoint."""
    torch.manual_seed(settings.seed)
    config = T5Config(
        vocab_size=vocabulary.size,
        num_decoder_layers=settings.architecture.num_layers,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
        **settings.architecture.model_dump(),
    )
    model = PlainT5(T5ForConditionalGeneration(config), {TASK: ()})
    start_aligned(model.backbone)
    seen = {id for sentence in sentences for id in vocabulary.encode(sentence.words)}
    seen |= {id for sentence in sentences for id in vocabulary.encode_labels(to_sbio(sentence.tags))}
    assert all(vocabulary.writes(label) for sentence in sentences for label in to_sbio(sentence.tags))
    if settings.teacher is not None:
        # labels stay at random: trials that started them from the teacher too scored lower (docs/mini-backbone.md)
        labels = {piece for label in labels_of(corpora) if len(own := vocabulary.label_pieces(label)) == 1 for piece in own}
        texts = {index: text for index in range(vocabulary.size) if index not in labels and (text := vocabulary.label([index]))}
        start_embeddings(model.backbone.shared.weight, texts, checkpoints.with_name(TEACHER))
    keep_unseen_embeddings(model.backbone.shared.weight, seen)
    batch_of = batches(sentences, vocabulary, settings.pretraining, settings.seed)
    fit(model, training_of(settings.pretraining), batch_of, checkpoints=Checkpoints(checkpoints, fingerprint), seed=settings.seed)
    return model.backbone

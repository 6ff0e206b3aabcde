"""Pre-training of a small BERT on the two things that tagging by classes needs.

    guessing   some words hidden behind `[MASK]`; their pieces are to be named (masked language modelling)
    tagging    the whole sentence; each word's auxiliary tag, in BIO

A step is all of one or all of the other, each with a head of its own that is thrown away afterwards. What a frozen backbone must
bring along is the kinds of words and an eye for their neighbours; guessing alone gives too little of it within a small budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel
from transformers.modeling_outputs import TokenClassifierOutput

from hyperloader.config.settings import PretrainedBackbone, Training
from hyperloader.corpora.generated.generate import DemoLanguage
from hyperloader.corpora.prepared import PreparedCorpus, slot_types
from hyperloader.formulations.token_classification import TokenClassification
from hyperloader.models.task_model import Head, TaskModel, mask_per_token
from hyperloader.text.batches import IGNORED, Batch, Example
from hyperloader.text.bert_vocabulary import VOCABULARY_SIZE, WordPieces, write_trained_vocabulary, write_word_vocabulary
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import bio_tags
from hyperloader.training.backbones.t5 import keep_unseen_embeddings, training_of
from hyperloader.training.backbones.teacher import TEACHER, start_embeddings
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.loop import fit
from hyperloader.training.sampler import TaskSampler

GUESSING, TAGGING = "guessing", "tagging"


class TwoHeadedBert(TaskModel):
    """A BERT, all of it trainable, with a head for each of the two objectives.

    Args:
        backbone: its word embeddings are those of the guessing head as well.
        types: the auxiliary slot types.
    """

    def __init__(self, backbone: BertModel, types: Sequence[str]):
        super().__init__(backbone, {GUESSING: (), TAGGING: types})
        width = backbone.config.hidden_size
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(backbone.config.vocab_size))
        self.classifier = nn.Linear(width, len(bio_tags(types)))

    def adapt(self, task: str | None) -> None:
        pass

    def head(self, task: str) -> nn.Linear | Head:
        return self.classifier if task == TAGGING else Head(self.backbone.embeddings.word_embeddings.weight, self.bias)

    def states(self, task: str, *, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = mask_per_token(input_ids, attention_mask)
        # what is made on the way is made where it is used, and not copied there
        with input_ids.device:
            hidden = super().forward(task, input_ids=input_ids, attention_mask=mask).last_hidden_state
        return hidden if task == TAGGING else self.transform(hidden)

    def forward(self, task: str, **inputs: Tensor) -> TokenClassifierOutput:
        head = self.head(task)
        return TokenClassifierOutput(logits=F.linear(self.states(task, **inputs), head.weight, head.bias))


def write_vocabulary(
    corpora: Sequence[PreparedCorpus], sentences: Sequence[Sentence], pieces: int | None, path: Path, mirror: str | None
) -> None:
    """Whole words of the generated language, or WordPiece trained on the corpora's text; BERT writes no labels.

    Args:
        corpora: whose text it is for; none for the generated language.
        sentences: that text.
        pieces: number of pieces that are trained on it; 6000 if none.
        path: where to write.
        mirror: not needed.
    """
    if corpora:
        write_trained_vocabulary([word for sentence in sentences for word in sentence.words], pieces or VOCABULARY_SIZE, path)
    else:
        write_word_vocabulary(DemoLanguage().words(), path)


def batches(
    sentences: Sequence[Sentence], formulation: TokenClassification, settings: PretrainedBackbone, training: Training
) -> Callable[[int], Batch]:
    """The batch of a step: all guessing or all tagging."""
    word_pieces, budget = formulation.word_pieces, settings.pretraining
    # there is nothing to guess in a sentence whose first word is too long
    sentences = [sentence for sentence in sentences if formulation.readable(sentence.words, training)]
    tagged = formulation.encode(TAGGING, sentences, training)
    # of each sentence, the number of the word that each piece belongs to; -1 at the ends
    words = [_words(formulation, sentence.words, training.source_length) for sentence in sentences]
    sampler = TaskSampler([[len(example.source) for example in tagged]], budget.batch_size, temperature=1, seed=settings.seed)

    def batch_of(step: int) -> Batch:
        generator = np.random.default_rng([settings.seed, 1, step])
        chosen = sampler(step)[1]
        if generator.random() < budget.tagging:
            return formulation.collate(TAGGING, [tagged[index] for index in chosen])
        examples = []
        for index in chosen:
            source, own = np.asarray(tagged[index].source), words[index]
            hidden = generator.random(own.max() + 1) < budget.hidden_words
            hidden[generator.integers(len(hidden))] = True
            gone = (own >= 0) & hidden[own]
            examples.append(Example(np.where(gone, word_pieces.mask, source).tolist(), np.where(gone, source, IGNORED).tolist()))
        return formulation.collate(GUESSING, examples)

    return batch_of


def _words(formulation: TokenClassification, tokens: Sequence[str], max_length: int) -> np.ndarray:
    source, places = formulation.align(tokens, max_length)
    words = np.searchsorted(places, np.arange(len(source)), side="right") - 1
    words[-1] = -1
    return words


def pretrain(
    corpora: Sequence[PreparedCorpus],
    sentences: Sequence[Sentence],
    word_pieces: WordPieces,
    settings: PretrainedBackbone,
    checkpoints: Path,
    fingerprint: str,
) -> BertModel:
    """Make a BERT and train all of it; an interrupted pre-training goes on from its last checkpoint."""
    torch.manual_seed(settings.seed)
    config = BertConfig(vocab_size=word_pieces.size, pad_token_id=word_pieces.pad, **settings.architecture.model_dump())
    types = slot_types(sentences)
    # without the pooler: its summary of the sentence has no use in tagging
    model = TwoHeadedBert(BertModel(config, add_pooling_layer=False), types)
    formulation, training = TokenClassification(word_pieces, model.tasks), training_of(settings.pretraining)
    batch_of = batches(sentences, formulation, settings, training)
    seen = {id for sentence in sentences for word in sentence.words for id in word_pieces.pieces(word)}
    seen |= {word_pieces.start, word_pieces.end, word_pieces.mask}
    if settings.teacher is not None:
        start_embeddings(model.backbone.embeddings.word_embeddings.weight, word_pieces.texts, checkpoints.with_name(TEACHER))
    keep_unseen_embeddings(model.backbone.embeddings.word_embeddings.weight, seen)
    fit(model, training, batch_of, checkpoints=Checkpoints(checkpoints, fingerprint), seed=settings.seed)
    return model.backbone

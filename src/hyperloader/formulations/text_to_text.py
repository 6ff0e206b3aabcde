"""Tagging as writing: T5 reads a sentence in SentT' and writes its labels (section 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from hyperloader.corpora.readers import Sentence
from hyperloader.encoding import PAD, Vocabulary
from hyperloader.formulations import Formulation, Prediction, batches_by_length
from hyperloader.sentt import from_sbio, to_sbio
from hyperloader.settings import Training
from hyperloader.task_model import TaskModel
from hyperloader.training.batches import IGNORED, Batch, Example, pad


class TextToText(Formulation):
    """SentT' in, SentT' out, decoded greedily, tags aligned by sentinel.

    Args:
        vocabulary: of the backbone.
        tasks: the slot types of each task; a label that is none of them is outside.
    """

    def __init__(self, vocabulary: Vocabulary, tasks: Mapping[str, Sequence[str]]):
        self.vocabulary = vocabulary
        self._known = {name: frozenset(types) for name, types in tasks.items()}

    def encode(self, task: str, sentences: Sequence[Sentence], training: Training) -> list[Example]:
        return [
            Example(
                self.vocabulary.encode(sentence.tokens, training.source_length),
                self.vocabulary.encode(to_sbio(sentence.tags), training.target_length),
            )
            for sentence in sentences
        ]

    def collate(self, task: str, examples: Sequence[Example]) -> Batch:
        return collate(task, examples)

    def predict(self, model: TaskModel, task: str, sentences: Sequence[Sequence[str]], training: Training) -> list[Prediction]:
        sources = [self.vocabulary.encode(words, training.source_length) for words in sentences]
        outputs: list[list[int]] = [[] for _ in sources]
        for chosen in batches_by_length([len(source) for source in sources]):
            input_ids = pad([sources[index] for index in chosen], PAD).to(model.backbone.device)
            generated = model.generate(
                task,
                input_ids=input_ids,
                attention_mask=(input_ids != PAD).long(),
                max_new_tokens=training.target_length,
                do_sample=False,
                num_beams=1,
            )
            for index, row in zip(chosen, generated.tolist(), strict=True):
                outputs[index] = row[1:]
        return [self.read(task, len(words), ids) for words, ids in zip(sentences, outputs, strict=True)]

    def read(self, task: str, length: int, ids: Sequence[int]) -> Prediction:
        """Tags of a sentence of `length` words from the ids that were written for it."""
        labels, malformed = self.vocabulary.read(ids, length, self._known[task])
        return Prediction(from_sbio(labels), self.vocabulary.text(ids), malformed)


def collate(task: str, examples: Sequence[Example]) -> Batch:
    """Pad examples into a batch; the decoder reads the target shifted right, behind T5's start token `<pad>`."""
    input_ids = pad([example.source for example in examples], PAD)
    labels = pad([example.target for example in examples], IGNORED)
    decoder_input_ids = torch.full_like(labels, PAD)
    decoder_input_ids[:, 1:] = labels[:, :-1]
    decoder_input_ids[decoder_input_ids == IGNORED] = PAD
    inputs = {"input_ids": input_ids, "attention_mask": (input_ids != PAD).long(), "decoder_input_ids": decoder_input_ids}
    return Batch(task, inputs, labels)

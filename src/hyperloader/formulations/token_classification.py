"""Tagging as classification: BERT reads the pieces of a sentence, the first piece of each word carries its BIO tag."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

import torch

from hyperloader.config.settings import Training
from hyperloader.formulations import Formulation, Prediction, batches_by_length
from hyperloader.models.task_model import TaskModel
from hyperloader.text.batches import IGNORED, Batch, Example, pad
from hyperloader.text.bert_vocabulary import WordPieces
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import OUTSIDE, bio_tags, from_sbio, to_sbio


class TokenClassification(Formulation):
    """`[CLS] pieces [SEP]` in, a class for each piece out, of which those of first pieces count.

    The classes of a task are `bio_tags` of its slot types. Words that do not fit into the recipe's source length are left out as a
    whole; they are predicted to be outside, and the prediction is marked as malformed.

    Args:
        word_pieces: of the backbone.
        tasks: the slot types of each task.
        positions: of the backbone: its longest input, whatever the recipe says.
    """

    def __init__(self, word_pieces: WordPieces, tasks: Mapping[str, Sequence[str]], positions: int = sys.maxsize):
        self.word_pieces, self._positions = word_pieces, positions
        self._tags = {name: bio_tags(types) for name, types in tasks.items()}
        self._classes = {name: {tag: number for number, tag in enumerate(tags)} for name, tags in self._tags.items()}

    def foreign(self, words: Iterable[str], types: Iterable[str]) -> tuple[list[str], list[str]]:
        return [word for word in words if not self.word_pieces.reads(word)], []

    def encode(self, task: str, sentences: Sequence[Sentence], training: Training) -> list[Example]:
        """Sentences as ids and classes; pieces that carry no tag are ignored, and so are tags of other types than the task's.

        An `I-x` that continues no span opens one, as the CoNLL scorer reads it.
        """
        classes, examples = self._classes[task], []
        for sentence in sentences:
            source, places = self.align(sentence.words, training.source_length)
            target = [IGNORED] * len(source)
            for place, tag in zip(places, from_sbio(to_sbio(sentence.tags)), strict=False):
                target[place] = classes.get(tag, IGNORED)
            examples.append(Example(source, target, len(places) < len(sentence.words)))
        return examples

    def align(self, words: Sequence[str], max_length: int) -> tuple[list[int], list[int]]:
        """Ids of `[CLS] pieces [SEP]`, and the place of the first piece of each word that fits into `max_length` of them."""
        ids, places, max_length = [self.word_pieces.start], [], min(max_length, self._positions)
        for word in words:
            pieces = self.word_pieces.pieces(word)
            if len(ids) + len(pieces) >= max_length:
                break
            places.append(len(ids))
            ids.extend(pieces)
        return [*ids, self.word_pieces.end], places

    def collate(self, task: str, examples: Sequence[Example]) -> Batch:
        labels = pad([example.target for example in examples], IGNORED)
        input_ids = pad([example.source for example in examples], self.word_pieces.pad)
        return Batch(task, {"input_ids": input_ids, "attention_mask": (input_ids != self.word_pieces.pad).long()}, labels)

    def capacity(self, words: Sequence[str], training: Training) -> int:
        return self.readable(words, training)

    def readable(self, words: Sequence[str], training: Training) -> int:
        return len(self.align(words, training.source_length)[1])

    def predict(self, model: TaskModel, task: str, sentences: Sequence[Sequence[str]], training: Training) -> list[Prediction]:
        """Tag sentences by the likeliest class of each word, whose probability is the confidence; it is 0 for words that are left out.

        Batches hold sentences of equal length: the gates of UniPELT average over padding too, and a sentence's tags should not depend on
        the others in its batch. Tags are given as classified: an `I-x` may continue no span, which scorers and `sentt.spans` read as
        the start of one.
        """
        aligned = [self.align(words, training.source_length) for words in sentences]
        tags, classified = self._tags[task], {}
        for chosen in batches_by_length([len(source) for source, _ in aligned], equal=True):
            input_ids = torch.tensor([aligned[index][0] for index in chosen], device=model.backbone.device)
            with torch.no_grad():
                logits = model(task=task, input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).logits
            probabilities, classes = logits.float().softmax(-1).max(-1)
            for index, row, sure in zip(chosen, classes.tolist(), probabilities.tolist(), strict=True):
                classified[index] = [(tags[row[place]], sure[place]) for place in aligned[index][1]]
        return [self._whole(len(words), classified[index]) for index, words in enumerate(sentences)]

    @staticmethod
    def _whole(length: int, classified: list[tuple[str, float]]) -> Prediction:
        missing = length - len(classified)
        tags, confidences = zip(*classified, *[(OUTSIDE, 0.0)] * missing, strict=True) if length else ((), ())
        return Prediction(list(tags), "", missing > 0, confidences=list(confidences))

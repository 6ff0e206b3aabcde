"""Tagging as writing: T5 reads a sentence in SentT' and writes its labels (section 3.6)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import torch

from hyperloader.config.settings import Decoding, Training
from hyperloader.corpora.readers.checks import shown
from hyperloader.errors import CorpusError
from hyperloader.formulations import Formulation, Prediction, batches_by_length
from hyperloader.formulations.decoding import GreedyDecoder
from hyperloader.models.task_model import TaskModel
from hyperloader.text.batches import IGNORED, Batch, Example, pad
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import LONGEST, from_sbio, to_sbio
from hyperloader.text.t5_vocabulary import PAD, Vocabulary

# a label with its sentinel: long sentences need no more on average (the real test sentences of 30 words and more 2.1, at most 3.1)
LABEL_TOKENS = 3
# longest target of the authors' runs, from which they read the gold labels too
PUBLISHED_TARGET_LENGTH = 128
# slot types in an error
SHOWN = 5


class TextToText(Formulation):
    """SentT' in, SentT' out, decoded greedily.

    Args:
        vocabulary: of the backbone.
        tasks: the slot types of each task; a label that is none of them is outside.
        decoding: see `hyperloader.formulations.decoding`.
        task_prefix: inputs begin with the name of their task and a colon.
        virtual_tokens: ids that stand before that; they do not count as part of the longest source.

    Raises:
        CorpusError: with prefixes, the vocabulary writes two tasks alike.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        tasks: Mapping[str, Sequence[str]],
        decoding: Decoding = "free",
        *,
        task_prefix: bool = False,
        virtual_tokens: Iterable[int] = (),
    ):
        self.vocabulary = vocabulary
        self._decoders = {name: GreedyDecoder(vocabulary, types, decoding) for name, types in tasks.items()}
        self._known = {name: frozenset(types) for name, types in tasks.items()}
        self._prefixes = {name: list(vocabulary.pieces(f"{name}:")) if task_prefix else [] for name in tasks}
        self._virtual = list(virtual_tokens)
        self._prefix_length = max(map(len, self._prefixes.values()), default=0)
        if task_prefix and len(set(map(tuple, self._prefixes.values()))) < len(tasks):
            raise CorpusError("the vocabulary cannot tell the tasks' names apart", file=vocabulary.file, remedy="leave task_prefix out")

    def check(self, task: str, types: Iterable[str], training: Training, *, as_they_are: bool = False) -> None:
        names = list(types)
        unwritten = [name for name in names if not self.vocabulary.writes(name)]
        unlearned = [name for name in names if as_they_are and self.vocabulary.written(name) != name]
        # the target of a sentence of one word: its label, a sentinel on either side, and </s>
        too_long = [name for name in names if len(self.vocabulary.label_pieces(name)) + 3 > training.target_length]
        for wrong, why, otherwise in (
            (unwritten, "that this vocabulary cannot write", "take a backbone whose vocabulary has %, ASCII letters and digits"),
            (unlearned, "that the model cannot have learned to write", "train it again"),
            (too_long, f"too long for a target of {training.target_length} tokens", "raise target_length"),
        ):
            if wrong:
                listed = ", ".join(map(shown, wrong[:SHOWN])) + (f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
                message = f"{task} has slot types {why}: {listed}"
                raise CorpusError(message, file=self.vocabulary.file, remedy=f"rename them, or {otherwise}")

    def foreign(self, words: Iterable[str], types: Iterable[str]) -> tuple[list[str], list[str]]:
        reads = self.vocabulary.reads
        return [word for word in words if not reads(word)], [name for name in types if not reads(self.vocabulary.written(name))]

    def encode(self, task: str, sentences: Sequence[Sentence], training: Training) -> list[Example]:
        examples = []
        for sentence in sentences:
            words, labels = sentence.words, to_sbio(sentence.tags)
            source = self._source(task, words, training)
            target = self.vocabulary.encode_labels(labels, training.target_length)
            whole = min(self.readable(words, training), fitting(map(self.vocabulary.label_pieces, labels), training.target_length))
            examples.append(Example(source, target, cut=whole < len(words)))
        return examples

    def collate(self, task: str, examples: Sequence[Example]) -> Batch:
        return collate(task, examples)

    def capacity(self, words: Sequence[str], training: Training) -> int:
        return min(self.readable(words, training), (training.target_length - 2) // LABEL_TOKENS, LONGEST)

    def readable(self, words: Sequence[str], training: Training) -> int:
        return fitting(map(self.vocabulary.pieces, words), self.room(training))

    def room(self, training: Training) -> int:
        return training.source_length - self._prefix_length

    def prefix(self, task: str) -> list[int]:
        return self._virtual + self._prefixes.get(task, [])

    def _source(self, task: str, words: Sequence[str], training: Training) -> list[int]:
        return self.prefix(task) + self.vocabulary.encode(words, self.room(training))

    def gold_words(self, tags: Sequence[str]) -> int:
        ends = accumulate((len(self.vocabulary.label_pieces(label)) + 1 for label in to_sbio(tags)), initial=1)
        next(ends)
        # each end is that of the sentinel after the label; the last id of a cut target is </s>
        return sum(end - 1 <= PUBLISHED_TARGET_LENGTH - 1 for end in ends)

    def learn(self, task: str, sentences: Sequence[Sentence]) -> None:
        for sentence in sentences:
            self._decoders[task].learn(sentence.words, to_sbio(sentence.tags))

    def predict(self, model: TaskModel, task: str, sentences: Sequence[Sequence[str]], training: Training) -> list[Prediction]:
        sources = [self._source(task, words, training) for words in sentences]
        predictions: dict[int, Prediction] = {}
        decoder = self._decoders[task].apart()
        with model.decoding(task):
            for chosen in batches_by_length([len(source) for source in sources]):
                batch = [sentences[index] for index in chosen]
                written = decoder.decode(model, [sources[index] for index in chosen], batch, training.target_length)
                for index, words, own in zip(chosen, batch, written, strict=True):
                    predictions[index] = self.read(task, len(words), *own)
        return [predictions[index] for index in range(len(sentences))]

    def read(self, task: str, length: int, ids: Sequence[int], probabilities: Sequence[float]) -> Prediction:
        """What was written for a sentence of `length` words.

        A word's confidence is the product of the probabilities of its label's tokens and of the sentinel that ends the label; it is
        0 where no known label was written. `tags` and confidences are aligned by sentinel.

        Args:
            task: whose labels are known.
            length: number of words.
            ids: generated ids, without the decoder's start token.
            probabilities: of each.
        """
        known, vocabulary = self._known[task], self.vocabulary
        labels, malformed = vocabulary.read(ids, length, known)
        segments = vocabulary.segments(ids)
        places = [segments.places.get(index, (0, 0)) for index in range(length)]
        return Prediction(
            tags=from_sbio(labels),
            output=vocabulary.text(ids),
            malformed=malformed,
            by_order=from_sbio(vocabulary.read_in_order(ids, length, known)),
            confidences=[
                math.prod(probabilities[start : end + 1]) if vocabulary.label(ids[start:end]) == label else 0.0
                for (start, end), label in zip(places, labels, strict=True)
            ],
        )


def fitting(pieces: Iterable[Sequence[int]], length: int) -> int:
    """How many words or labels, given as pieces, are encoded whole in so many ids, from the first on."""
    # the ids of none of them, with </s>, then each one and its sentinel
    ends = accumulate((len(own) + 1 for own in pieces), initial=2)
    return max(0, sum(end <= length for end in ends) - 1)


def collate(task: str, examples: Sequence[Example]) -> Batch:
    """Pad examples into a batch; the decoder reads the target shifted right, after T5's start token `<pad>`."""
    input_ids = pad([example.source for example in examples], PAD)
    labels = pad([example.target for example in examples], IGNORED)
    decoder_input_ids = torch.full_like(labels, PAD)
    decoder_input_ids[:, 1:] = labels[:, :-1]
    decoder_input_ids[decoder_input_ids == IGNORED] = PAD
    inputs = {"input_ids": input_ids, "attention_mask": (input_ids != PAD).long(), "decoder_input_ids": decoder_input_ids}
    return Batch(task, inputs, labels)

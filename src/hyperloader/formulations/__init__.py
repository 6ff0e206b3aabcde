"""How tagging is put to a backbone: T5 writes a text, BERT sorts each word into a class.

A formulation turns sentences into what a model of its kind reads, and what the model answers into one tag per word.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperloader.config.settings import Decoding, Training
from hyperloader.text.sentences import Sentence

if TYPE_CHECKING:
    from hyperloader.models.backbones import Backbone
    from hyperloader.models.task_model import TaskModel
    from hyperloader.text.batches import Batch, Example


# sentences in a batch, and padded tokens: many short sentences make a pass worth its start
BATCH_SIZE, BATCH_TOKENS = 256, 8192


class Prediction(NamedTuple):
    """What a model says about one sentence.

    Attributes:
        tags: BIO, one per word.
        output: what it wrote, readable; empty where it wrote nothing.
        malformed: whether the output was not one well-formed label per word.
        by_order: BIO, one per word, from the n-th label that was written for the n-th word, whatever sentinel stands
            before it; None where nothing is written and so nothing can shift.
        confidences: the probability of each word's tag, in 0..1; None where there is none.
    """

    tags: list[str]
    output: str
    malformed: bool
    by_order: list[str] | None = None
    confidences: list[float] | None = None


class Formulation(ABC):
    """Between sentences and one kind of model."""

    def check(self, task: str, types: Iterable[str], training: Training, *, as_they_are: bool = False) -> None:
        """Refuse slot types that no answer of a model can hold.

        Args:
            task: whose they are.
            types: the slot types.
            training: for the longest answer.
            as_they_are: the model learned them without what replaces characters that a vocabulary lacks.

        Raises:
            CorpusError: names the task and the slot types.
        """
        # a class can have any name
        return None

    @abstractmethod
    def foreign(self, words: Iterable[str], types: Iterable[str]) -> tuple[list[str], list[str]]:
        """Those of the words that the backbone's vocabulary does not know or spells letter by letter, and those of the slot types that an
        answer would spell so."""

    @abstractmethod
    def encode(self, task: str, sentences: Sequence[Sentence], training: Training) -> list[Example]:
        """Sentences of a task as ids, cut to the recipe's lengths."""

    @abstractmethod
    def collate(self, task: str, examples: Sequence[Example]) -> Batch:
        """Examples of one task, padded."""

    @abstractmethod
    def capacity(self, words: Sequence[str], training: Training) -> int:
        """How many of the words, from the first on, a model can read and answer as one sentence."""

    @abstractmethod
    def readable(self, words: Sequence[str], training: Training) -> int:
        """How many of the words, from the first on, fit into the recipe's source length."""

    def gold_words(self, tags: Sequence[str]) -> int:
        """How many of a sentence's gold tags the authors' scorer saw: it read them from a target of limited length.

        Asked when a run is predicted, and kept with the predictions: the answer takes the backbone's vocabulary, and predictions are
        scored where there is no backbone.
        """
        return len(tags)

    def room(self, training: Training) -> int:
        """The longest source without what stands before it, the same for all tasks of a model."""
        return training.source_length

    def prefix(self, task: str) -> list[int]:
        """Ids that stand before every input of a task."""
        return []

    def learn(self, task: str, sentences: Sequence[Sentence]) -> None:
        """Take training sentences as hints of what a model may answer; they make predicting faster and change no prediction."""
        # a formulation may have no use for them
        return None

    @abstractmethod
    def predict(self, model: TaskModel, task: str, sentences: Sequence[Sequence[str]], training: Training) -> list[Prediction]:
        """Tag sentences, given as words, with a model in evaluation mode.

        Raises:
            FormatError: a sentence is longer than the formulation can take.
        """


def batches_by_length(lengths: Sequence[int], *, equal: bool = False) -> Iterator[list[int]]:
    """The indices of sequences in batches of similar or equal length, the shortest first."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        full = len(batch) == BATCH_SIZE or (len(batch) + 1) * lengths[index] > BATCH_TOKENS
        if batch and (full or (equal and lengths[index] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def formulation_of(
    backbone: Backbone, tasks: Mapping[str, Sequence[str]], decoding: Decoding = "free", *, settings: Mapping[str, Any] | None = None
) -> Formulation:
    """How tagging is put to a backbone.

    Args:
        backbone: for its kind and its vocabulary.
        tasks: the slot types of each task.
        decoding: how text is written, by a model that does.
        settings: of the method, with their defaults, where they say what stands before each sentence that such a model reads: with
            `task_prefix` the name of the task, and so many `virtual_tokens`, whose ids follow those of the backbone's own words.
    """
    from hyperloader.formulations.text_to_text import TextToText
    from hyperloader.formulations.token_classification import TokenClassification

    if backbone.kind == "t5":
        settings, words = settings or {}, backbone.config.vocab_size
        virtual = range(words, words + settings.get("virtual_tokens", 0))
        return TextToText(backbone.vocabulary, tasks, decoding, task_prefix=settings.get("task_prefix", False), virtual_tokens=virtual)
    return TokenClassification(backbone.vocabulary, tasks, backbone.config.max_position_embeddings)

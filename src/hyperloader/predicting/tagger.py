"""The trained tagger as a Python object: text in, spans out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from re import finditer
from typing import NamedTuple

from hyperloader.config.settings import Decoding
from hyperloader.errors import FormatError, RunError
from hyperloader.predicting.prediction import Predictor, load_predictor
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import LONGEST, spans

# of sentences in several scripts
SENTENCE_ENDS = tuple(".!?…。！？؟।")

Text = str | Sequence[str]


class Words(NamedTuple):
    """A text and where its words are: word i is `text[start:end]` with `start, end = places[i]`."""

    text: str
    places: list[tuple[int, int]]

    @property
    def words(self) -> tuple[str, ...]:
        """The words."""
        return tuple(self.text[start:end] for start, end in self.places)


class Tagger:
    """Finds the slots of a task in texts.

    >>> tagger = Tagger.from_pretrained("results/demo/runs/matched/hyperloader/all/100/seed42")
    >>> tagger.predict("play the song little robin redbreast", task="snips")

    A text is a string, which is split at white space, or a list of words, which are joined by single blanks. A text that is too long
    for the model is tagged in parts.
    """

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    @classmethod
    def from_pretrained(cls, folder: str | Path, decoding: Decoding = "free") -> Tagger:
        """Load a trained run, or a saved model such as `hyperloader import` writes.

        Args:
            folder: of the run or of the model.
            decoding: how a model that writes its answer does so: `free`, or `constrained` to sentinels and slot types of the task.

        Raises:
            UserError: it is missing, untrained or damaged.
        """
        return cls(load_predictor(folder, decoding))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return self._predictor.tasks

    def task(self, name: str | None = None) -> str:
        """`name` itself, or the only task where none is given.

        Raises:
            RunError: unknown task, or none of several given; names the known ones.
        """
        if not self.tasks:
            raise RunError("the model knows no slot types", remedy="import it again, with --labels TASK=FILE")
        if name is None and len(self.tasks) == 1:
            return self.tasks[0]
        if name not in self.tasks:
            close = get_close_matches(name or "", self.tasks, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            problem = "which task?" if name is None else f"unknown task '{name}'"
            raise RunError(problem, remedy=f"{hint}known tasks: {', '.join(self.tasks)}")
        return name

    def predict(self, texts: str | Sequence[Text], task: str | None = None) -> list[dict] | list[list[dict]]:
        """The spans of each text, as the token-classification pipeline of Transformers gives them.

        Args:
            texts: one string, or a list of texts.
            task: which corpus' slots to look for; not needed where the model knows only one.

        Returns:
            For each text its spans in order, `{"entity_group", "score", "word", "start", "end"}`: the slot type, the mean confidence
            of the span's words (None for a model without probabilities), and the span's characters, which are `text[start:end]`. For
            one string its spans alone.

        Raises:
            RunError: unknown task; names the known ones.
            FormatError: a text is not Unicode, or a word of a list is not one word.
        """
        return self._each(_spans, texts, task)

    def tag(self, texts: str | Sequence[Text], task: str | None = None) -> list[dict] | list[list[dict]]:
        """The BIO tag of each word of each text, those outside included.

        Args and errors are those of `predict`.

        Returns:
            For each text its words in order, `{"entity", "score", "word", "start", "end"}`: the tag, its confidence (or None), and the
            word's characters. For one string its words alone.
        """
        return self._each(_tagged_words, texts, task)

    def _each(self, answer: Callable, texts: str | Sequence[Text], task: str | None) -> list[dict] | list[list[dict]]:
        task = self.task(task)
        located = [locate(text) for text in ([texts] if isinstance(texts, str) else texts)]
        # all parts of all texts together, for full batches
        parts = [part for words in located for part in self._parts(words.words)]
        predictions = iter(self._predictor.predict(task, [Sentence(part, ()) for part in parts]))
        answers = []
        for words in located:
            tags, scores = [], []
            while len(tags) < len(words.places):
                prediction = next(predictions)
                tags += prediction.tags
                scores += [None] * len(prediction.tags) if prediction.confidences is None else prediction.confidences
            answers.append(answer(words, tags, scores))
        return answers[0] if isinstance(texts, str) else answers

    def _parts(self, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """As many words at a time as the model can take, up to the end of a sentence where there is one."""
        start = 0
        while start < len(words):
            window = words[start : start + LONGEST]
            # a single word is tagged however long it is
            end = max(1, self._predictor.capacity(window))
            if start + end < len(words):
                end = next((cut for cut in range(end, 0, -1) if window[cut - 1].endswith(SENTENCE_ENDS)), end)
            yield window[:end]
            start += end


def locate(text: Text) -> Words:
    """The words of a text and their places in it.

    Raises:
        FormatError: the text holds surrogates, which are no characters, or a word of a list is empty or holds white space.
    """
    if not isinstance(text, str):
        for word in text:
            if word.split() != [word]:
                raise FormatError(f"{word!r} is not one word", remedy="give a string to have it split at white space")
        text = " ".join(text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError("a text is not valid Unicode (it holds surrogates)") from None
    return Words(text, [match.span() for match in finditer(r"\S+", text)])


def _spans(words: Words, tags: list[str], scores: list[float | None]) -> list[dict]:
    found = []
    for slot_type, first, end in spans(tags):
        start, stop, own = words.places[first][0], words.places[end - 1][1], scores[first:end]
        score = None if None in own else sum(own) / len(own)
        found.append({"entity_group": slot_type, "score": score, "word": words.text[start:stop], "start": start, "end": stop})
    return found


def _tagged_words(words: Words, tags: list[str], scores: list[float | None]) -> list[dict]:
    return [
        {"entity": tag, "score": score, "word": words.text[start:end], "start": start, "end": end}
        for tag, score, (start, end) in zip(tags, scores, words.places, strict=True)
    ]

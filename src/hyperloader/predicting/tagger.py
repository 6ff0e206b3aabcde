"""The trained tagger as a Python object: text in, spans out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from re import finditer
from statistics import fmean
from typing import Literal, NamedTuple, get_args

from hyperloader.config.settings import Decoding
from hyperloader.errors import FormatError, RunError, SettingsError
from hyperloader.formulations.parts import joined, parts
from hyperloader.predicting.prediction import Predictor, load_predictor
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import spans

Text = str | Sequence[str]
AggregationStrategy = Literal["none", "simple", "first", "average", "max"]
# of a span, from the confidences of its words
SCORES: dict[str, Callable[[list[float]], float]] = {"simple": fmean, "average": fmean, "first": itemgetter(0), "max": max}


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

    def __init__(self, predictor: Predictor, folder: Path | None = None, **options):
        self._predictor, self._folder, self._options = predictor, folder, options

    @classmethod
    def from_pretrained(cls, folder: str | Path, decoding: Decoding = "free", *, backbone: str | Path | None = None) -> Tagger:
        """Load a trained run, or a saved model such as `hyperloader import` writes.

        Args:
            folder: of the run or of the model.
            decoding: how a model that writes its answer does so: `free`, or `constrained` to sentinels and slot types of the task.
            backbone: folder of the backbone, for a model that was copied without it.

        Raises:
            UserError: it is missing, untrained or damaged, or the backbone is not the one that it was trained on.
        """
        return cls(load_predictor(folder, decoding, backbone=backbone), Path(folder), decoding=decoding, backbone=backbone)

    def add_task(self, corpus: str | Path, output: str | Path, **options) -> Tagger:
        """A tagger that knows one more task, and otherwise is like this one, which stays as it is.

        Args:
            corpus: name or folder of a prepared corpus.
            output: folder of the run that learns it.
            options, and errors: see `hyperloader.methods.adding.add_task`.
        """
        from hyperloader.methods.adding import add_task

        if self._folder is None:
            raise RunError("this tagger was not loaded from a run", remedy="use Tagger.from_pretrained(RUN)")
        return Tagger.from_pretrained(add_task(self._folder, corpus, output, **options).folder, **self._options)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return self._predictor.tasks

    def task(self, name: str | None = None) -> str:
        """`name` itself, or the only task where none is given.

        Raises:
            RunError: unknown task, or none of several given; names the known ones.
        """
        return known_task(name, self.tasks)

    def predict(
        self, texts: str | Sequence[Text], task: str | None = None, aggregation_strategy: AggregationStrategy = "average"
    ) -> list[dict] | list[list[dict]]:
        """The spans of each text, as the token-classification pipeline of Transformers gives them.

        Args:
            texts: one string, or a list of texts.
            task: which corpus' slots to look for; not needed where the model knows only one.
            aggregation_strategy: by the names of that pipeline, what the score of a span is of its words' confidences: their mean
                (`average`, `simple`), that of the `first`, the `max`; `none` is `tag`. Spans are the same in each.

        Returns:
            For each text its spans in order, `{"entity_group", "score", "word", "start", "end"}`: the slot type, the score (None for a
            model without probabilities), and the span's characters, which are `text[start:end]`. For one string its spans alone.

        Raises:
            RunError: unknown task; names the known ones.
            SettingsError: unknown aggregation strategy.
            FormatError: a text is not Unicode, or a word of a list is not one word.
        """
        if aggregation_strategy == "none":
            return self.tag(texts, task)
        if aggregation_strategy not in SCORES:
            known = ", ".join(get_args(AggregationStrategy))
            raise SettingsError(f"unknown aggregation_strategy {aggregation_strategy!r}", remedy=f"name one of {known}")
        return self._each(partial(_spans, score_of=SCORES[aggregation_strategy]), texts, task)

    def stream(
        self, texts: Iterable[Text], task: str | None = None, *, batch_size: int = 64, progress: bool = False, **options
    ) -> Iterator[list[dict]]:
        """The spans of each text of an iterable that may have no end, as they come; it is read a batch ahead.

        Args:
            texts: one after the other.
            task: see `predict`, and `options` likewise.
            batch_size: texts that are tagged together.
            progress: show on a terminal how many are done.

        Raises:
            UserError: see `predict`; what came before has been yielded.
        """
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        if isinstance(texts, str):
            raise FormatError("expected an iterable of texts, got a text", remedy="predict takes one")
        if batch_size < 1:
            raise SettingsError(f"a batch_size of {batch_size} is not possible", remedy="name at least 1")
        task, source = self.task(task), _iterated(texts, "an iterable of texts")
        columns = (SpinnerColumn(), TextColumn("{task.completed} texts"), TimeElapsedColumn())
        # what is printed between two answers belongs to the caller
        hidden = not (progress and sys.stderr.isatty())
        with Progress(*columns, console=Console(stderr=True), disable=hidden, redirect_stdout=False, redirect_stderr=False) as bar:
            shown = bar.add_task("")
            while batch := list(islice(source, batch_size)):
                yield from self.predict(batch, task, **options)
                bar.advance(shown, len(batch))

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
        located = [locate(text) for text in ([texts] if isinstance(texts, str) else _items(texts, "a text or a list of texts"))]
        # all parts of all texts together, for full batches
        parted = [list(parts(Sentence(words.words, ()), self._predictor.capacity)) for words in located]
        predictions = iter(self._predictor.predict(task, [part for own in parted for part in own]))
        answers = []
        for words, own in zip(located, parted, strict=True):
            prediction = joined([next(predictions) for _ in own])
            answers.append(answer(words, prediction.tags, prediction.confidences or [None] * len(prediction.tags)))
        return answers[0] if isinstance(texts, str) else answers


def known_task(name: str | None, tasks: Sequence[str]) -> str:
    """See `Tagger.task`."""
    if not tasks:
        raise RunError("the model knows no slot types", remedy="import it again, with --labels TASK=FILE")
    if name is None and len(tasks) == 1:
        return tasks[0]
    if name not in tasks:
        close = get_close_matches(str(name), tasks, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        problem = "which task?" if name is None else f"unknown task '{name}'"
        raise RunError(problem, remedy=f"{hint}known tasks: {', '.join(tasks)}")
    return name


def locate(text: Text) -> Words:
    """The words of a text and their places in it.

    Raises:
        FormatError: the text holds surrogates, which are no characters, or is no list of words, each of them not empty and without white
            space.
    """
    if not isinstance(text, str):
        words = _items(text, "a string or a list of words")
        for number, word in enumerate(words, 1):
            if not isinstance(word, str):
                raise FormatError(f"word {number} of a text: expected a string, got {type(word).__name__}")
            if word.split() != [word]:
                raise FormatError(f"{word!r} is not one word", remedy="give a string to have it split at white space")
        text = " ".join(words)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError("a text is not valid Unicode (it holds surrogates)") from None
    return Words(text, [match.span() for match in finditer(r"\S+", text)])


def _items(values: Iterable, expected: str) -> list:
    """The items of a list or anything like one; of a generator too, which can be read once."""
    return list(_iterated(values, expected))


def _iterated(values: Iterable, expected: str) -> Iterator:
    try:
        # these have no order, or none of what they are asked for, or numbers instead of characters, or, as tables, names of columns
        if isinstance(values, bytes | bytearray | Mapping | set | frozenset) or hasattr(values, "columns"):
            raise TypeError
        return iter(values)
    except TypeError:
        raise FormatError(f"expected {expected}, got {type(values).__name__}") from None


def _spans(words: Words, tags: list[str], scores: list[float | None], score_of: Callable[[list[float]], float]) -> list[dict]:
    found = []
    for slot_type, first, end in spans(tags):
        start, stop, own = words.places[first][0], words.places[end - 1][1], scores[first:end]
        score = None if None in own else score_of(own)
        found.append({"entity_group": slot_type, "score": score, "word": words.text[start:stop], "start": start, "end": stop})
    return found


def _tagged_words(words: Words, tags: list[str], scores: list[float | None]) -> list[dict]:
    return [
        {"entity": tag, "score": score, "word": words.text[start:end], "start": start, "end": end}
        for tag, score, (start, end) in zip(tags, scores, words.places, strict=True)
    ]

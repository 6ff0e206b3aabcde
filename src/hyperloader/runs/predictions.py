"""Predictions on disk: JSON lines, one file for each test set."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hyperloader.errors import RunError
from hyperloader.files import reading, replacing
from hyperloader.runs.records import PredictedCorpus, PredictionsManifest

REMEDY = PredictionsManifest.REMEDY
# stands for a word in what a model wrote
NUMBER = "<word {}>"


@dataclass(frozen=True)
class PredictedSentence:
    """A sentence of a test set and what a run says about it: one line of a file.

    Attributes:
        tokens: its words.
        gold, prediction: BIO, one per word.
        by_order: BIO, as read by the order of what was written; None where nothing is written.
        confidences: the probability of each predicted tag; None where there is none.
        output: what was written, readable.
        malformed: whether that was not one well-formed label per word.
        gold_words: how many words' gold labels fit into the longest target of the authors.
    """

    tokens: list[str]
    gold: list[str]
    prediction: list[str]
    by_order: list[str] | None
    confidences: list[float] | None
    output: str
    malformed: bool
    gold_words: int


KEYS = tuple(field.name for field in fields(PredictedSentence))


def write_predictions(path: str | Path, sentences: Iterable[PredictedSentence]) -> None:
    """Write one file of predictions, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for sentence in sentences:
            file.write(_line(asdict(sentence)))


def read_predictions(path: str | Path, entry: PredictedCorpus) -> Iterator[PredictedSentence]:
    """The sentences of one file of predictions.

    Args:
        path: of the file.
        entry: what the manifest says about it.

    Raises:
        RunError: at the first line that is not as the manifest says; names the file and the line.
    """
    path = Path(path)
    with reading(path, remedy=REMEDY, error=RunError):
        content = path.read_bytes()
    number = 0
    for number, sentence in enumerate(parse_predictions(content, path), 1):  # noqa: B007
        yield sentence
    if number != entry.sentences:
        raise RunError(f"{number} sentences instead of {entry.sentences}", file=path, line=number, remedy=REMEDY)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise RunError("not the file that was predicted: its checksum differs from predictions.json", file=path, remedy=REMEDY)


def parse_predictions(content: bytes, path: Path) -> Iterator[PredictedSentence]:
    """The sentences of a file's content.

    Raises:
        RunError: at the first line that is no prediction; names it by `path`.
    """
    try:
        # not splitlines(), which also splits at separators that a raw output may contain
        text = content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise RunError("not a text file", file=path, remedy=REMEDY) from None
    for number, line in enumerate(text.split("\n") if text else [], 1):
        yield _read_line(line, path, number)


def with_words(content: bytes, path: Path, words_of: Callable[[int], Sequence[str]]) -> bytes:
    """The content of a file of predictions with words for the numbers in it: undoes `with_numbers_for_words`, byte for byte.

    Args:
        content: with the words, or with numbers.
        path: of the file, for errors.
        words_of: the words of the sentence at a place.

    Raises:
        RunError: a line is no prediction; names it.
    """
    lines = []
    for place, sentence in enumerate(parse_predictions(content, path)):
        words = list(words_of(place))
        named = dict(zip(map(NUMBER.format, sentence.tokens), words, strict=True))
        output = re.sub(NUMBER.format(r"\d+"), lambda found, named=named: named.get(found[0], found[0]), sentence.output)
        lines.append(_line(asdict(sentence) | {"tokens": words, "output": output}))
    return "".join(lines).encode()


def with_numbers_for_words(content: bytes, path: Path) -> bytes:
    """The content of a file of predictions with numbers for words, in what was written too: words are numbered as they first appear.

    Raises:
        RunError: a line is no prediction; names it.
    """
    known, lines = {}, []
    for sentence in parse_predictions(content, path):
        own = {word: known.setdefault(word, str(len(known))) for word in sentence.tokens}
        named = {word: NUMBER.format(number) for word, number in own.items()}
        output = re.sub(r"\S+", lambda found, named=named: named.get(found[0], found[0]), sentence.output)
        lines.append(_line(asdict(sentence) | {"tokens": [own[word] for word in sentence.tokens], "output": output}))
    return "".join(lines).encode()


def _line(sentence: dict[str, Any]) -> str:
    return json.dumps(sentence, ensure_ascii=False) + "\n"


def _read_line(line: str, path: Path, number: int) -> PredictedSentence:
    missing = []
    try:
        value = json.loads(line)
        missing = [key for key in KEYS if key not in value.keys()]
        sentence = PredictedSentence(**{key: value[key] for key in KEYS})
        texts = (*sentence.tokens, *sentence.gold, *sentence.prediction, *(sentence.by_order or ()), sentence.output)
        "".join(texts).encode()  # strings, and no halves of characters
        range(sentence.gold_words)
        tokens, gold, predicted = len(sentence.tokens), len(sentence.gold), len(sentence.prediction)
        by_order = predicted if sentence.by_order is None else len(sentence.by_order)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        message = f"a prediction without {', '.join(missing)}, as older versions wrote it" if missing else "not a prediction"
        raise RunError(message, file=path, line=number, remedy=REMEDY) from None
    if not tokens == gold == predicted == by_order:
        counts = f"{tokens} tokens, {gold} gold tags and {predicted} predicted tags ({by_order} by order)"
        raise RunError(f"unequal lengths: {counts}", file=path, line=number, remedy=REMEDY)
    return sentence

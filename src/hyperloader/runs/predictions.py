"""Predictions on disk: JSON lines, one file for each test set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hyperloader.errors import RunError
from hyperloader.files import reading, replacing, sha256
from hyperloader.runs.records import PredictedCorpus, PredictionsManifest

REMEDY = PredictionsManifest.REMEDY


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
            file.write(json.dumps(asdict(sentence), ensure_ascii=False) + "\n")


def read_predictions(path: str | Path, entry: PredictedCorpus) -> Iterator[PredictedSentence]:
    """The sentences of one file of predictions.

    Args:
        path: of the file.
        entry: what the manifest says about it.

    Raises:
        RunError: at the first line that is not as the manifest says; names the file and the line.
    """
    path = Path(path)
    try:
        with reading(path, remedy=REMEDY, error=RunError):
            # not splitlines(), which also splits at separators that a raw output may contain
            text = path.read_text(encoding="utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise RunError("not a text file", file=path, remedy=REMEDY) from None
    lines = text.split("\n") if text else []
    for number, line in enumerate(lines, 1):
        yield _read_line(line, path, number)
    if len(lines) != entry.sentences:
        raise RunError(f"{len(lines)} sentences instead of {entry.sentences}", file=path, line=len(lines), remedy=REMEDY)
    if sha256(path) != entry.sha256:
        raise RunError("not the file that was predicted: its checksum differs from predictions.json", file=path, remedy=REMEDY)


def _read_line(line: str, path: Path, number: int) -> PredictedSentence:
    try:
        value = json.loads(line)
        missing = [key for key in KEYS if key not in value.keys()]
        if missing:
            message = f"a prediction without {', '.join(missing)}, as older versions wrote it"
            raise RunError(message, file=path, line=number, remedy=REMEDY)
        sentence = PredictedSentence(**{key: value[key] for key in KEYS})
        tokens, gold, predicted = len(sentence.tokens), len(sentence.gold), len(sentence.prediction)
        by_order = predicted if sentence.by_order is None else len(sentence.by_order)
    except (json.JSONDecodeError, AttributeError, TypeError):
        raise RunError("not a prediction", file=path, line=number, remedy=REMEDY) from None
    if not tokens == gold == predicted == by_order:
        counts = f"{tokens} tokens, {gold} gold tags and {predicted} predicted tags ({by_order} by order)"
        raise RunError(f"unequal lengths: {counts}", file=path, line=number, remedy=REMEDY)
    return sentence

"""Sentences in, spans out, for as long as they come: what `hyperloader predict` reads and prints."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hyperloader.errors import FormatError
from hyperloader.files import reading

if TYPE_CHECKING:
    from hyperloader.config.settings import Decoding
    from hyperloader.predicting.tagger import Tagger

# modules that the tagger needs are imported in functions: `hyperloader --help` answers at once

STANDARD_INPUT = "-"
log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 16
BATCH_SENTENCES = 64


class Format(StrEnum):
    """How spans are printed: a line of text a sentence; a JSON object a sentence; word, TAB, BIO tag a line."""

    text = "text"
    jsonl = "jsonl"
    conll = "conll"


def tag_stream(
    texts: Sequence[str],
    file: str,
    folder: Path,
    task: str | None,
    decoding: Decoding,
    format: Format,
    backbone: Path | None = None,
) -> None:
    """Print the spans of sentences; what came in is answered before more is waited for.

    Args:
        texts: the sentences; without any, those of the file.
        file: sentences, one a line, or, in a `.jsonl`, an object a line with `text` or `tokens`; `-` is standard input.
        folder: of a run or a saved model.
        task: one of its tasks.
        decoding: see `Tagger.from_pretrained`.
        format: of the output.
        backbone: see `Tagger.from_pretrained`.

    Raises:
        FormatError: a line is not text in UTF-8, or not such an object; the lines before it are answered.
        UserError: the file, the model or the task is missing.
    """
    if texts and file != STANDARD_INPUT:
        raise FormatError("there are sentences to tag and a file as well", remedy="give one of them")
    with nullcontext() if texts else _opened(file) as stream:
        # loading the model takes seconds, a wrong file and a wrong task are found before
        from hyperloader.methods.loading import tasks_of
        from hyperloader.predicting.tagger import Tagger, known_task

        if (known := tasks_of(folder)) is not None:
            known_task(task, known)
        tagger = Tagger.from_pretrained(folder, decoding, backbone=backbone)
        task = tagger.task(task)
        if texts:
            _print_batch(tagger, texts, task, format)
            return
        with _progress(stream) as advance:
            for batch in read_sentences(stream, file):
                _print_batch(tagger, batch, task, format)
                advance()


def read_sentences(stream: BinaryIO, name: str) -> Iterator[list[str | list[str]]]:
    """The sentences of a stream in small batches, which end where the next read would have to wait.

    Args:
        stream: buffered bytes.
        name: of its file; one that ends in `.jsonl` has JSON objects in its lines.

    Raises:
        FormatError: see `tag_stream`; the sentences before it have been yielded.
    """
    from hyperloader.predicting.tagger import locate

    number, batch = 0, []
    for lines in _lines(stream):
        for line in lines:
            number += 1
            try:
                sentence = _sentence(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, name)
                locate(sentence)
            except FormatError as error:
                if batch:
                    yield batch
                raise FormatError(error.message, file=_shown(name), line=number, remedy=error.remedy) from None
            batch.append(sentence)
            if len(batch) == BATCH_SENTENCES:
                yield batch
                batch = []
        if batch:
            yield batch
            batch = []
    if not number:
        log.warning("%s: no sentences", _shown(name))


def _lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Whole lines without their ends, as many as each read completes."""
    rest = b""
    while block := stream.read1(BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        # an endless line of a binary file has no end to wait for
        yield [*lines, rest] if b"\0" in rest else lines
    if rest:
        yield [rest]


def _sentence(line: bytes, name: str) -> str | list[str]:
    if b"\0" in line:
        raise FormatError("NUL character, expected text")
    try:
        text = line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("not valid UTF-8") from None
    if not name.endswith(".jsonl"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not valid JSON ({error})") from None
    match value:
        case {"text": str(sentence)}:
            return sentence
        case {"tokens": list(words)} if all(isinstance(word, str) for word in words):
            return words
    raise FormatError("expected an object with a string as its text, or a list of strings as its tokens")


def _print_batch(tagger: Tagger, batch: Sequence[str | list[str]], task: str, format: Format) -> None:
    answers = (tagger.tag if format is Format.conll else tagger.predict)(batch, task)
    for sentence, answer in zip(batch, answers, strict=True):
        print(_printed(sentence, task, answer, format))
    sys.stdout.flush()


def _printed(sentence: str | list[str], task: str, answer: list[dict], format: Format) -> str:
    if format is Format.conll:
        return "".join(f"{word['word']}\t{word['entity']}\n" for word in answer)
    if format is Format.jsonl:
        spans = [span | {"score": span["score"] and round(span["score"], 4)} for span in answer]
        text = sentence if isinstance(sentence, str) else " ".join(sentence)
        return json.dumps({"text": text, "task": task, "spans": spans}, ensure_ascii=False)
    return "\t".join(map(_bracketed, answer)) or "(no span)"


def _bracketed(span: dict) -> str:
    score = "" if span["score"] is None else f" {span['score']:.2f}"
    return f"{' '.join(span['word'].split())} [{span['entity_group']} {span['start']}:{span['end']}{score}]"


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == STANDARD_INPUT:
        if sys.stdin is None:
            raise FormatError("is closed", file=_shown(file), remedy="give sentences, or a --file")
        if sys.stdin.isatty():
            print("sentences, one a line; Ctrl-D ends", file=sys.stderr)
        yield sys.stdin.buffer
        return
    with reading(file, error=FormatError):
        stream = open(file, "rb")
    with stream:
        yield stream


@contextmanager
def _progress(stream: BinaryIO) -> Iterator[Callable[[], None]]:
    """A bar on stderr, if that is a terminal that the spans do not go to, and the end of the stream is known."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeElapsedColumn, TimeRemainingColumn

    status = os.fstat(stream.fileno())
    shown = sys.stderr.isatty() and not sys.stdout.isatty() and stat.S_ISREG(status.st_mode)
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    # redirected, the spans would go to the bar's console
    with Progress(*columns, console=Console(stderr=True), disable=not shown, redirect_stdout=False) as progress:
        bar = progress.add_task("tagging", total=status.st_size)
        yield lambda: progress.update(bar, completed=stream.tell()) if shown else None


def _shown(name: str) -> str:
    return "standard input" if name == STANDARD_INPUT else name

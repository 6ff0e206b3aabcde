"""The format of mTOP: unquoted TSV of eight columns, slots given as byte offsets into the utterance.

Column 3 holds the top-level slots, `start:end:SL:NAME` parted by commas, in sentence order; column 4 the utterance;
column 7 the tree of intents and slots, nested ones among them;
column 8 its words as JSON: `tokens` and `tokenSpans` with `start` and `length`. All offsets count UTF-8 bytes. A
nested slot is one item, its outer span. The last line has no line end.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from hyperloader.corpora.readers.checks import check_tag, check_token, read_lines, shown
from hyperloader.errors import CorpusError
from hyperloader.text.sentences import Sentence

_SLOT = re.compile(r"([0-9]{1,9}):([0-9]{1,9}):SL:(.+)", re.DOTALL)


def read(path: Path) -> list[Sentence]:
    """Read one split; the words are those of the token column, the prefix `SL:` is dropped from slot types.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    return [_sentence(line, path, number) for number, line in enumerate(read_lines(path), start=1)]


def nested_slots(path: Path) -> int:
    """How many slots of a split lie inside another one, which BIO tags cannot say: those of the tree in column 7 that column 3 lacks."""
    columns = (line.split("\t") for line in read_lines(path))
    return sum(max(0, tree.count("[SL:") - (slots.count(",") + 1 if slots else 0)) for _, _, slots, _, _, _, tree, _ in columns)


def _sentence(line: str, path: Path, number: int) -> Sentence:
    columns = line.split("\t")
    if len(columns) != 8:
        raise CorpusError(f"{len(columns)} columns, expected 8", file=path, line=number)
    words = _words(columns[7], columns[3].encode(), path, number)
    starts = {start: index for index, (_, start, _) in enumerate(words)}
    ends = {end: index for index, (_, _, end) in enumerate(words)}
    tags = ["O"] * len(words)
    free = 0  # the first word that may still belong to a slot
    for item in columns[2].split(",") if columns[2] else ():
        match = _SLOT.fullmatch(item)
        if not match:
            raise CorpusError(f"slot {shown(item)}, expected start:end:SL:NAME", file=path, line=number)
        first, last = starts.get(int(match[1])), ends.get(int(match[2]))
        if first is None or last is None or last < first:
            message = f"slot {shown(item)}, expected offsets at the edges of words, in UTF-8 bytes"
            raise CorpusError(message, file=path, line=number)
        if first < free:
            message = f"slot {shown(item)} overlaps the one before it, expected slots in sentence order"
            raise CorpusError(message, file=path, line=number)
        free = last + 1
        begin, inside = check_tag(f"B-{match[3]}", path, number), f"I-{match[3]}"
        tags[first : last + 1] = [begin] + [inside] * (last - first)
    return Sentence(tuple(word for word, _, _ in words), tuple(tags))


def _words(column: str, utterance: bytes, path: Path, number: int) -> list[tuple[str, int, int]]:
    """Each word with its first byte in the utterance and the byte after its last."""
    words = _parsed(column)
    if words is None:
        message = 'token column, expected JSON {"tokens": [...], "tokenSpans": [{"start": ..., "length": ...}, ...]}'
        raise CorpusError(message, file=path, line=number)
    before, intact = 0, bool(words)
    for word, start, end in words:
        check_token(word, path, number)
        intact = intact and before <= start and utterance[start:end] == word.encode()
        before = end
    if not intact:
        message = "token column does not fit the utterance, expected words in order at their byte offsets"
        raise CorpusError(message, file=path, line=number)
    return words


def _parsed(column: str) -> list[tuple[str, int, int]] | None:
    """The words, first bytes and ends of a token column; None if it is not JSON, or JSON of something else."""
    try:
        parsed = json.loads(column)
        tokens, spans = parsed["tokens"], [(span["start"], span["length"]) for span in parsed["tokenSpans"]]
        "".join(tokens).encode()  # no words, or a surrogate, which is no character
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    numbers = all(type(value) is int for span in spans for value in span)
    if not isinstance(tokens, list) or not numbers or len(tokens) != len(spans):
        return None
    return [(token, start, start + length) for token, (start, length) in zip(tokens, spans, strict=True)]

"""Files with one word a line and a blank line after each sentence: MIT's `.bio`, whose tag comes first, and CoNLL's two columns.

The last blank line may be missing, as it is in some copies. In CoNLL files a `-DOCSTART-` with which a sentence would begin, alone or
with `O`, `-X-` or `_` in other columns, marks a document and is no word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from hyperloader.corpora.readers.checks import check_tag, check_token, read_lines
from hyperloader.errors import CorpusError
from hyperloader.text.sentences import Sentence

_GAP = re.compile(r"[\t ]+")
_DOCUMENT = re.compile(r"-DOCSTART-([\t ]+(O|-X-|_))*")


def read_bio(path: Path) -> list[Sentence]:
    """Read a split of an MIT corpus: tag, TAB, word.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    return _sentences(path, enumerate(read_lines(path), start=1), lambda line: line.split("\t")[::-1], "tag, TAB, word")


def read_conll(path: Path, columns: str | None = None) -> list[Sentence]:
    """Read a CoNLL file: word, then a TAB or blanks, then its tag.

    Args:
        path: of the file.
        columns: `WORD,TAG`, the numbers of their columns, from 1 on, where there are others as well.

    Raises:
        CorpusError: the file is missing or damaged, or without a sentence; or there are no such columns.
    """
    split = _GAP.split
    if columns is not None:
        if not re.fullmatch(r"[1-9]\d?,[1-9]\d?", columns):
            raise CorpusError(f"'{columns}' names no columns", remedy="write the numbers of those of word and tag, e.g. --columns 1,4")
        chosen = [int(number) - 1 for number in columns.split(",")]
        split = lambda line: [part for number in chosen for part in _GAP.split(line)[number : number + 1]]  # noqa: E731
    sentences = _sentences(path, _without_marks(path, split), split, "word, TAB or blank, tag; --columns WORD,TAG names them among others")
    if not sentences:
        raise CorpusError("no sentences, only marks of documents", file=path)
    return sentences


def _without_marks(path: Path, columns: Callable[[str], list[str]]) -> Iterator[tuple[int, str]]:
    """The lines of a CoNLL file with their numbers, without blanks at their ends and without marks of documents."""
    starts = True
    for number, line in enumerate(read_lines(path), start=1):
        line = line.strip(" \t")
        # of chosen columns, whatever stands in the others
        if starts and (_DOCUMENT.fullmatch(line) or columns(line) == ["-DOCSTART-", "O"]):
            continue
        starts = not line
        yield number, line


def _sentences(path: Path, lines: Iterator[tuple[int, str]], columns: Callable[[str], list[str]], expected: str) -> list[Sentence]:
    """Put sentences together from numbered lines; `columns` parts one into word and tag."""
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in [*lines, (0, "")]:
        if line:
            parts = columns(line)
            if len(parts) != 2:
                raise CorpusError(f"{len(parts)} columns, expected 2: {expected}", file=path, line=number)
            words.append(check_token(parts[0], path, number))
            tags.append(check_tag(parts[1], path, number))
        elif words:
            sentences.append(Sentence(tuple(words), tuple(tags)))
            words, tags = [], []
    return sentences

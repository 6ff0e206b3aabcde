"""The format of mTOD: comment lines, then one word a line in four TAB columns; a blank line ends a sentence.

The columns are number, word, intent and BIO tag, with `NoLabel` for `O`. A sentence without slots has the comment
`# slots: ` with a blank at its end. Tags are kept as they are, a few `I-` without a `B-` before them included.
"""

from __future__ import annotations

from pathlib import Path

from hyperloader.corpora.readers.checks import check_tag, check_token, read_lines, shown
from hyperloader.errors import CorpusError
from hyperloader.text.sentences import Sentence


def read(path: Path) -> list[Sentence]:
    """Read one split.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    sentences: list[Sentence] = []
    tokens: list[str] = []
    tags: list[str] = []
    announced = False  # comment lines seen, words still to come
    for number, line in enumerate([*read_lines(path), ""], start=1):
        if line.startswith("#"):
            if tokens:
                raise CorpusError("comment inside a sentence, expected a blank line before it", file=path, line=number)
            announced = True
        elif line:
            token, tag = _word(line, len(tokens) + 1, path, number)
            tokens.append(token)
            tags.append(tag)
        elif tokens:
            sentences.append(Sentence(tuple(tokens), tuple(tags)))
            tokens, tags, announced = [], [], False
        elif announced:
            raise CorpusError("sentence without words, expected them after its comments", file=path, line=number)
    return sentences


def _word(line: str, expected: int, path: Path, number: int) -> tuple[str, str]:
    columns = line.split("\t")
    if len(columns) != 4:
        message = f"{len(columns)} columns, expected 4: number, word, intent, tag"
        raise CorpusError(message, file=path, line=number)
    if columns[0] != str(expected):
        raise CorpusError(f"word number {shown(columns[0])}, expected {expected}", file=path, line=number)
    if columns[3] == "O":
        raise CorpusError("tag 'O', expected NoLabel, B-type or I-type", file=path, line=number)
    tag = "O" if columns[3] == "NoLabel" else check_tag(columns[3], path, number)
    return check_token(columns[1], path, number), tag

"""The format of the MIT corpora: one word a line, its tag first, a TAB between; a blank line ends a sentence."""

from __future__ import annotations

from pathlib import Path

from hyperloader.corpora.readers.checks import check_tag, check_token, read_lines
from hyperloader.errors import CorpusError
from hyperloader.text.sentences import Sentence


def read(path: Path) -> list[Sentence]:
    """Read one split. The last blank line may be missing, as it is in some copies.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    sentences: list[Sentence] = []
    tags: list[str] = []
    tokens: list[str] = []
    for number, line in enumerate([*read_lines(path), ""], start=1):
        if line:
            columns = line.split("\t")
            if len(columns) != 2:
                raise CorpusError(f"{len(columns)} columns, expected 2: tag, TAB, word", file=path, line=number)
            tags.append(check_tag(columns[0], path, number))
            tokens.append(check_token(columns[1], path, number))
        elif tokens:
            sentences.append(Sentence(tuple(tokens), tuple(tags)))
            tags, tokens = [], []
    return sentences

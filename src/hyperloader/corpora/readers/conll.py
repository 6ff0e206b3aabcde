"""Two columns, as CoNLL files have them: one word a line, then a TAB or blanks, then its tag; a blank line ends a sentence.

A `-DOCSTART-` with which a sentence would begin, alone or with `O`, `-X-` or `_` in other columns, marks a document and is no word.
"""

from __future__ import annotations

import re
from pathlib import Path

from hyperloader.corpora.readers.checks import check_tag, check_token, read_lines
from hyperloader.errors import CorpusError
from hyperloader.text.sentences import Sentence

_GAP = re.compile(r"[\t ]+")
_DOCUMENT = re.compile(r"-DOCSTART-([\t ]+(O|-X-|_))*")


def read(path: Path) -> list[Sentence]:
    """Read a file; the last blank line may be missing.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    sentences: list[Sentence] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*read_lines(path), ""], start=1):
        if not tokens and _DOCUMENT.fullmatch(line.strip(" \t")):
            continue
        if line.strip(" \t"):
            columns = _GAP.split(line.strip(" \t"))
            if len(columns) != 2:
                raise CorpusError(f"{len(columns)} columns, expected 2: word, TAB or blank, tag", file=path, line=number)
            tokens.append(check_token(columns[0], path, number))
            tags.append(check_tag(columns[1], path, number))
        elif tokens:
            sentences.append(Sentence(tuple(tokens), tuple(tags)))
            tokens, tags = [], []
    if not sentences:
        raise CorpusError("no sentences, only marks of documents", file=path)
    return sentences

"""The checks that all readers share."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from hyperloader.errors import CorpusError
from hyperloader.files import reading

# a bare `O` or `I` as a slot type could not be told from the tag in sBIO
_TAG = re.compile(r"O|[BI]-(?![OI]$)\S+")
# what other tools write: nested or alternative spans as several tags of one word, and schemes with tags of their own
_SEVERAL_TAGS = re.compile(r"(O|[BI]-\S+?)([,;|+#&]O|[,;|+#&/][BI]-\S+)")
_OTHER_SCHEME = re.compile(r"([ESLUM])-\S+")
_SCHEMES = {"E": "BIOES", "S": "BIOES", "L": "BILOU", "U": "BILOU", "M": "BMES"}
_STRAY_CR = re.compile(rb"\r(?!\n)")
_SHOWN = 80


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, without line ends (LF or CRLF) and byte order mark.

    Raises:
        CorpusError: the file is missing, empty, not UTF-8, or holds a NUL character or a CR within a line.
    """
    with reading(path, error=CorpusError):
        data = path.read_bytes()
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise CorpusError("the file is empty, expected sentences", file=path)
    if b"\0" in data:
        raise CorpusError("NUL character, expected text", file=path, line=_line_of(data, data.index(b"\0")))
    # blanks part words in some formats, and Python counts a CR among them
    if stray := _STRAY_CR.search(data):
        raise CorpusError("CR within a line, expected line ends LF or CRLF", file=path, line=_line_of(data, stray.start()))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CorpusError("not valid UTF-8", file=path, line=_line_of(data, error.start)) from None
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def shown(text: str) -> str:
    """A piece of a damaged file for an error message: quoted, in one line, and not longer than a message may be."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _line_of(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1


def check_tag(tag: str, path: Path, line: int) -> str:
    """`tag` itself, if it is `O`, `B-type` or `I-type`.

    Raises:
        CorpusError: it is not.
    """
    if _SEVERAL_TAGS.fullmatch(tag):
        raise CorpusError(f"{shown(tag)} are several tags, expected one for each word", file=path, line=line)
    if match := _OTHER_SCHEME.fullmatch(tag):
        scheme = _SCHEMES[match[1]]
        raise CorpusError(f"tag {shown(tag)} of the scheme {scheme}, expected BIO: O, B-type or I-type", file=path, line=line)
    if not _TAG.fullmatch(tag):
        raise CorpusError(f"tag {shown(tag)}, expected O, B-type or I-type without blanks", file=path, line=line)
    return tag


def check_token(token: str, path: Path, line: int) -> str:
    """`token` itself, if it is one word.

    Raises:
        CorpusError: it is empty or holds a blank.
    """
    if len(token.split()) != 1 or token != token.strip():
        raise CorpusError(f"token {shown(token)}, expected one word without blanks", file=path, line=line)
    return token

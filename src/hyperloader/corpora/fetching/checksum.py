"""What identifies a raw file: a SHA-256 or the object name git gives it."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from hyperloader.config.settings import Settings


class Checksum(Settings):
    """One accepted content of a raw file; one of the two digests, in hexadecimal."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    git_blob_sha1: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = Field(
        None, description="where only the object name in a git repository is known"
    )
    normalise: bool = Field(False, description="compare after `normalised`, for files whose published copies differ in line ends")
    provenance: Literal["official", "rebuilt"] = Field("official", description="`rebuilt` from published parts")

    size: PositiveInt | None = Field(None, description="in bytes, after `normalised` where that is done")

    @model_validator(mode="after")
    def _has_one_digest(self) -> Checksum:
        if (self.sha256 is None) == (self.git_blob_sha1 is None):
            raise ValueError("either sha256 or git_blob_sha1 is needed")
        return self

    def matches(self, data: bytes) -> bool:
        """Whether `data` has this content."""
        if self.normalise:
            data = normalised(data)
        if self.sha256 is not None:
            return hashlib.sha256(data).hexdigest() == self.sha256
        # git hashes a header before the content; SHA-1 identifies the file here, it protects nothing
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == self.git_blob_sha1


def difference(accepted: Iterable[Checksum], data: bytes) -> str:
    """In what alone a file differs from the published one, and what to do about it; else the size of that, if it is known."""
    accepted = tuple(accepted)
    for what, changed in _undone(data):
        if any(checksum.matches(changed) for checksum in accepted):
            return f", the published file but for {what}"
    sizes = [checksum.size for checksum in accepted if checksum.size]
    return f", the published file has {sizes[0]}" if sizes and len(data) != sizes[0] else ""


def _undone(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What editors and git do to text files, and the file without it."""
    ends = "its line ends, as git's core.autocrlf makes them; set that to false and check the files out again"
    mark = "a byte order mark, as editors write it; save it in UTF-8 without one"
    unmarked, unix = data.removeprefix(codecs.BOM_UTF8), re.sub(rb"\r+\n", b"\n", data).replace(b"\r", b"\n")
    yield ends, unix
    yield mark, unmarked
    yield "its line ends and a byte order mark, as editors write them; copy the file anew", unix.removeprefix(codecs.BOM_UTF8)
    last = "its last line end, which an editor added or took away; copy the file anew"
    yield last, data + b"\n"
    yield last, data.removesuffix(b"\n")
    with suppress(UnicodeDecodeError):
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            yield "its encoding, UTF-16; save it in UTF-8", data.decode("utf-16").replace("\r\n", "\n").encode()


def normalised(data: bytes) -> bytes:
    """`data` with LF line ends and exactly one blank line at its end."""
    return data.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n\n"

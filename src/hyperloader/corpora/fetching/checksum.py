"""What identifies a raw file: a SHA-256 or the object name git gives it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyperloader.config.settings import Settings


class Checksum(Settings):
    """One accepted content of a raw file; one of the two digests, in hexadecimal."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    git_blob_sha1: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = Field(
        None, description="where only the object name in a git repository is known"
    )
    normalise: bool = Field(False, description="compare after `normalised`, for files whose published copies differ in line ends")
    provenance: Literal["official", "rebuilt"] = Field("official", description="`rebuilt` from published parts")

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


def normalised(data: bytes) -> bytes:
    """`data` with LF line ends and exactly one blank line at its end."""
    return data.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n\n"

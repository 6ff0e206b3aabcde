"""What identifies a raw file: a SHA-256 or the object name git gives it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Checksum:
    """One accepted content of a raw file.

    Attributes:
        value: hexadecimal digest.
        algorithm: `sha256`, or `git-blob-sha1` where only the object name in a git repository is known.
        normalise: compare after `normalised`, for files whose published copies differ in line ends.
        provenance: `official`, or `rebuilt` from published parts.
    """

    value: str
    algorithm: Literal["sha256", "git-blob-sha1"] = "sha256"
    normalise: bool = False
    provenance: Literal["official", "rebuilt"] = "official"

    def matches(self, data: bytes) -> bool:
        """Whether `data` has this content."""
        if self.normalise:
            data = normalised(data)
        if self.algorithm == "sha256":
            return hashlib.sha256(data).hexdigest() == self.value
        # git hashes a header before the content; SHA-1 identifies the file here, it protects nothing
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == self.value


def normalised(data: bytes) -> bytes:
    """`data` with LF line ends and exactly one blank line at its end."""
    return data.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n\n"

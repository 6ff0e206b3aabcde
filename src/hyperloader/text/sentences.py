"""A tagged sentence."""

from __future__ import annotations

from typing import NamedTuple


class Sentence(NamedTuple):
    """Words and their BIO tags (`O`, `B-type`, `I-type`), as many of one as of the other."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

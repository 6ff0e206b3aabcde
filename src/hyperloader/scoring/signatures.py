"""What a score means, as one line that stands beside it; docs/scores.md explains each field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from hyperloader import __version__


def signature(
    *, alignment: str, gold: str, mode: str, decoding: str, data: str, labels: str = "raw", subset: str = "all", nested: int = 0
) -> str:
    """All that decides a micro F1 beside the weights, in the form `field:value|field:value`.

    Args:
        alignment: of labels and words: `sentinel`, `order`, or `none` where no text is written, and so nothing is decoded or repaired.
        gold: `full`, or `truncated` as the authors read it.
        mode: which spans BIO tags stand for: `conll` or `strict`.
        decoding: `free` or `constrained`.
        data: checksum of the test set.
        labels: `raw`, or `cut` at the slash.
        nested: gold slots that are left out since they lie inside others.
        subset: of the test sentences: `all`, or `unseen` in training.
    """
    writes = alignment != "none"
    fields = {
        "f1": "micro",
        "mode": mode,
        "align": alignment,
        "decoding": decoding if writes else "none",
        "labels": labels,
        "repair": "orphan-I-to-O" if writes else "none",
        "gold": gold,
        "data": data,
        "sentences": subset,
        "nested": f"{nested}-left-out" if nested else "none",
        "seqeval": version("seqeval"),
        "hyperloader": __version__,
    }
    return "|".join(f"{name}:{value}" for name, value in fields.items())


def data_checksum(sentences: Iterable[tuple[Sequence[str], Sequence[str]]]) -> str:
    """The first eight hexadecimal digits of the SHA-256 of tokens and gold tags, one sentence a line."""
    digest = hashlib.sha256()
    for tokens, tags in sentences:
        digest.update((json.dumps([list(tokens), list(tags)], ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:8]


def data_of(signature: str) -> str:
    """The checksum of the test set in a signature; empty if there is none."""
    return next((part.removeprefix("data:") for part in signature.split("|") if part.startswith("data:")), "")

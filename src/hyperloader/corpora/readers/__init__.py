"""One reader per raw format; each turns a published split into sentences with BIO tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hyperloader.corpora.readers import bio, conllu, mtop, parallel_lines
from hyperloader.corpora.readers.sentence import Sentence
from hyperloader.corpora.registry import Corpus

READERS: dict[str, Callable[[Path], list[Sentence]]] = {
    "slot-gated": parallel_lines.read,
    "bio": bio.read,
    "mtop": mtop.read,
    "mtod": conllu.read,
}


def read_split(corpus: Corpus, folder: str | Path, split: str) -> list[Sentence]:
    """Read a published split of `corpus` from its raw folder.

    Raises:
        CorpusError: the split is missing or damaged; names the file, the line and what was expected.
    """
    return READERS[corpus.raw_format](Path(folder) / corpus.splits[split])


__all__ = ["READERS", "Sentence", "read_split"]

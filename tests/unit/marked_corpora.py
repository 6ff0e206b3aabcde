"""Prepared corpora whose sentences say where they are from: each has a first word of its own, each split slot types of its own."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hyperloader.corpora.fetching.manifests import RawEntry, write_manifest
from hyperloader.corpora.generated.language import DemoLanguage
from hyperloader.corpora.generated.writers import WRITERS
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.registry import get_corpus
from hyperloader.files import write_text
from hyperloader.text.sentences import Sentence


def first_words() -> Iterator[str]:
    """Words that a generated vocabulary knows, each once."""
    return iter(DemoLanguage().words())


def mark(
    name: str, folder: Path, sizes: dict[str, int], types: dict[str, Sequence[str]], words: Iterator[str], seed: int = 42
) -> dict[str, list[Sentence]]:
    """Prepare such a corpus in `folder / name`; its sentences by split.

    Args:
        sizes: number of sentences of each split.
        types: slot types of each split; the sentences take turns.
        words: the next first words.
        seed: of the preparation.
    """
    carrier, corpus = DemoLanguage().carriers[0], get_corpus(name)
    splits = {
        split: [
            # of one to four words
            Sentence((next(words), *[carrier] * (number % 4)), (f"B-{types[split][number % len(types[split])]}", *["O"] * (number % 4)))
            for number in range(size)
        ]
        for split, size in sizes.items()
    }
    texts = {
        corpus.splits[split] + ending: text
        for split, sentences in splits.items()
        for ending, text in WRITERS[corpus.raw_format](sentences, np.random.RandomState(0)).items()
    }
    for path, text in texts.items():
        write_text(folder / "raw" / path, text)
    data = {file.path: texts[file.path].encode() for file in corpus.files}
    write_manifest(
        corpus, folder / "raw", [RawEntry(path, hashlib.sha256(own).hexdigest(), len(own), "generated") for path, own in data.items()]
    )
    prepare(corpus, folder / "raw", folder / name, seed)
    return splits

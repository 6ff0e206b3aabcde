"""One reader per raw format; each turns a published split into sentences with BIO tags.

A corpus with a new format brings its own: a `reader.py` beside its `corpus.yaml`, which defines `read`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hyperloader.config.plugins import load_plugin
from hyperloader.corpora.readers import mtod, mtop, slot_gated
from hyperloader.corpora.readers.checks import check_tag, check_token
from hyperloader.corpora.readers.columns import read_bio, read_conll
from hyperloader.corpora.registry import READER, Corpus
from hyperloader.errors import CorpusError
from hyperloader.text.sentences import Sentence

Reader = Callable[[Path], list[Sentence]]

READERS: dict[str, Reader] = {
    "slot-gated": slot_gated.read,
    "bio": read_bio,
    "conll": read_conll,
    "mtop": mtop.read,
    "mtod": mtod.read,
}


def read_split(corpus: Corpus, folder: str | Path, split: str) -> list[Sentence]:
    """Read a published split of `corpus` from its raw folder.

    Raises:
        CorpusError: the split is missing or damaged; names the file, the line and what was expected. Or there is no such reader.
    """
    path = Path(folder) / corpus.splits[split]
    sentences = reader_of(corpus)(path)
    if corpus.raw_format is None:
        _check_sentences(sentences, path, corpus.folder / READER)
    return sentences


def _check_sentences(sentences: object, path: Path, reader: Path) -> None:
    """Check what a corpus' own reader returned, as the readers here check what they read."""
    if not isinstance(sentences, list) or not all(isinstance(sentence, Sentence) for sentence in sentences):
        raise CorpusError(f"read({path}) returns no list of hyperloader.text.sentences.Sentence", file=reader)
    for number, (words, tags) in enumerate(sentences, start=1):
        try:
            if not 0 < len(words) == len(tags):
                raise CorpusError(f"{len(words)} words and {len(tags)} tags")
            for word, tag in zip(words, tags, strict=True):
                check_token(word, path, number)
                check_tag(tag, path, number)
        except (CorpusError, TypeError, AttributeError) as error:
            problem = error.message if isinstance(error, CorpusError) else "words and tags are no strings"
            raise CorpusError(f"sentence {number} of {path}: {problem}", file=reader) from None


def nested_slots(corpus: Corpus, folder: str | Path, split: str) -> int:
    """How many slots of a published split are left out because they lie inside another one; only mTOP has such."""
    return mtop.nested_slots(Path(folder) / corpus.splits[split]) if corpus.raw_format == "mtop" else 0


def reader_of(corpus: Corpus) -> Reader:
    """The reader of a corpus' raw format.

    Raises:
        CorpusError: there is none.
    """
    if corpus.raw_format is None:
        path = corpus.folder / READER
        reader = getattr(load_plugin(path, f"hyperloader_corpus_{corpus.name}"), "read", None)
        if not callable(reader):
            raise CorpusError("does not define read(path), which returns sentences", file=path)
        return reader
    if corpus.raw_format not in READERS:
        remedy = f"name one of {', '.join(READERS)}, or write a {READER} beside it"
        raise CorpusError(f"unknown raw_format '{corpus.raw_format}'", file=corpus.description, remedy=remedy)
    return READERS[corpus.raw_format]

"""A corpus of the user's own: from two or three CoNLL files to a folder that registers it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml

from hyperloader.corpora.readers.columns import read_conll
from hyperloader.corpora.registry import DESCRIPTION, VARIABLE, Corpus, check_name, corpus_folders, known_corpora
from hyperloader.corpora.splits import hold_out
from hyperloader.errors import CorpusError
from hyperloader.files import replacing_folder, write_text
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import LONGEST, OUTSIDE, opened_inside, spans

HELD_OUT = 0.1
SHOWN = 5


def add_corpus(
    name: str,
    train: Path,
    test: Path,
    validation: Path | None = None,
    folder: Path | None = None,
    columns: str | None = None,
) -> tuple[Path, list[str]]:
    """Make a corpus of files in two columns, word and BIO tag, with a blank line after each sentence.

    The files are copied, with their checksums, so that the corpus stays what it is when they change.

    Args:
        name: of the corpus.
        train, test, validation: the files; without validation, a tenth of train is held out for it.
        folder: of the corpora that it joins; by default the last of those that are searched.
        columns: see `read_conll`; of files with others as well those two alone are kept.

    Returns:
        The new folder, and what was found in the files: a line for each thing to know.

    Raises:
        CorpusError: a file is damaged, or the name is taken or cannot be a part of a path.
    """
    check_name(name)
    taken = [other for other in known_corpora().values() if name.lower() in (other.name.lower(), other.title.lower())]
    if taken:
        message, remedy = f"there is a corpus '{taken[0].name}' already", "choose another name, or delete that one"
        raise CorpusError(message, file=taken[0].description, remedy=remedy)
    place = (folder or _default_folder()) / name
    if place.exists():
        raise CorpusError("is there already", file=place, remedy="choose another name, or delete it")
    given = {"train": train, "validation": validation, "test": test}
    split_files = {split: path for split, path in given.items() if path is not None}
    sentences = {split: read_conll(path, columns) for split, path in split_files.items()}
    if validation is None:
        hold_out(len(sentences["train"]), HELD_OUT, 0, train)
    with replacing_folder(place) as temporary:
        described: dict = {"title": name, "raw_format": "conll", "splits": {split: f"{name}/{split}.conll" for split in split_files}}
        if validation is None:
            described["held_out_validation"] = HELD_OUT
        described["files"] = []
        for split, path in split_files.items():
            data = path.read_bytes() if columns is None else _two_columns(sentences[split])
            (temporary / f"{split}.conll").write_bytes(data)
            described["files"].append({"path": described["splits"][split], "accepted": [{"sha256": hashlib.sha256(data).hexdigest()}]})
        write_text(temporary / DESCRIPTION, yaml.safe_dump(described, sort_keys=False, allow_unicode=True))
        Corpus.read(temporary)  # what was written can be read
    return place, list(_found(sentences))


def _two_columns(sentences: list[Sentence]) -> bytes:
    lines = ("".join(f"{word}\t{tag}\n" for word, tag in zip(*sentence, strict=True)) for sentence in sentences)
    return "\n".join(lines).encode()


def _default_folder() -> Path:
    folders = corpus_folders()
    if not folders or "site-packages" in folders[-1].parts:
        raise CorpusError("there is no folder for corpora of your own", remedy=f"let {VARIABLE} name one, or give --folder")
    return folders[-1]


def _found(splits: dict[str, list[Sentence]]) -> Iterator[str]:
    yield ", ".join(f"{len(sentences)} {split}" for split, sentences in splits.items()) + " sentences"
    types = {split: {slot_type for s in sentences for slot_type, _, _ in spans(s.tags)} for split, sentences in splits.items()}
    yield f"{len(set().union(*types.values()))} slot types: {_some(set().union(*types.values()))}"
    if unseen := set().union(*types.values()) - types["train"]:
        yield f"never in train, and so never predicted: {_some(unseen)}"
    for split, sentences in splits.items():
        if long := sum(len(sentence.words) > LONGEST for sentence in sentences):
            yield f"{split}: {long} sentences of more than {LONGEST} words"
        if stray := sum(opened_inside(sentence.tags) for sentence in sentences):
            yield f"{split}: {stray} I- tags that continue no span of their type, as in IOB1; each opens one, as in the CoNLL scorer"
        if not any(tag != OUTSIDE for sentence in sentences for tag in sentence.tags):
            yield f"{split}: no span at all"
        if repeated := len(sentences) - len(Counter(sentence.words for sentence in sentences)):
            yield f"{split}: {repeated} sentences come again"
    known = {sentence.words for sentence in splits["train"]}
    if seen := sum(sentence.words in known for sentence in splits["test"]):
        yield f"test: {seen} sentences are in train as well"


def _some(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")

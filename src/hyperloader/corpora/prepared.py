"""Read a prepared corpus back, whole or a fraction of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import NonNegativeInt
from typing_extensions import TypedDict

from hyperloader.config.records import Record
from hyperloader.corpora.splits import subset
from hyperloader.errors import CorpusError
from hyperloader.files import sha256, there
from hyperloader.text.sentences import Sentence

SPLITS = ("train", "validation", "test")
MANIFEST = "manifest.json"


class Source(TypedDict):
    """A raw file that a corpus was made of."""

    path: str
    sha256: str
    provenance: str


class PreparedManifest(Record):
    """`manifest.json` of a prepared corpus.

    Attributes:
        corpus, title: its name and title.
        seed: of the held-out validation part, and of fractions.
        sources: its raw files.
        sentences: in each split.
        longest_sentence: in words.
        slot_types: how many, over all splits.
        nested_slots: slots inside others, which are left out, in each published split.
        spans: of each slot type in each split.
        tags: the names behind the numbers in the files, `O` first.
        checksum: SHA-256 over words and tags of all splits.
        files: SHA-256 of each file.
    """

    WHAT, ERROR = "the manifest of a prepared corpus", CorpusError
    # what it was made of, real or generated files, cannot be told from a damaged one
    REMEDY = "delete the folder and the workflow makes it again; by hand: hyperloader corpora prepare {name} --raw RAW --folder {folder}"

    corpus: str
    title: str
    seed: int
    sources: list[Source]
    sentences: dict[str, NonNegativeInt]
    longest_sentence: NonNegativeInt = 0
    slot_types: NonNegativeInt
    nested_slots: dict[str, NonNegativeInt] = {}
    spans: dict[str, dict[str, NonNegativeInt]]
    tags: list[str]
    checksum: str
    files: dict[str, str]

    @classmethod
    def remedy(cls, folder: Path) -> str:
        return cls.REMEDY.format(folder=folder, name=folder.name or "NAME")


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus ready for training.

    Attributes:
        name: in the registry.
        title: as in the paper.
        labels: BIO tags over all splits, `O` first.
        train: sentences of the chosen fraction.
        validation: sentences of the chosen fraction.
        test: all sentences.
        train_label_types: slot types in `train`, sorted.
        checksum: SHA-256 over tokens and tags of all splits at 100 %.
        percent: of train and validation.
        shots: how many sentences of that share are kept at most; None for all.
        folder: where it was read from.
        nested_slots: slots inside others, which were left out, in each published split.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    train: list[Sentence]
    validation: list[Sentence]
    test: list[Sentence]
    train_label_types: tuple[str, ...]
    checksum: str
    percent: float
    folder: Path
    shots: int | None = None
    nested_slots: dict[str, int] = field(default_factory=dict)


def slot_type(tag: str) -> str:
    """The slot type of a `B-` or `I-` tag."""
    return tag[2:]


def slot_types(sentences: list[Sentence]) -> tuple[str, ...]:
    """The slot types that occur in `sentences`, sorted, without `O`."""
    return tuple(sorted({slot_type(tag) for sentence in sentences for tag in sentence.tags if tag != "O"}))


def load_corpus(folder: str | Path, percent: float = 100, shots: int | None = None) -> PreparedCorpus:
    """Read a folder that `prepare` wrote.

    Args:
        folder: of the prepared corpus.
        percent: of train and validation to keep, in (0, 100]; nested, drawn with the seed of preparation.
        shots: how many of these sentences to keep at most in either, likewise.

    Raises:
        CorpusError: the folder is missing or damaged, or `percent` is out of range.
    """
    folder = Path(folder)
    manifest = read_prepared_manifest(folder)
    splits = {split: _read_split(folder, split, manifest) for split in SPLITS}
    for split in ("train", "validation"):
        splits[split] = [splits[split][index] for index in subset(len(splits[split]), percent, manifest.seed, shots)]
    return PreparedCorpus(
        name=manifest.corpus,
        title=manifest.title,
        labels=tuple(manifest.tags),
        **splits,
        train_label_types=slot_types(splits["train"]),
        checksum=manifest.checksum,
        percent=percent,
        folder=folder,
        shots=shots,
        nested_slots=manifest.nested_slots,
    )


def read_prepared_manifest(folder: str | Path) -> PreparedManifest:
    """The manifest of a prepared corpus.

    Args:
        folder: of the prepared corpus, or its `manifest.json`.

    Raises:
        CorpusError: there is none, or it is damaged.
    """
    path = Path(folder)
    path = path if path.name == MANIFEST else path / MANIFEST
    if not there(path):
        raise CorpusError("not a prepared corpus", file=path, remedy=PreparedManifest.remedy(path.parent))
    return PreparedManifest.read(path)


def _read_split(folder: Path, split: str, manifest: PreparedManifest) -> list[Sentence]:
    # pyarrow alone, since importing `datasets` takes seconds; the checksum stands for its other safeguards
    import pyarrow

    sentences: list[Sentence] = []
    names = manifest.tags
    for file in (file for file in manifest.files if file.startswith(f"{split}/")):
        path = folder / split / Path(file).name  # whatever the manifest says, in this folder
        if not path.is_file() or sha256(path) != manifest.files[file]:
            raise CorpusError("missing or damaged", file=path, remedy=PreparedManifest.remedy(folder))
        try:
            with pyarrow.memory_map(str(path)) as source:
                table = pyarrow.ipc.open_stream(source).read_all()
            for tokens, tags in zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True):
                sentences.append(Sentence(tuple(tokens), tuple(names[tag] for tag in tags)))
        except (pyarrow.ArrowException, LookupError, TypeError, ValueError):
            raise CorpusError("does not fit its manifest", file=path, remedy=PreparedManifest.remedy(folder)) from None
    if len(sentences) != manifest.sentences.get(split):
        message = f"has {manifest.sentences.get(split)} sentences in {split}, but {len(sentences)} are there"
        raise CorpusError(message, file=folder / MANIFEST, remedy=PreparedManifest.remedy(folder))
    return sentences

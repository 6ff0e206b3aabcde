"""Which corpora there are: a corpus is a folder with a `corpus.yaml`, and the folder is the registration.

The folders of `corpora/` at the top level are found by themselves, and so are those of every folder named in the environment
variable `HYPERLOADER_CORPORA` (separated as in `PATH`). The seven of the paper come first, in the column order of its table 3.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, PrivateAttr, model_validator

from hyperloader.config.plugins import plugin_folders
from hyperloader.config.settings import Settings, read_yaml
from hyperloader.corpora.fetching.checksum import Checksum
from hyperloader.errors import CorpusError
from hyperloader.files import listed, there

VARIABLE = "HYPERLOADER_CORPORA"
DESCRIPTION, READER = "corpus.yaml", "reader.py"
# runs have a corpus' name in their path, beside these; `+` joins those of several corpora
NOT_NAMES = ("all", "each")

# below a raw folder, and never outside of it
RawPath = Annotated[str, Field(pattern=r"^\w[\w.+ -]*(/\w[\w.+ -]*)*$")]
Split = Literal["train", "validation", "test"]


class Address(Settings):
    """Where a raw file can be downloaded: a file, or a member of a zip archive."""

    url: str = Field(description="http(s) address of the file or the archive")
    member: str = Field("", description="the end of the member's path in the archive; empty if `url` is the file itself")
    archive_sha256: str = Field("", description="SHA-256 of the archive, where it is known")


class RawFile(Settings):
    """One published file of a corpus."""

    path: RawPath = Field(description="relative to the raw folder, as in the `corpora/` folder of a mirror, or beside `corpus.yaml`")
    accepted: Annotated[tuple[Checksum, ...], Field(min_length=1, description="the contents that are accepted; the file must match one")]
    addresses: tuple[Address, ...] = Field((), description="tried in this order; none for a file beside `corpus.yaml`")


class Published(Settings):
    """What the paper says of a corpus: its column in tables 3 and 4, and the counts of table 2."""

    column: PositiveInt
    train: PositiveInt
    validation: PositiveInt
    test: PositiveInt
    labels: PositiveInt


class Corpus(Settings):
    """What is known about a corpus: the content of its `corpus.yaml`.

    Attributes:
        name: of its folder, used on the command line and in paths.
        folder: where its `corpus.yaml` is.
    """

    title: str = Field(description="in tables, spelled as in the paper, if it is there")
    task_kind: str = Field("sequence labelling", description="what the tags mark")
    licence: str = Field("not stated", description="licence or terms, as far as they are stated")
    redistributable: bool = Field(False, description="whether these terms let others pass its sentences on")
    citation: str = Field("", description="the paper to cite")
    homepage: str = Field("", description="where the corpus is described")
    label_convention: str = Field("", description="how slot types are spelled")
    paper: Published | None = Field(None, description="for the corpora of the paper")
    raw_format: str | None = Field(None, description="a key of `readers.READERS`; none for a corpus with a `reader.py`")
    splits: dict[Split, RawPath] = Field(description="path of each published split: a file, or a folder for formats of several files")
    held_out_validation: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="share of the published train split that becomes validation, where none is published"
    )
    files: Annotated[tuple[RawFile, ...], Field(min_length=1, description="every raw file")]
    _folder: Path = PrivateAttr()

    @model_validator(mode="after")
    def _has_all_splits(self) -> Corpus:
        if not {"train", "test"} <= self.splits.keys():
            raise ValueError("splits need train and test")
        if ("validation" in self.splits) == (self.held_out_validation is not None):
            raise ValueError("either a validation split or held_out_validation is needed")
        return self

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def description(self) -> Path:
        """Its `corpus.yaml`."""
        return self._folder / DESCRIPTION

    @property
    def local(self) -> bool:
        """Whether its raw files lie beside its `corpus.yaml`."""
        return any(self.beside(file).exists() for file in self.files)

    def beside(self, file: RawFile) -> Path:
        """Where a raw file lies if it lies beside `corpus.yaml`: as in the raw folder, there below a folder of the corpus' name."""
        return self.folder.joinpath(*Path(file.path).parts[1:] or [file.path])

    @classmethod
    def read(cls, folder: Path) -> Corpus:
        """The corpus of a folder.

        Raises:
            SettingsError: its `corpus.yaml` is not valid.
        """
        corpus = read_yaml(cls, folder / DESCRIPTION)
        corpus._folder = folder
        if (corpus.raw_format is None) != (folder / READER).is_file():
            raise CorpusError(f"needs either a raw_format or a {READER} beside it", file=folder / DESCRIPTION)
        return corpus


def corpus_folders() -> tuple[Path, ...]:
    """Where corpora are looked for: `corpora/`, then the folders of `HYPERLOADER_CORPORA`."""
    return plugin_folders("corpora", VARIABLE)


def check_name(name: str, file: Path | None = None) -> None:
    """Refuse what cannot name a corpus in paths.

    Raises:
        CorpusError: see above; names `file`.
    """
    if not re.fullmatch(r"[a-zA-Z0-9_][\w.-]*", name, re.ASCII) or name in NOT_NAMES:
        remedy = f"use letters, digits, and _ . - between them, and none of {', '.join(NOT_NAMES)}"
        raise CorpusError(f"'{name}' cannot name a corpus", file=file, remedy=remedy)


@cache
def known_corpora() -> dict[str, Corpus]:
    """All corpora by name: those of the paper in the order of its columns, then all others by name.

    Raises:
        SettingsError, CorpusError: a `corpus.yaml` is not valid, a folder's name cannot be a part of a path, or two corpora share a name
            or a title.
    """
    found: dict[str, Corpus] = {}
    for folder in corpus_folders():
        for path in (place / DESCRIPTION for place in listed(folder)):
            if not there(path):
                continue
            check_name(path.parent.name, path)
            corpus = Corpus.read(path.parent)
            for other in found.values():
                if corpus.name == other.name or corpus.title == other.title:
                    what = "name" if corpus.name == other.name else "title"
                    raise CorpusError(f"has the {what} of another corpus, {other.description}", file=path, remedy=f"change its {what}")
            found[corpus.name] = corpus
    last = float("inf")
    return dict(sorted(found.items(), key=lambda item: (item[1].paper.column if item[1].paper else last, item[0])))


def paper_corpora() -> tuple[str, ...]:
    """The names of the paper's corpora, in the order of its columns."""
    return tuple(name for name, corpus in known_corpora().items() if corpus.paper)


def get_corpus(name: str | Corpus) -> Corpus:
    """The corpus of that name.

    Raises:
        CorpusError: there is none; lists the known names.
    """
    if isinstance(name, Corpus):
        return name
    known = known_corpora()
    if name in known:
        return known[name]
    near = get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise CorpusError(f"unknown corpus {name!r}", remedy=f"{hint}known corpora: {', '.join(known)}")

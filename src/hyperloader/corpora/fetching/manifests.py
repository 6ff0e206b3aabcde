"""`<raw folder>/<corpus>.json`: which raw files of a corpus are there, and what each is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from hyperloader.corpora.registry import Corpus
from hyperloader.errors import CorpusError, UserError
from hyperloader.files import read_json, readable, there, write_json

# the provenance of files that stand in for real ones
GENERATED = "generated"


@dataclass(frozen=True)
class RawEntry:
    """A raw file that is in place.

    Attributes:
        path: relative to the raw folder.
        sha256: of the bytes on disk.
        bytes: its size.
        provenance: `official`, `rebuilt` or `generated`.
    """

    path: str
    sha256: str
    bytes: int
    provenance: str


def manifest_path(corpus: Corpus, folder: str | Path) -> Path:
    """Where the manifest of `corpus` is in a raw folder."""
    return Path(folder) / f"{corpus.name}.json"


def write_manifest(corpus: Corpus, folder: str | Path, entries: Iterable[RawEntry]) -> Path:
    """Write the manifest; it holds neither dates nor addresses nor absolute paths, so equal files give equal bytes."""
    path = manifest_path(corpus, folder)
    write_json(path, {"corpus": corpus.name, "title": corpus.title, "files": [asdict(entry) for entry in entries]})
    return path


def read_manifest(corpus: Corpus, folder: str | Path) -> dict[str, RawEntry]:
    """The entries of the manifest by path.

    Raises:
        CorpusError: there is none, or it is damaged.
    """
    path = manifest_path(corpus, folder)
    # which of the two made it cannot be told from a damaged one
    remedy = f"run: hyperloader corpora fetch {corpus.name} --folder {folder} (generated files: generate instead of fetch)"
    if not there(path):
        raise CorpusError(f"the raw files of {corpus.title} are not there", file=path, remedy=remedy)
    readable(path, remedy=remedy, error=CorpusError)
    try:
        entries = {entry["path"]: RawEntry(**entry) for entry in read_json(path)["files"]}
    except (UserError, KeyError, TypeError):
        raise CorpusError("not a manifest of raw files", file=path, remedy=f"delete it and {remedy}") from None
    missing = [file.path for file in corpus.files if file.path not in entries]
    if missing:
        raise CorpusError(f"does not name {missing[0]}", file=path, remedy=f"delete it and {remedy}")
    return entries

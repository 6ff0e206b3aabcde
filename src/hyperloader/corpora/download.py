"""Fetch the raw files of a corpus, from a mirror folder or the network, each checked before it gets its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hyperloader.corpora.checksum import Checksum, normalised
from hyperloader.corpora.manifests import RawEntry, manifest_path, read_manifest, write_manifest
from hyperloader.corpora.registry import Corpus, RawFile, get_corpus
from hyperloader.corpora.web import Unavailable, Web
from hyperloader.errors import CorpusError, DownloadError
from hyperloader.files import replacing

MIRROR_VARIABLE = "HYPERLOADER_MIRROR"


def fetch(corpus: Corpus | str, folder: str | Path, mirror: str | Path | None = None) -> Path:
    """Put the verified raw files of a corpus into `folder`, laid out as in a mirror's `corpora/` folder.

    Files that are there and intact are kept. For each other file the mirror is asked first, then each address in
    turn. The manifest, `<folder>/<corpus name>.json`, is written last.

    Args:
        corpus: a corpus or its name.
        folder: the raw folder, shared by all corpora.
        mirror: a folder that contains `corpora/`; by default the environment variable `HYPERLOADER_MIRROR`.

    Returns:
        The path of the manifest.

    Raises:
        DownloadError: a file could be had from nowhere, or the mirror does not exist.
        CorpusError: `folder` holds a generated corpus of the same name.
    """
    corpus, folder = get_corpus(corpus), Path(folder)
    mirrored = _mirror_folder(mirror)
    known = _known_entries(corpus, folder)
    with Web() as web:
        entries = [_place(corpus, file, folder, mirrored, web, known.get(file.path)) for file in corpus.files]
    return write_manifest(corpus, folder, entries)


def _mirror_folder(mirror: str | Path | None) -> Path | None:
    mirror = mirror or os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return None
    corpora = Path(mirror).expanduser() / "corpora"
    if not corpora.is_dir():
        raise DownloadError(
            "the mirror has no such folder",
            file=corpora,
            remedy=f"let {MIRROR_VARIABLE} or --mirror name a folder that contains corpora/, or leave it out",
        )
    return corpora


def _known_entries(corpus: Corpus, folder: Path) -> dict[str, RawEntry]:
    try:
        entries = read_manifest(corpus, folder)
    except CorpusError:
        return {}  # none yet, or a damaged one: it will be written anew
    if any(entry.provenance == "generated" for entry in entries.values()):
        raise CorpusError(
            "describes a generated corpus, which fetching would overwrite",
            file=manifest_path(corpus, folder),
            remedy="choose another --folder",
        )
    return entries


def _place(corpus: Corpus, file: RawFile, folder: Path, mirrored: Path | None, web: Web, known: RawEntry | None) -> RawEntry:
    """Make sure that one raw file is in place."""
    path = folder / file.path
    failures = []
    if path.exists():
        with _recorded("the file in place", failures):
            entry = _verified(file, _local(path), "in place")[1]
            if known is not None and known.sha256 == entry.sha256:
                entry = replace(entry, origin=known.origin)
            return entry
    sources = [("mirror", lambda: _local(mirrored / file.path))] if mirrored else []
    sources += [(address.url, lambda address=address: web.read(address)) for address in file.addresses]
    for origin, read in sources:
        with _recorded(origin, failures):
            data, entry = _verified(file, read(), origin)
            with replacing(path) as temporary:
                temporary.write_bytes(data)
            return entry
    raise DownloadError(
        f"{corpus.title}: {file.path} could be had from nowhere: {'; '.join(failures)}",
        remedy=f"let {MIRROR_VARIABLE} or --mirror name a folder that contains corpora/, or put the file at {path} "
        "by hand, or run the scale demo, which downloads nothing",
    )


@contextmanager
def _recorded(source: str, failures: list[str]) -> Iterator[None]:
    """Turn the failure of one source into a note, so that the next one is tried."""
    try:
        yield
    except Unavailable as cause:
        failures.append(f"{source} ({cause})")


def _local(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Unavailable("no such file") from None
    except OSError as error:
        raise Unavailable(error.strerror or "cannot be read") from None


def _verified(file: RawFile, data: bytes, origin: str) -> tuple[bytes, RawEntry]:
    """The bytes to store and their manifest entry, if they are one of the accepted contents."""
    accepted: Checksum | None = next((checksum for checksum in file.accepted if checksum.matches(data)), None)
    if accepted is None:
        raise Unavailable(f"wrong checksum: {len(data)} bytes with SHA-256 {hashlib.sha256(data).hexdigest()[:12]}...")
    if accepted.normalise and origin != "in place":
        data = normalised(data)  # one content on disk, whichever copy it came from
    return data, RawEntry(file.path, hashlib.sha256(data).hexdigest(), len(data), origin, accepted.provenance)

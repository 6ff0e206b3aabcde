"""Fetch the raw files of a corpus, from a mirror folder or the network, each checked before it gets its name."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperloader.config.places import MIRROR_VARIABLE, mirror_folder
from hyperloader.corpora.fetching.checksum import Checksum, difference, normalised
from hyperloader.corpora.fetching.manifests import GENERATED, RawEntry, manifest_path, read_manifest, write_manifest
from hyperloader.corpora.fetching.web import STANDARD_LIMITS, Limits, Unavailable, Web
from hyperloader.corpora.registry import Address, Corpus, RawFile, get_corpus
from hyperloader.errors import CorpusError, DownloadError
from hyperloader.files import described, replacing, there

_IN_PLACE = "the file in place"

logger = logging.getLogger(__name__)


def fetch(corpus: Corpus | str, folder: str | Path, mirror: str | Path | None = None, limits: Limits = STANDARD_LIMITS) -> Path:
    """Put the verified raw files of a corpus into `folder`, laid out as in a mirror's `corpora/` folder.

    Files that are there and intact are kept. For each other file the mirror is asked first, then each address in
    turn. The manifest, `<folder>/<corpus name>.json`, is written last. However often it was stopped, and with however
    many others at work in the same folder, it leaves the same bytes.

    Args:
        corpus: a corpus or its name.
        folder: the raw folder, shared by all corpora.
        mirror: a folder that contains `corpora/`; by default the environment variable `HYPERLOADER_MIRROR`.
        limits: of time, size and attempts of each download.

    Returns:
        The path of the manifest.

    Raises:
        DownloadError: a file could be had from nowhere, or the mirror does not exist.
        CorpusError: `folder` holds a generated corpus of the same name.
        StorageError: a file cannot be written.
    """
    corpus, folder = get_corpus(corpus), Path(folder)
    mirrored = _mirror_folder(mirror)
    _refuse_generated(corpus, folder)
    with Web(limits) as web:
        entries = [_place(corpus, file, folder, mirrored, web) for file in corpus.files]
    return write_manifest(corpus, folder, entries)


def _mirror_folder(mirror: str | Path | None) -> Path | None:
    folder = mirror_folder(mirror)
    if folder is None:
        return None
    corpora = folder / "corpora"
    if not (there(corpora) and corpora.is_dir()):
        raise DownloadError(
            "the mirror has no such folder",
            file=corpora,
            remedy=f"let {MIRROR_VARIABLE} or --mirror name a folder that contains corpora/, or leave it out",
        )
    return corpora


def _refuse_generated(corpus: Corpus, folder: Path) -> None:
    try:
        entries = read_manifest(corpus, folder)
    except CorpusError:
        return  # none yet, or a damaged one: it will be written anew
    if any(entry.provenance == GENERATED for entry in entries.values()):
        raise CorpusError(
            "describes a generated corpus, which fetching would overwrite",
            file=manifest_path(corpus, folder),
            remedy="choose another --folder",
        )


def _place(corpus: Corpus, file: RawFile, folder: Path, mirrored: Path | None, web: Web) -> RawEntry:
    """Make sure that one raw file is in place."""
    path = folder / file.path
    sources = [(_IN_PLACE, lambda: _local(path))] if path.exists() else []
    sources += [(f"{corpus.name}/", lambda: _local(corpus.beside(file)))] if corpus.local else []
    sources += [("mirror", lambda: _local(mirrored / file.path))] if mirrored else []
    sources += [(_shown(address), lambda address=address: web.read(address)) for address in file.addresses]
    failures: list[str] = []
    for source, read in sources:
        with _recorded(source, failures):
            found = read()
            data, entry = _verified(file, found)
            if source != _IN_PLACE or data != found:
                with replacing(path) as temporary:
                    temporary.write_bytes(data)
                logger.info("%s: from %s", file.path, source)
            return entry
    raise DownloadError(
        f"{corpus.title}: {file.path} could be had from nowhere: {'; '.join(failures)}",
        remedy=f"let {MIRROR_VARIABLE} or --mirror name a folder that contains corpora/, or put the file at {path} by hand"
        + ("" if corpus.local else ", or run the scale demo, which downloads nothing"),
    )


def _shown(address: Address) -> str:
    return f"{address.url}, in it {address.member}" if address.member else address.url


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


def _verified(file: RawFile, data: bytes) -> tuple[bytes, RawEntry]:
    """The bytes to store and their manifest entry, if they are one of the accepted contents."""
    accepted: Checksum | None = next((checksum for checksum in file.accepted if checksum.matches(data)), None)
    if accepted is None:
        raise Unavailable(f"wrong checksum: {described(data)}{difference(file.accepted, data)}")
    if accepted.normalise:
        data = normalised(data)  # one content on disk, whichever copy it came from
    return data, RawEntry(file.path, hashlib.sha256(data).hexdigest(), len(data), accepted.provenance)

"""A zip archive whose bytes follow from its files, and a reader that trusts nothing in one from elsewhere."""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeVar

from hyperloader.errors import RunError
from hyperloader.files import readable, replacing

# of a packed file; zip knows no earlier moment
MOMENT = (1980, 1, 1, 0, 0, 0)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# predictions shrink to a tenth; an archive that promises a hundred times its own size is not made of results
MOST, SLACK = 100, 2**20
LONGEST_PART, LONGEST_NAME = 200, 1000
REMEDY = "have its owner send it again"
NO_BUNDLE = "name an archive that `hyperloader bundle` made"

T = TypeVar("T")


def name_fault(name: str) -> str:
    """What is wrong with the name of a file or folder of an archive; empty if nothing is."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or set(part) & set("\\:\n\r") for part in parts):
        return f"{name!r}, which no bundle has"
    if len(name.encode(errors="replace")) > LONGEST_NAME or any(len(part.encode(errors="replace")) > LONGEST_PART for part in parts):
        return f"{name[:20]!r}... with a name of {len(name)} characters"
    return ""


def write_archive(path: str | Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip archive, whole or not at all: the same files in the same order give the same bytes (by one version of zlib).

    Args:
        path: of the archive.
        files: names and contents.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)


class Archive:
    """An open archive. Nothing of it is believed: neither names nor sizes nor kinds of its members.

    Attributes:
        path: of the file.
        names: of its members.
    """

    def __init__(self, path: Path, opened: zipfile.ZipFile):
        self.path, self._opened = path, opened
        members = opened.infolist()
        for member in members:
            self._check(member)
        times = Counter(member.filename for member in members)
        self.names = frozenset(times)
        folders = {str(parent) for name in self.names for parent in PurePosixPath(name).parents}
        for name in self.names:
            if name in folders or times[name] > 1:
                self._refuse(f"has two members named {name!r}")
        size = sum(member.file_size for member in members)
        if size > MOST * path.stat().st_size + SLACK:
            self._refuse(f"would unpack to {size:,} bytes, more than {MOST} times its size")

    def read(self, name: str) -> bytes:
        """The content of a member."""
        with self._damage(name):
            return self._opened.read(name)

    def extract(self, name: str, folder: Path) -> str:
        """Write a member below a folder; returns its SHA-256."""
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with self._damage(name), self._opened.open(name) as source, open(place, "xb") as file:
            shutil.copyfileobj(source, file)
        with open(place, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _check(self, member: zipfile.ZipInfo) -> None:
        name = member.filename
        # zipfile cuts names at a NUL
        if member.orig_filename != name:
            self._refuse(f"has a member {member.orig_filename!r}, which no bundle has")
        if fault := name_fault(name):
            self._refuse(f"has a member {fault}")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            self._refuse(f"has a member {name!r} that is no plain file")
        if member.flag_bits & 1 or member.compress_type not in METHODS:
            self._refuse(f"has a member {name!r} that is packed in an unknown way")

    @contextmanager
    def _damage(self, name: str) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError) as error:
            raise RunError(f"{name!r} cannot be unpacked ({error})", file=self.path, remedy=REMEDY) from None

    def _refuse(self, what: str) -> None:
        raise RunError(what, file=self.path, remedy=REMEDY)


@contextmanager
def open_archive(path: str | Path) -> Iterator[Archive]:
    """Open an archive from elsewhere.

    Raises:
        RunError: it is missing, damaged, or holds what no archive of `write_archive` does.
    """
    path = readable(path, remedy=NO_BUNDLE, error=RunError)
    try:
        opened = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise RunError(f"not a bundle, or only a part of one ({error})", file=path, remedy=REMEDY) from None
    with opened:
        yield Archive(path, opened)


def counted(number: int, noun: str) -> str:
    """A number of things: `1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def track(items: Sequence[T], doing: str) -> Iterator[T]:
    """The items, with a bar on a terminal's stderr that says how far they are."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, doing, console=console, disable=not console.is_terminal, transient=True)

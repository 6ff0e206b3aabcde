"""Read files from the network: retries, time limits, members of zip archives."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import Self

from hyperloader.corpora.registry import Address

_ATTEMPTS = 3
_TIMEOUT_SECONDS = (10, 60)  # to connect, between two packets


class Unavailable(Exception):
    """A source has no usable copy of a file; the message is the cause in a few words."""


class Web:
    """Reads addresses; an archive that holds several wanted files is downloaded once. Use it in a `with` statement."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="hyperloader-")
        self._archives: dict[str, Path | Unavailable] = {}
        return self

    def __exit__(self, *_) -> None:
        self._folder.cleanup()

    def read(self, address: Address) -> bytes:
        """The bytes at an address.

        Raises:
            Unavailable: there are none; says why.
        """
        if address.member:
            return _read_member(self._archive(address), address.member)
        path = self._download(address.url, "file")
        try:
            return path.read_bytes()
        finally:
            path.unlink()

    def _archive(self, address: Address) -> Path:
        if address.url not in self._archives:
            try:
                self._archives[address.url] = self._download(address.url, f"{len(self._archives)}.zip")
            except Unavailable as cause:
                self._archives[address.url] = cause
        archive = self._archives[address.url]
        if isinstance(archive, Unavailable):
            raise archive
        if address.archive_sha256:
            with open(archive, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != address.archive_sha256:
                    raise Unavailable("wrong checksum of the archive")
        return archive

    def _download(self, url: str, name: str) -> Path:
        import pooch

        path = Path(self._folder.name) / name
        get = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=_TIMEOUT_SECONDS)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                get(url, str(path), None)
                return path
            except OSError as error:  # every exception of requests is one, and so is a full disk
                path.unlink(missing_ok=True)
                status = getattr(getattr(error, "response", None), "status_code", None)
                # a missing or forbidden file will be so a second later as well; an overloaded server may not be
                if attempt == _ATTEMPTS or (status is not None and status < 500 and status != 429):
                    raise Unavailable(f"HTTP status {status}" if status else _cause(error)) from None
                time.sleep(0.5 * attempt)
        raise AssertionError("unreachable")


def _cause(error: OSError) -> str:
    import requests

    names = {
        requests.exceptions.ProxyError: "proxy refused",
        requests.exceptions.SSLError: "certificate not accepted",
        requests.exceptions.Timeout: "timed out",
        requests.exceptions.ChunkedEncodingError: "broken off",
        requests.exceptions.ConnectionError: "no connection",
    }
    return next((cause for kind, cause in names.items() if isinstance(error, kind)), error.strerror or type(error).__name__)


def _read_member(archive: Path, member: str) -> bytes:
    """The one file of a zip archive whose path ends in `member`."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if f"/{name}".endswith(f"/{member}") and not name.startswith("__MACOSX/")]
            if len(names) != 1:
                raise Unavailable(f"{len(names)} members end in {member}, expected 1")
            return opened.read(names[0])
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise Unavailable(f"damaged archive: {type(error).__name__}") from None

"""Read files from the network, whatever the server does: retries, limits of time and size, members of zip archives.

Nothing of what a server sends is trusted: a file is held in memory until its checksum is known to be right, and no name
in an archive becomes a path.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hyperloader.corpora.registry import Address
from hyperloader.files import described

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_GLANCE_SECONDS = 0.1


@dataclass(frozen=True)
class Limits:
    """How long and how often a server is asked, and how much it may send.

    Attributes:
        attempts: of a download; only what may be better a moment later is tried again.
        pause_seconds: before the second attempt; doubled before each further one.
        connect_seconds: to connect.
        silence_seconds: between two packets.
        total_seconds: for one attempt, redirects included.
        size: in bytes, of a file, an archive, or a member of one. The largest of the seven corpora's has 11 MB.
        redirects: of one address.
    """

    attempts: int = 3
    pause_seconds: float = 1
    connect_seconds: float = 10
    silence_seconds: float = 60
    total_seconds: float = 600
    size: int = 64 * 2**20
    redirects: int = 10


STANDARD_LIMITS = Limits()


class Unavailable(Exception):
    """A source has no usable copy of a file; the message is the cause in a few words."""


class _Interrupted(Unavailable):
    """A download failed in a way that may be over a moment later."""


class Web:
    """Reads addresses; an archive that holds several wanted files is downloaded once. Use it in a `with` statement."""

    def __init__(self, limits: Limits = STANDARD_LIMITS):
        self._limits = limits
        self._archives: dict[str, bytes | Unavailable] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._session = self._run(self._opened())
        return self

    def __exit__(self, *_) -> None:
        self._run(self._session.close())
        self._loop.close()

    async def _opened(self) -> ClientSession:
        from aiohttp import ClientSession, ClientTimeout

        limits = self._limits
        return ClientSession(
            timeout=ClientTimeout(limits.total_seconds, sock_connect=limits.connect_seconds, sock_read=limits.silence_seconds),
            headers={"Accept-Encoding": "identity"},  # nothing is unpacked that has not been checked
            auto_decompress=False,
            trust_env=True,
            middlewares=[self._ask],
        )

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Its result. It runs in a thread of its own, as in this one a loop may be running, for instance a notebook's."""
        task = self._loop.create_task(coroutine)
        with ThreadPoolExecutor() as threads:
            self._loop.set_default_executor(threads)  # those that the HTTP library starts end here as well
            try:
                return threads.submit(self._loop.run_until_complete, task).result()
            except KeyboardInterrupt:
                self._loop.call_soon_threadsafe(task.cancel)
                raise

    def read(self, address: Address) -> bytes:
        """The bytes at an address.

        Raises:
            Unavailable: there are none; says why.
        """
        if not address.member:
            return self._download(address.url)
        return _read_member(self._archive(address), address.member, self._limits.size)

    def _archive(self, address: Address) -> bytes:
        if address.url not in self._archives:
            try:
                self._archives[address.url] = self._download(address.url)
            except Unavailable as cause:
                self._archives[address.url] = cause
        archive = self._archives[address.url]
        if isinstance(archive, Unavailable):
            raise archive
        if address.archive_sha256 and hashlib.sha256(archive).hexdigest() != address.archive_sha256:
            raise Unavailable(f"wrong checksum of the archive: {described(archive)}")
        return archive

    def _download(self, url: str) -> bytes:
        for attempt in range(self._limits.attempts - 1):
            try:
                return self._run(self._attempt(url))
            except _Interrupted:
                time.sleep(self._limits.pause_seconds * 2**attempt)
        return self._run(self._attempt(url))

    async def _attempt(self, url: str) -> bytes:
        """One attempt, always from the first byte: the files are small, and half of one cannot be checked."""
        limits, data = self._limits, bytearray()
        with self._causes():
            async with self._session.get(url, max_redirects=limits.redirects + 1) as response:  # the first refused
                if response.status != 200:
                    # a missing or forbidden file will be so a moment later as well; an overloaded server may not be
                    again = response.status >= 500 or response.status == 429
                    raise (_Interrupted if again else Unavailable)(f"HTTP status {response.status}")
                with _progress(url, response.headers.get("Content-Length", "")) as advance:
                    while packet := await self._packet(response):
                        data += packet
                        advance(len(packet))
                        if len(data) > limits.size:
                            raise Unavailable(f"more than {limits.size} bytes")
        return bytes(data)

    async def _packet(self, response: ClientResponse) -> bytes:
        """What has arrived, or nothing at the end."""
        while True:
            try:
                async with asyncio.timeout(_GLANCE_SECONDS) as glance:
                    return await response.content.readany()
            except TimeoutError:
                if not glance.expired():
                    raise
                # after a chunk that is none, the library closes the connection but lets its reader wait
                if response.connection and response.connection.closed:
                    raise _Interrupted("broken off") from None

    async def _ask(self, request, handler) -> ClientResponse:
        """Ask once: what has its cause already, the HTTP library does not try again."""
        with self._causes():
            return await handler(request)

    @contextmanager
    def _causes(self) -> Iterator[None]:
        """Turn the exceptions of the HTTP library into causes in a few words."""
        import aiohttp

        try:
            yield
        except aiohttp.ClientSSLError:
            raise Unavailable("certificate not accepted") from None
        except aiohttp.TooManyRedirects:
            raise Unavailable("redirects without end") from None
        except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError):
            raise _Interrupted("proxy refused") from None
        except aiohttp.ServerTimeoutError:
            raise _Interrupted("timed out") from None
        except TimeoutError:
            raise _Interrupted(f"not done after {self._limits.total_seconds:g} seconds") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientResponseError):
            raise _Interrupted("no connection") from None
        except aiohttp.ClientPayloadError:
            raise _Interrupted("broken off") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a redirect to something that is no web address
            raise Unavailable(f"unreadable answer ({type(error).__name__})") from None


@contextmanager
def _progress(url: str, length: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(url.rpartition("/")[2], total=int(length) if length.isdecimal() else None)
        yield lambda count: progress.advance(task, count)


def _read_member(archive: bytes, member: str, limit: int) -> bytes:
    """The one file of a zip archive whose path ends in `member`."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            found = [entry for entry in opened.infolist() if f"/{entry.filename}".endswith(f"/{member}")]
            found = [entry for entry in found if not entry.filename.startswith("__MACOSX/")]
            if len(found) != 1:
                raise Unavailable(f"{len(found)} members end in {member}, expected 1")
            _check_member(found[0], limit)
            with opened.open(found[0]) as file:
                return file.read(found[0].file_size)  # with a number, it unpacks no more than that
    except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, NotImplementedError, EOFError, OSError, IndexError) as error:
        raise Unavailable(f"damaged archive: {described(archive)} ({type(error).__name__})") from None


def _check_member(entry: zipfile.ZipInfo, limit: int) -> None:
    if entry.filename.startswith("/") or ".." in entry.filename.split("/"):
        raise Unavailable(f"the archive has its member at {entry.filename!r}, outside of it")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Unavailable(f"the archive's member {entry.filename!r} is a link")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others are unpacked without bounds
        raise Unavailable(f"the archive's member {entry.filename!r} is packed otherwise than by deflate")
    if entry.file_size > limit:
        raise Unavailable(f"the archive's member {entry.filename!r} has more than {limit} bytes")

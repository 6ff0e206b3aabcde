"""One process at a time in a run directory: a lock that the kernel frees when its owner dies, however that happens."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hyperloader.errors import RunError

log = logging.getLogger(__name__)

LOCK = ".lock"
# `is_locked` holds the lock for a moment, for which nobody should be refused
ATTEMPTS, PAUSE = 5, 0.05


def try_lock(file: IO, *, shared: bool = False) -> bool:
    """Take the lock of an open file, which it keeps until it is closed; False if another has it.

    Args:
        file: where the lock is not shared, and on a network, it has to be open for writing.
        shared: with others who share it, which is no more than a look whether somebody has it alone.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_first_process() -> bool:
    """Whether this process is the first one under `accelerate launch`, or alone: it speaks, locks and writes for all.

    Raises:
        RunError: the environment numbers it by what is no number.
    """
    rank = os.environ.get("RANK") or "0"
    try:
        return int(rank) <= 0
    except ValueError:
        raise RunError(f"the variable RANK is '{rank}', no number of a process", remedy="unset it") from None


@contextmanager
def folder_lock(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a run directory, `<folder>/.lock`.

    Of several processes under `accelerate launch` the first one holds it for all.

    Raises:
        RunError: another process holds it, named by its number and its host; or there is no such directory, or it cannot be written to.
    """
    folder = Path(folder)
    if not is_first_process():
        yield
        return
    if not folder.is_dir():
        raise RunError("no such run directory", file=folder, remedy="run it through snakemake, which makes it")
    try:
        try:
            file = opened(folder / LOCK, os.O_RDWR)
        except FileNotFoundError:  # with this flag at once, the system refuses another's file in a sticky folder
            file = opened(folder / LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        message = f"cannot be opened ({error.strerror})"
        remedy = "see that the run directory can be written to, by you too (docs/cluster.md), and that this is a file"
        raise RunError(message, file=folder / LOCK, remedy=remedy) from None
    with file:
        for _ in range(ATTEMPTS):
            try:
                if try_lock(file):
                    break
            except OSError as error:
                log.warning("%s: no lock (%s): nothing keeps a second process out", folder, error.strerror)
                break
            time.sleep(PAUSE)
        else:
            file.seek(0)
            owner = file.read().decode(errors="replace") or "another process"
            raise RunError(f"is in use by {owner}", file=folder, remedy="wait for it to end, or end it")
        with suppress(OSError):  # a full disk, which is for those to say who have something to lose
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield


def opened(path: Path, access: int) -> IO[bytes]:
    """A lock's file. Whatever a folder from elsewhere has under this name, a file elsewhere is not emptied, and a pipe not waited for."""
    descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    return open(descriptor, "r+b" if access & os.O_RDWR else "rb", buffering=0)


def is_locked(folder: str | Path) -> bool:
    """Whether a process works in a run directory now."""
    try:
        with opened(Path(folder) / LOCK, os.O_RDONLY) as file:
            return not try_lock(file, shared=True)
    except OSError:  # none there, not ours to read, or no locks to look at
        return False

"""One process at a time in a run directory: a lock that the kernel frees when its owner dies, however that happens."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO

from hyperloader.errors import RunError

LOCK = ".lock"
# `is_locked` holds the lock for a moment, for which nobody should be refused
ATTEMPTS, PAUSE = 5, 0.05


def taken(file: IO) -> bool:
    """Take the lock of an open file, which it keeps until it is closed; False if another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def run_lock(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a run directory, `<folder>/.lock`.

    Of several processes under `accelerate launch` the first one holds it for all.

    Raises:
        RunError: another process holds it, named by its number and its host, or there is no such directory.
    """
    folder = Path(folder)
    if int(os.environ.get("RANK", 0)) > 0:
        yield
        return
    if not folder.is_dir():
        raise RunError("no such run directory", file=folder, remedy="run it through snakemake, which makes it")
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        for _ in range(ATTEMPTS):
            if taken(file):
                break
            time.sleep(PAUSE)
        else:
            file.seek(0)
            owner = file.read() or "another process"
            raise RunError(f"is in use by {owner}", file=folder, remedy="wait for it to end, or end it")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def holding_run(function: Callable) -> Callable:
    """Let a function that works in the run directory that it gets first hold its lock."""

    @wraps(function)
    def locked(folder: str | Path, *arguments, **options):
        with run_lock(folder):
            return function(folder, *arguments, **options)

    return locked


def is_locked(folder: str | Path) -> bool:
    """Whether a process works in a run directory now."""
    try:
        with open(Path(folder) / LOCK, encoding="utf-8") as file:
            return not taken(file)
    except FileNotFoundError:
        return False

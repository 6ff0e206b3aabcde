"""Permissions that count: the superuser, whom none stop, gives that up for a while."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# of <linux/capability.h>
VERSION_3 = 0x20080522
DAC_OVERRIDE, DAC_READ_SEARCH = 1 << 1, 1 << 2


@contextmanager
def permissions_obeyed() -> Iterator[None]:
    """Inside, this thread may read, write and enter what any user with the same files may."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # version and thread, then effective, permitted and inheritable capabilities, in two halves
    header, state = (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, state) == 0
    effective = state[0]
    state[0] = effective & ~(DAC_OVERRIDE | DAC_READ_SEARCH)
    assert libc.capset(header, state) == 0
    try:
        yield
    finally:
        state[0] = effective
        assert libc.capset(header, state) == 0


@contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Inside, nobody may read this file, or enter this folder."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        with permissions_obeyed():
            yield
    finally:
        path.chmod(mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Inside, new files of this process get no permissions that are in the mask."""
    former = os.umask(mask)
    try:
        yield
    finally:
        os.umask(former)

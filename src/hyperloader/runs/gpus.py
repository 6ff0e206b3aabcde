"""One GPU for each job on a machine with several: a lease by a lock that the kernel frees when its owner dies."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from hyperloader.errors import SettingsError
from hyperloader.runs.locks import opened, try_lock

log = logging.getLogger(__name__)

# the devices to lease from, as in CUDA_VISIBLE_DEVICES; without it nothing is leased
DEVICES = "HYPERLOADER_GPUS"
PAUSE = 0.5

_leased: IO | None = None


def lease_gpu() -> None:
    """Take a free device of `HYPERLOADER_GPUS` until this process ends; wait for one if all are in use.

    The device becomes the only one in `CUDA_VISIBLE_DEVICES`, so this comes before torch is imported, which looks for devices once.
    Processes of `accelerate launch` take none: they have devices assigned.

    Raises:
        SettingsError: the variable does not list devices, or there is no lock to be had for one.
    """
    global _leased
    names = os.environ.get(DEVICES)
    if _leased is not None or not names or "LOCAL_RANK" in os.environ:
        return
    devices = names.split(",")
    if not all(re.fullmatch(r"[\w-]+", device) for device in devices):
        raise SettingsError(f"{DEVICES}={names} does not list devices", remedy="write their numbers or UUIDs, separated by commas")
    waiting = False
    while True:
        for device in devices:
            _leased = _locked(device)
            if _leased is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = device
                log.info("GPU %s", device)
                return
        if not waiting:
            log.info("waiting for one of the GPUs %s", names)
            waiting = True
        time.sleep(PAUSE)


def _locked(device: str) -> IO | None:
    """The lock of a device, which all users of the machine share; None if another has it."""
    try:
        path = Path(tempfile.gettempdir()) / f"hyperloader-gpu-{device}.lock"
        file = _lock_file(path)
        if try_lock(file):
            return file
        file.close()
        return None
    except OSError as error:
        message = f"the GPU {device} cannot be locked ({error.strerror})"
        remedy = "let TMPDIR name one local folder for all who share the GPUs (docs/cluster.md)"
        raise SettingsError(message, file=error.filename, remedy=remedy) from None


def _lock_file(path: Path) -> IO[bytes]:
    """Whoever comes first makes it, for everybody; to lock it, reading is enough."""
    # in a folder for all, the system lets nobody open another's file with the flag that makes one if need be
    with suppress(FileExistsError), opened(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL) as file:
        os.fchmod(file.fileno(), 0o666)
    try:
        return opened(path, os.O_RDONLY)
    except PermissionError:  # between the two lines above
        time.sleep(PAUSE)
        return opened(path, os.O_RDONLY)

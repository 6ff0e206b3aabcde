"""One GPU for each job on a machine with several: a lease by a lock that the kernel frees when its owner dies."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from pathlib import Path
from typing import IO

from hyperloader.errors import SettingsError
from hyperloader.runs.locks import try_lock

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
        SettingsError: the variable does not list devices.
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
            file = _lock_file(device)
            if try_lock(file):
                _leased = file
                os.environ["CUDA_VISIBLE_DEVICES"] = device
                log.info("GPU %s", device)
                return
            file.close()
        if not waiting:
            log.info("waiting for one of the GPUs %s", names)
            waiting = True
        time.sleep(PAUSE)


def _lock_file(device: str) -> IO:
    path = Path(tempfile.gettempdir()) / f"hyperloader-gpu-{device}.lock"
    # another user's file may be locked, but neither written nor opened to be created
    if not path.exists():
        path.touch()
    return open(path, encoding="utf-8")

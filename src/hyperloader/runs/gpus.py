"""A GPU, or a part of one, for each job on a machine with several: a lease by locks that the kernel frees when their owner dies."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from hyperloader.errors import SettingsError
from hyperloader.runs.locks import opened, try_lock

log = logging.getLogger(__name__)

# the devices to lease from, as in CUDA_VISIBLE_DEVICES, each with the number of its parts (`0:4,1:4`; one, if none is given), and
# the number of parts that a process takes, one by default; without the first nothing is leased
DEVICES, PARTS = "HYPERLOADER_GPUS", "HYPERLOADER_GPU_PARTS"
PAUSE, PATIENCE = 0.5, 20

_leased: ExitStack | None = None


def find_gpus() -> list[str]:
    """The numbers of this machine's GPUs as `nvidia-smi` lists them, or those of them that `CUDA_VISIBLE_DEVICES` names."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=PATIENCE).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = re.findall(r"^GPU (\d+):", listed, re.MULTILINE)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return found if visible is None or not found else [name for name in visible.split(",") if name not in ("", "-1")]


def gpu_parts(names: str) -> dict[str, int]:
    """The devices that a value of `HYPERLOADER_GPUS` names, each with the number of its parts.

    Raises:
        SettingsError: it does not list devices.
    """
    devices = names.split(",")
    if not all(re.fullmatch(r"[\w-]+(:[1-9]\d{0,2})?", device) for device in devices):
        remedy = "write their numbers or UUIDs, separated by commas, each with its number of parts if there are several: 0:4,1:4"
        raise SettingsError(f"{DEVICES}={names} does not list devices", remedy=remedy)
    return {name: int(parts or 1) for name, _, parts in (device.partition(":") for device in devices)}


def lease_gpu() -> None:
    """Take a free device of `HYPERLOADER_GPUS`, or `HYPERLOADER_GPU_PARTS` parts of it, until this process ends; wait while there is none.

    The device becomes the only one in `CUDA_VISIBLE_DEVICES`, so this comes before torch is imported, which looks for devices once.
    Processes of `accelerate launch` take none: they have devices assigned.

    Raises:
        SettingsError: a variable is not valid, or there is no lock to be had for a device.
    """
    global _leased
    names = os.environ.get(DEVICES)
    if _leased is not None or not names or "LOCAL_RANK" in os.environ:
        return
    devices, wanted = gpu_parts(names), os.environ.get(PARTS, "1")
    if not re.fullmatch(r"[1-9]\d{0,2}", wanted) or int(wanted) > max(devices.values()):
        raise SettingsError(f"{PARTS}={wanted} is no number of parts that a device of {DEVICES}={names} has")
    # the first parts of all devices before the second ones of any
    choices = [(start, device) for device, parts in devices.items() for start in range(0, parts - int(wanted) + 1, int(wanted))]
    choices.sort(key=lambda choice: choice[0])
    waiting = False
    while True:
        for start, device in choices:
            _leased = _locked(device, range(start, start + int(wanted)))
            if _leased is not None:
                # the numbers are those of nvidia-smi
                os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": device}
                log.info("GPU %s", device)
                return
        if not waiting:
            log.info("waiting for one of the GPUs %s", names)
            waiting = True
        time.sleep(PAUSE)


def _locked(device: str, parts: range) -> ExitStack | None:
    """The locks of some parts of a device, which all users of the machine share; None if another has one of them."""
    held = ExitStack()
    try:
        for part in parts:
            name = f"{device}.{part}" if part else device
            file = held.enter_context(_lock_file(Path(tempfile.gettempdir()) / f"hyperloader-gpu-{name}.lock"))
            if not try_lock(file):
                held.close()
                return None
        return held
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

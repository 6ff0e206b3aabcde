"""One GPU for each process, tried with pretended ones."""

import os
import signal
import subprocess
import sys

import pytest

from hyperloader.errors import SettingsError
from hyperloader.runs.gpus import find_gpus, lease_gpu

LEASE = """
import logging, os, time
from hyperloader.runs.gpus import lease_gpu
logging.basicConfig(level=logging.INFO, format="%(message)s")
lease_gpu()
lease_gpu()
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(60)
"""


@pytest.fixture
def start(tmp_path):
    """Starts processes that lease one of two GPUs, or parts of one."""
    processes = []

    def start(devices="4,GPU-5f", parts="1"):
        environment = os.environ | {"HYPERLOADER_GPUS": devices, "HYPERLOADER_GPU_PARTS": parts, "TMPDIR": str(tmp_path)}
        environment.pop("LOCAL_RANK", None)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen([sys.executable, "-c", LEASE], env=environment, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        with process:
            process.kill()


def device(process):
    return process.stdout.readline().strip()


def test_each_process_has_its_own_and_one_too_many_waits_until_another_dies(start):
    first, second = start(), start()
    devices = {process: device(process) for process in (first, second)}
    assert set(devices.values()) == {"4", "GPU-5f"}
    third = start()
    assert third.stderr.readline() == "waiting for one of the GPUs 4,GPU-5f\n" and third.poll() is None
    second.send_signal(signal.SIGKILL)
    assert device(third) == devices[second]


def test_small_jobs_share_gpus_evenly_and_a_large_one_has_its_own(start):
    both = "0:2,1:2"
    small = [start(both) for _ in range(2)]
    assert {device(process) for process in small} == {"0", "1"}
    large = start(both, parts="2")
    assert large.stderr.readline() == "waiting for one of the GPUs 0:2,1:2\n"
    third = start(both)
    free = {device(third)} ^ {"0", "1"}
    for process in small:
        process.kill()
    assert {device(large)} == free
    # the other one has a part left
    assert {device(start(both))} == {"0", "1"} - free


@pytest.mark.parametrize(
    ("visible", "found"), [(None, ["0", "1"]), ("1", ["1"]), ("GPU-b,0", ["GPU-b", "0"]), ("", []), ("-1", [])], ids=str
)
def test_gpus_are_found_as_nvidia_smi_lists_them(tmp_path, monkeypatch, visible, found):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    pretended = tmp_path / "nvidia-smi"
    pretended.write_text("#!/bin/sh\nexit 9\n")
    pretended.chmod(0o755)
    assert find_gpus() == []
    lines = "GPU 0: NVIDIA H100 (UUID: GPU-a)\n  MIG 1g.10gb Device 0: (UUID: MIG-c)\nGPU 1: NVIDIA H100 (UUID: GPU-b)\n"
    pretended.write_text(f"#!/bin/sh\nprintf '{lines}'\n")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_gpus() == found


def test_nothing_is_leased_unless_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("HYPERLOADER_GPUS", raising=False)
    lease_gpu()
    monkeypatch.setenv("HYPERLOADER_GPUS", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    lease_gpu()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ and os.listdir(tmp_path) == []


@pytest.mark.parametrize("devices", ["all of them", "0:", "0:0", "0,,1", "0:4:4"])
def test_a_list_that_is_none_is_refused(monkeypatch, devices):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("HYPERLOADER_GPUS", devices)
    with pytest.raises(SettingsError, match=f"HYPERLOADER_GPUS={devices} does not list devices; write their numbers"):
        lease_gpu()


@pytest.mark.parametrize("parts", ["0", "half", "3"])
def test_more_parts_than_there_are_or_none_are_refused(monkeypatch, parts):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("HYPERLOADER_GPUS", "0:2,1:2")
    monkeypatch.setenv("HYPERLOADER_GPU_PARTS", parts)
    with pytest.raises(SettingsError, match=f"HYPERLOADER_GPU_PARTS={parts} is no number of parts that a device"):
        lease_gpu()

"""One GPU for each process, tried with pretended ones."""

import os
import signal
import subprocess
import sys

import pytest

from hyperloader.errors import SettingsError
from hyperloader.runs.gpus import lease_gpu

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
    """Starts processes that lease one of two GPUs."""
    processes = []

    def start():
        environment = os.environ | {"HYPERLOADER_GPUS": "4,GPU-5f", "TMPDIR": str(tmp_path)}
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


def test_nothing_is_leased_unless_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("HYPERLOADER_GPUS", raising=False)
    lease_gpu()
    monkeypatch.setenv("HYPERLOADER_GPUS", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    lease_gpu()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ and os.listdir(tmp_path) == []


def test_a_list_that_is_none_is_refused(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("HYPERLOADER_GPUS", "all of them")
    with pytest.raises(SettingsError, match="HYPERLOADER_GPUS=all of them does not list devices"):
        lease_gpu()

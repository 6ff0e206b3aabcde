"""Trainings on disks that are full or read-only: the former checkpoint is there, one line says what is wrong, and nothing is lost."""

import json
from pathlib import Path

import pytest
from small_disk import run_on_small_disk
from test_processes import run_in

from hyperloader.methods.training_run import train_run

LOGGED = Path(__file__).parents[2] / "workflow/scripts/logged.sh"

TRAIN = """
import json, os, pathlib, shutil, subprocess, sys
disk, undisturbed, logged = map(pathlib.Path, sys.argv[1:])
run = disk / "run"
run.mkdir()
shutil.copy(undisturbed / "settings.json", run)

def train():
    # as in the workflow, with its log on the same disk
    command = ["bash", logged, disk / "log.txt", sys.executable, "-m", "hyperloader", "train", run]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr.replace(str(disk), "DISK")

def checkpoint():
    from hyperloader.training.progress import LAST_CHECKPOINT, CheckpointRecord
    return CheckpointRecord.read(run / "checkpoints" / LAST_CHECKPOINT).progress.step

def files():
    return sorted(str(path.relative_to(run)) for path in run.rglob("*"))

def same():
    names = ("model/model.safetensors", "model/config.json")
    curves = [json.loads((folder / "run.json").read_text())["curve"] for folder in (run, undisturbed)]
    return curves[0] == curves[1] and all((run / name).read_bytes() == (undisturbed / name).read_bytes() for name in names)
"""

FULL = (
    TRAIN
    + """
try:
    (disk / "filler").write_bytes(bytes(2**23))
except OSError:
    print(json.dumps(train()))
(disk / "filler").unlink()
weights = (undisturbed / "model/model.safetensors").stat().st_size
# checkpoints take the weights four times: the best, and the last with two moments of the optimiser; the second last one finds no room
(disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - int(6 * weights)))
answer = train()
print(json.dumps({"answer": answer, "step": checkpoint(), "files": files()}))
(disk / "filler").unlink()
print(json.dumps({"answer": train(), "same": same()}))
"""
)

READ_ONLY = (
    TRAIN
    + """
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
for command in ("train", "predict-tests", "score"):
    done = subprocess.run([sys.executable, "-m", "hyperloader", command, run], capture_output=True, text=True)
    print(json.dumps([done.returncode, done.stderr.replace(str(disk), "DISK")]))
"""
)


@pytest.fixture(scope="module")
def undisturbed(place):
    """A run that was left alone."""
    run = run_in(place, "undisturbed-by-disks")
    train_run(run)
    return run


def test_a_disk_that_fills_up_while_it_trains(undisturbed, tmp_path):
    filled, full, again = map(json.loads, run_on_small_disk(tmp_path, "4m", FULL, str(undisturbed), str(LOGGED)).splitlines())
    status, said = full["answer"]
    assert status == 2 and said.count("\n") == 1
    assert said.startswith("hyperloader: DISK/run/checkpoints/last.safetensors: cannot be written (No space left on device); make room")
    assert full["step"] == 6
    assert full["files"] == [".lock", "checkpoints", "checkpoints/best.safetensors", "checkpoints/last.safetensors", "settings.json"]
    assert again == {"answer": [0, ""], "same": True}
    assert filled[0] == 2 and filled[1].endswith("hyperloader: DISK/log.txt: cannot be written; make room on that disk\n")


def test_a_disk_that_is_read_only(undisturbed, tmp_path):
    answers = list(map(json.loads, run_on_small_disk(tmp_path, "4m", READ_ONLY, str(undisturbed), str(LOGGED)).splitlines()))
    assert answers[0] == answers[1]
    status, said = answers[0]
    assert status == 2 and said.count("\n") == 1
    assert said.startswith("hyperloader: DISK/run/.lock: cannot be opened (Read-only file system); see that the run directory can be")
    assert answers[2] == [2, "hyperloader: DISK/run/predictions.json: no such file; predict this run again\n"]

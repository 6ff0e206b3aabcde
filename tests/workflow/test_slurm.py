"""The workflow on a real SLURM of one host, where one job is killed and one runs out of time: the same bytes as without SLURM."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from hyperloader.runs.locks import LOCK

from .conftest import Workflow, copy_to

TARGET = "results/demo/table4.csv"
RUN = "results/demo/runs/matched/hyperloader/all/10/seed42"
PART = ("--config", "methods=[hyperloader,gazetteer]", "fractions=[10]")


@pytest.fixture
def slurm(mirror):
    """A SLURM on this host, by the script `slurm/one-host-slurm` of the mirror."""
    script = mirror / "slurm" / "one-host-slurm"
    if not script.is_file():
        pytest.skip("the mirror holds no slurm/one-host-slurm")
    missing = [program for program in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(program) is None]
    if missing or importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("needs Debian's packages slurm-wlm and munge, and pip install 'hyperloader[slurm]'")
    if os.getuid() != 0:
        pytest.skip("SLURM's daemons are started by root")
    # not in pytest's folders, which are private: munge refuses those
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        subprocess.run([script, "start", folder], check=True, capture_output=True, stdin=subprocess.DEVNULL)
        yield
    finally:
        subprocess.run(["scancel", "--user", "root"])
        time.sleep(2)
        subprocess.run([script, "stop", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def smaller(folder: Path) -> Workflow:
    """A copy of the workflow with a small budget, and its profile for this SLURM: small, and without accounting."""
    folder.mkdir()
    copy_to(folder)
    scale = folder / "config/scales/demo.yaml"
    text = re.sub(r"(?<=[{ ]steps: )\d+", "200", scale.read_text(encoding="utf-8"))
    scale.write_text(re.sub(r"(?<=evaluate_every: )\d+", "20", text), encoding="utf-8")
    profile = folder / "workflow/profiles/slurm/profile.yaml"
    text = re.sub(r"mem_mb: \d+", "mem_mb: 1500", profile.read_text(encoding="utf-8"))
    text = re.sub(r"(?<=train:\n    runtime: )\d+", "1", text).replace("# slurm-status-command", "slurm-status-command")
    profile.write_text(text, encoding="utf-8")
    return Workflow(folder)


def trainer(folder: Path, call: Future, *, after: int) -> int:
    """Wait until another process than `after` trains the run and has left a checkpoint; its number."""
    while not call.done():
        lock = folder / RUN / LOCK
        owner = int(re.search(r"\d+|$", lock.read_text())[0] or 0) if lock.exists() else 0
        log = folder / RUN / "logs/train.log"
        if owner not in (0, after) and "step " in log.read_text() and os.path.exists(f"/proc/{owner}"):
            return owner
        time.sleep(0.1)
    pytest.fail(call.result().text)


@pytest.mark.slow
def test_table_4_is_that_of_one_machine(slurm, tmp_path):
    local, cluster = smaller(tmp_path / "local"), smaller(tmp_path / "cluster")
    answer = local("--cores", "2", *PART, "--", TARGET)
    assert answer.status == 0, answer.text
    with ThreadPoolExecutor(1) as pool:
        arguments = ("--workflow-profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "5")
        call = pool.submit(cluster, *arguments, *PART, "--", TARGET)
        # stopped, it uses up its minute
        late = trainer(cluster.folder, call, after=0)
        os.kill(late, signal.SIGSTOP)
        os.kill(trainer(cluster.folder, call, after=late), signal.SIGKILL)
        answer = call.result()
    assert answer.status == 0, answer.text
    states = subprocess.run(["squeue", "--states=all", "--noheader", "--format=%T"], capture_output=True, text=True, check=True)
    assert {"FAILED", "TIMEOUT", "COMPLETED"} == set(states.stdout.split())
    assert "going on from step" in (cluster.folder / RUN / "logs/train.log").read_text()
    compared = [TARGET, TARGET.replace(".csv", ".md"), f"{RUN}/model/model.safetensors", f"{RUN}/scores.json"]
    compared += [str(path.relative_to(local.folder)) for path in (local.folder / RUN / "predictions").iterdir()]
    assert len(compared) == 11
    for file in compared:
        assert (cluster.folder / file).read_bytes() == (local.folder / file).read_bytes(), file

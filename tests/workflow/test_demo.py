"""The demo itself, with real training, and the README's examples on its results."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .readme import blocks, commands


@pytest.mark.slow
def test_the_demo_reaches_what_it_promises(demo):
    folder, averages = demo.workflow.folder, {}
    for number in (3, 4):
        with open(folder / f"results/demo/table{number}.csv", newline="", encoding="utf-8") as file:
            averages |= {int(row["fraction"]): row for row in csv.DictReader(file) if row["dataset"] == "Average"}
    for title in ("HyperLoader", "HyperFormer"):
        assert 0.4 < float(averages[20][title])
        assert float(averages[10][title]) < float(averages[20][title]) < float(averages[100][title])

    (example,) = blocks("python")
    shell = [["bash", "-c", command] for command in [*commands("hyperloader predict"), *commands("echo")]]
    assert len(shell) == 2
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for call in ([sys.executable, "-c", example], *shell):
        done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "rageli nuto" in done.stdout and "city" in done.stdout

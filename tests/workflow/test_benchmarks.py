"""Benchmarks tell wrong inputs as commands do."""

import subprocess
import sys

import pytest

from .conftest import ROOT

WRONG = {
    "budgets.py hyperloder --steps 2": "unknown method 'hyperloder'; did you mean 'hyperloader'?",
    "budgets.py hyperloader --scale papr --steps 2": "unknown scale 'papr'; did you mean 'paper'?",
    "methods.py hyperloder": "unknown method 'hyperloder'",
    "same_method.py results/nothing": "results/nothing/scores.json: no such file",
    "backbones.py results/nothing": "results/nothing/manifest.json: no such file",
}


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_input_is_one_line(call):
    script, *arguments = call.split()
    done = subprocess.run([sys.executable, f"benchmarks/{script}", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("hyperloader: ") and WRONG[call] in done.stderr and done.stderr.count("\n") == 1

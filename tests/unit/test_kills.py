"""Predicting, scoring and table writing, killed at any moment: what has its name is whole, and the same command ends the same."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_corpora_interrupted import contents, interrupted
from test_run import run_in

from hyperloader.methods.training_run import train_run
from hyperloader.predicting.prediction import predict_run
from hyperloader.scoring import score_run

PUBLISHED = Path(__file__).parents[2] / "workflow/published"
# of each command, the folder in which it begins to write, seconds after it was started
COMMANDS = {"predict-tests": "predictions", "score": "counts", "table": "", "gather": "", "score-page": ""}
# without the seconds of imports, which those that are killed take as well
STAGES = {"predict-tests": predict_run, "score": score_run}


@pytest.fixture(scope="module")
def finished(place):
    """A run that went through all stages."""
    run = run_in(place, "finished", recipe="matched", scale="demo")
    train_run(run)
    predict_run(run)
    score_run(run)
    return run


def command_in(folder, name):
    """The command for the run in `folder`."""
    run, command = folder / "run", [sys.executable, "-m", "hyperloader", name]
    match name:
        case "table":
            return [*command, "3", run / "scores.json", "--published", PUBLISHED / "table3.csv", "--output", folder / "out/table3.csv"]
        case "gather":
            return [*command, run / "scores.json", "--output", folder / "out/scores.csv"]
        case "score-page":
            return [*command, run, "--output", folder / "out/scores.html"]
    return [*command, run]


def begin(finished, folder, name):
    """A folder in which the command has not been run yet."""
    shutil.copytree(finished, folder / "run", ignore=shutil.ignore_patterns(".lock"))
    if name == "predict-tests":
        shutil.rmtree(folder / "run/predictions")
        (folder / "run/predictions.json").unlink()
    if name in ("predict-tests", "score"):
        shutil.rmtree(folder / "run/counts")
        (folder / "run/scores.json").unlink()
    return folder


def results(folder):
    # how long it took is in the record of predictions
    return {name: data for name, data in contents(folder).items() if not name.endswith("predictions.json")}


@pytest.mark.parametrize("kills", [1, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_it_leaves_whole_files_and_can_be_done_again(finished, tmp_path, name, kills):
    whole, started = begin(finished, tmp_path / "whole", name), time.monotonic()
    if name in STAGES:
        STAGES[name](whole / "run")
    else:
        subprocess.run(command_in(whole, name), check=True, capture_output=True)
    duration = time.monotonic() - started
    for number in range(kills):
        folder = begin(finished, tmp_path / str(number), name)
        first = folder / "run" / COMMANDS[name]
        # other commands begin with other signals
        turn = number + list(COMMANDS).index(name)
        interrupted(command_in(folder, name), turn, lambda _, first=first: first.is_dir(), 0.5 if COMMANDS[name] else duration)
        assert results(folder).items() <= results(whole).items()
        subprocess.run(command_in(folder, name), check=True, capture_output=True)
        assert results(folder) == results(whole)

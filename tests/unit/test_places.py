"""Files that are named by `~`, by the environment, or relative to the working directory of another call."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyperloader.config.places import expanded, near
from hyperloader.config.settings import Recipe, read_yaml
from hyperloader.corpora.fetching.download import fetch
from hyperloader.corpora.prepare import prepare
from hyperloader.errors import BackboneError, DownloadError, SettingsError
from hyperloader.files import write_json
from hyperloader.methods.registry import method_folders
from hyperloader.methods.training_run import train_run
from hyperloader.predicting.evaluation import evaluate
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.runs.records import ScoresRecord
from hyperloader.scoring import score_run
from hyperloader.training.backbones.making import t5_pieces

ROOT = Path(__file__).parents[2]
TRAINING = read_yaml(Recipe, ROOT / "config/recipes/matched.yaml").training
TINY = {"steps": 2, "batch_size": 2, "warmup_steps": 0, "evaluation_batches": 1, "source_length": 64, "target_length": 24}
SIZES = {"task_dim": 8, "layer_dim": 8, "position_dim": 8, "hidden_dim": 16, "embedding_dim": 8, "reduction_factor": 4, "lora_rank": 2}


def settings(method="gazetteer", data="results/demo/data/snips", backbone=None):
    """Of a run, with paths as the workflow writes them: relative to its working directory."""
    named = {"scale": "demo", "recipe": "matched", "percent": 10, "seed": 1, "method": method, "data": {"snips": data}}
    named |= {"method_settings": SIZES if method == "hyperloader" else {}, "backbone": backbone}
    return named | {"training": TRAINING.model_copy(update=TINY).model_dump()}


@pytest.fixture
def elsewhere(place, tmp_path, monkeypatch):
    """A working directory that holds other data of the same name, of which nothing can be read."""
    folder = tmp_path / "elsewhere"
    prepare("snips", place / "raw", folder / "results/demo/data/snips", seed=7)
    next((folder / "results/demo/data/snips/test").glob("*.arrow")).write_bytes(b"")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("method, backbone", [("gazetteer", None), ("gold_oracle", "t5"), ("hyperloader", "t5")])
def test_a_run_finds_its_own_data_and_backbone_from_any_working_directory(place, tmp_path, elsewhere, method, backbone):
    demo = tmp_path / "my checkout/results/demo"
    shutil.copytree(place / "data/snips", demo / "data/snips")
    shutil.copytree(place / "t5", demo / "backbones/t5")
    run = demo / f"runs/matched/{method}/snips/10/seed1"
    write_json(run / "settings.json", settings(method, backbone=backbone and f"results/demo/backbones/{backbone}"))
    for step in (train_run, predict_run, score_run):
        step(run)
    entry = ScoresRecord.read(run / "scores.json").corpora["snips"]
    assert evaluate(run, "snips").headline == entry.headline
    if method == "hyperloader":
        Tagger.from_pretrained(run).predict("play something")
    # as the workflow named them: the same bytes wherever the call was made
    assert str(tmp_path) not in "".join(path.read_text() for path in (run / "run.json", *run.glob("model/*.json")))


def test_the_nearest_folder_wins_and_the_working_directory_comes_last(tmp_path, monkeypatch):
    for folder in ("a", "a/b", "here"):
        (tmp_path / folder / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert near("data", tmp_path / "a/b/run") == tmp_path / "a/b/data"
    assert near("data", "/nowhere/run").resolve() == tmp_path / "here/data"
    assert near(tmp_path / "a", "/nowhere/run") == tmp_path / "a"
    assert near("none", tmp_path / "a/b/run") == Path("none")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HYPERLOADER_MIRROR", raising=False)
    return tmp_path


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_a_mirror_in_a_home_directory(mirror, home, monkeypatch, given):
    (home / "mirror").symlink_to(mirror)
    argument = "~/mirror" if given == "argument" else None
    if given == "environment":
        monkeypatch.setenv("HYPERLOADER_MIRROR", "~/mirror")
    assert t5_pieces(argument) == home / "mirror/tokenizers/t5/spiece.model"
    assert fetch("atis", home / "raw", argument).is_file()


def test_a_mirror_that_is_not_there_is_not_passed_over(home, monkeypatch):
    monkeypatch.setenv("HYPERLOADER_MIRROR", "~/mirorr")
    with pytest.raises(BackboneError, match=f"{home}/mirorr: the mirror is no folder; let HYPERLOADER_MIRROR"):
        t5_pieces()
    with pytest.raises(DownloadError, match=f"{home}/mirorr/corpora: the mirror has no such folder"):
        fetch("atis", home / "raw")


def test_other_paths_of_the_environment_know_the_home_directory(home, monkeypatch):
    monkeypatch.setenv("HYPERLOADER_METHODS", "~/methods")
    assert method_folders()[-1] == home / "methods"
    with pytest.raises(SettingsError, match="~nobody-of-that-name/x: whose home directory that is is not known; write it out"):
        expanded("~nobody-of-that-name/x")


def git(folder, *arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def recorded(place, tmp_path):
    """What `run.json` says of the commit after a training by the package in a folder."""
    write_json(tmp_path / "run/settings.json", settings("all_outside", str(place / "data/snips")))

    def recorded(source, **environment):
        command = [sys.executable, "-m", "hyperloader", "train", "--force", tmp_path / "run"]
        subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(source)} | environment, check=True)
        return json.loads((tmp_path / "run/run.json").read_text())["commit"]

    return recorded


def copy_of_the_code(folder):
    for part in ("src", "baselines"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("__pycache__/\n/.venv/\n")
    return folder


def test_a_checkout_has_a_commit_whatever_repository_the_environment_names(tmp_path, recorded):
    checkout, other = copy_of_the_code(tmp_path / "a checkout"), tmp_path / "other"
    for folder in (checkout, other):
        git(tmp_path, "init", "-q", str(folder))
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "a", "--allow-empty")
    head = git(checkout, "rev-parse", "HEAD")
    assert recorded(checkout / "src") == {"id": head, "dirty": False}
    # as in a hook, or in `git rebase --exec`
    hook = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": str(other / ".git/index")}
    assert recorded(checkout / "src", **hook) == {"id": head, "dirty": False}
    git(checkout, "worktree", "add", "-q", str(tmp_path / "worktree"))
    method = tmp_path / "worktree/baselines/gazetteer/method.py"
    method.write_text(method.read_text() + "\n")
    assert recorded(tmp_path / "worktree/src") == {"id": head, "dirty": True}


def test_code_inside_another_repository_has_no_commit(tmp_path, recorded):
    own = tmp_path / "thesis"
    git(tmp_path, "init", "-q", str(own))
    copy_of_the_code(own / "vendored")
    git(own, "add", "-A")
    git(own, "commit", "-qm", "a")
    copy_of_the_code(own)
    package = own / ".venv/lib/python3/site-packages"
    shutil.copytree(ROOT / "src", package)
    shutil.copytree(ROOT / "baselines", package / "hyperloader/plugins/baselines")
    for source in (own / "vendored/src", own / "src", package):
        assert recorded(source) == {"id": None, "dirty": None}

"""One run from settings to spans, on a generated corpus and a backbone of a few steps; nothing here is about quality."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from hyperloader.cli.main import main
from hyperloader.errors import RunError, SettingsError, UserError
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import BackboneManifest
from hyperloader.planning.plan import Plan
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.reports.figures.curves import write_curves
from hyperloader.reports.tables.scores import write_scores
from hyperloader.scoring import score_run

TRAINING = {
    "steps": 4,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "schedule": "linear",
    "warmup_steps": 1,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "loss_reduction": "mean",
    "max_grad_norm": 1.0,
    "temperature": 10,
    "evaluate_every": 2,
    "evaluation_batches": 1,
    "selection": "best",
    "source_length": 64,
    "target_length": 24,
}


def bert_in(folder):
    """A BERT of which nothing but its kind is read."""
    BackboneManifest(kind="bert", path=".", sha256={}).write(folder / "manifest.json")
    return folder


def run_in(place, name, **changes):
    run = place / name
    run.mkdir(exist_ok=True)
    settings = {
        "scale": "test",
        "recipe": "test",
        "method": "hyperloader",
        "method_settings": {"reduction_factor": 4, "lora_rank": 2, "task_dim": 8},
        "data": {corpus: str(place / "data" / corpus) for corpus in ("atis", "snips")},
        "percent": 10,
        "seed": 1,
        "backbone": str(place / "t5"),
        "training": TRAINING,
    }
    (run / "settings.json").write_text(json.dumps(settings | changes))
    return run


@pytest.fixture(scope="module")
def run(place):
    folder = run_in(place, "run")
    train_run(folder)
    predict_run(folder)
    score_run(folder)
    return folder


def test_what_a_run_leaves(run):
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock",
        "counts",
        "model",
        "predictions",
        "predictions.json",
        "run.json",
        "scores.json",
        "settings.json",
    ]
    record = json.loads((run / "run.json").read_text())
    assert record["steps"] == 4 and [entry["step"] for entry in record["curve"]] == [2, 4]
    assert record["parameters"]["trainable"] < record["parameters"]["total"]
    assert set(record["checksums"]["data"]) == {"atis", "snips"}
    lines = (run / "predictions" / "atis.jsonl").read_text().splitlines()
    assert len(lines) == 200
    for line in map(json.loads, lines):
        assert len(line["tokens"]) == len(line["gold"]) == len(line["prediction"])


def test_the_same_settings_give_the_same_bytes(place, run):
    again = run_in(place, "again")
    train_run(again)
    predict_run(again)
    score_run(again)
    for file in ("model/model.safetensors", "predictions/snips.jsonl", "scores.json"):
        assert (run / file).read_bytes() == (again / file).read_bytes(), file


def test_what_is_made_is_not_made_again(place, caplog):
    run = run_in(place, "once")
    caplog.set_level("INFO", logger="hyperloader")

    def made(**changes):
        """What a further call writes."""
        before, _ = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}, caplog.clear()
        train_run(run, **changes)
        predict_run(run, **changes)
        return sorted(path.name for path in run.rglob("*.*") if before.get(path) != path.stat().st_mtime_ns and path.name != ".lock")

    everything = ["README.md", "atis.jsonl", "config.json", "model.safetensors", "predictions.json", "run.json", "snips.jsonl"]
    assert made() == everything
    assert made() == [] and "already trained" in caplog.text and "already predicted" in caplog.text
    assert made(force=True) == everything
    (run / "predictions" / "snips.jsonl").write_text("", encoding="utf-8")
    assert made() == ["atis.jsonl", "predictions.json", "snips.jsonl"] and "already trained" in caplog.text
    run_in(place, "once", seed=2)
    assert made() == everything
    for file in ("run.json", "predictions.json"):
        (run / file).write_text("{}", encoding="utf-8")
    assert made() == everything, "records that nobody can read"


def test_tensorboard_that_is_not_installed_is_said_before_anything_is_done(place, monkeypatch):
    run = run_in(place, "shown")
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        RunError, match=r"^--tensorboard needs TensorBoard, which is not installed; pip install 'hyperloader\[tensorboard\]'$"
    ):
        train_run(run, tensorboard=True)
    assert [path.name for path in run.iterdir()] == ["settings.json"]


def test_a_first_try_is_the_beginning_of_the_training(place, run, caplog):
    tried = run_in(place, "tried")
    caplog.set_level("INFO", logger="hyperloader")
    for steps in (1, 2, None):
        train_run(tried, limit=steps)
        assert (tried / "run.json").exists() == (steps is None)
    for step in (1, 3):
        assert re.search(f"tried: stopped by --limit after step {step} of 4, with a checkpoint.*; the same command without it", caplog.text)
    assert (tried / "model/model.safetensors").read_bytes() == (run / "model/model.safetensors").read_bytes()


def test_a_folder_of_no_run_is_left_as_it_is(tmp_path):
    for call in (train_run, predict_run):
        with pytest.raises(UserError, match="settings.json: no such file"):
            call(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_spans_have_the_characters_of_the_text(run):
    text = "  caf\u00e9 \t la  \u4e2d\u6587 play "
    for spans in Tagger.from_pretrained(run).predict([text, "", "   "], task="snips"):
        for span in spans:
            assert text[span["start"] : span["end"]] == span["word"]


def test_wrong_calls_of_the_tagger(run):
    tagger = Tagger.from_pretrained(run)
    assert tagger.tasks == ("atis", "snips")
    with pytest.raises(RunError, match="unknown task 'sips'; did you mean 'snips'. known tasks: atis, snips"):
        tagger.predict(["a"], task="sips")
    with pytest.raises(RunError, match="which task.*atis, snips"):
        tagger.predict(["a"])


def test_an_untrained_or_damaged_run(place):
    run = run_in(place, "untrained")
    with pytest.raises(RunError, match="hyperloader train"):
        predict_run(run)
    with pytest.raises(UserError, match="has no model.*hyperloader train"):
        Tagger.from_pretrained(run)
    train_run(run)
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(RunError, match="model.safetensors: cannot be read"):
        Tagger.from_pretrained(run)
    config = run / "model" / "config.json"
    config.write_text(config.read_text().replace('"format_version": 2', '"format_version": 99'))
    with pytest.raises(RunError, match="newer version"):
        Tagger.from_pretrained(run)


@pytest.mark.parametrize(("method", "kind"), [("hyperloader", "t5"), ("unipelt_bert", "bert"), ("gold_oracle", "t5")])
def test_a_method_that_needs_a_backbone_says_so(place, method, kind):
    run = run_in(place, f"needs-one-{method}", method=method, method_settings={}, backbone=None)
    (run / "model").mkdir(exist_ok=True)
    problem = rf"settings.json: method {method} needs a backbone, and there is none; name the folder of a {kind} under 'backbone'"
    for call in (train_run, predict_run, Tagger.from_pretrained):
        with pytest.raises(SettingsError, match=problem):
            call(run)


@pytest.mark.parametrize(("method", "kind"), [("hyperloader", "bert"), ("unipelt_bert", "t5"), ("gold_oracle", "bert")])
def test_a_method_on_another_kind_of_backbone_says_so(place, tmp_path, method, kind):
    needed, backbone = ("bert", place / "t5") if kind == "t5" else ("t5", bert_in(tmp_path))
    run = run_in(place, f"on-another-{method}", method=method, method_settings={}, backbone=str(backbone))
    (run / "model").mkdir(exist_ok=True)
    problem = rf"settings.json: method {method} needs a {needed}, and its backbone is a {kind}; name the folder of a {needed} under"
    for call in (train_run, predict_run, Tagger.from_pretrained):
        with pytest.raises(SettingsError, match=problem):
            call(run)


def test_a_bert_of_several_corpora_is_refused(place, tmp_path):
    run = run_in(place, "several", method="unipelt_bert", method_settings={}, backbone=str(bert_in(tmp_path)))
    with pytest.raises(SettingsError, match="unipelt_bert is on a BERT, which classifies the slot types of one corpus; name one under"):
        train_run(run)


def test_a_backbone_that_vanished_is_named(place):
    run = run_in(place, "no-backbone")
    train_run(run)
    for file, key in ((run / "settings.json", "train"), (run / "model" / "config.json", "tag")):
        file.write_text(file.read_text().replace(str(place / "t5"), str(place / "gone")))
        missing = "gone/manifest.json: no such file; make it: hyperloader backbone .*gone"
        with pytest.raises(UserError, match=missing if key == "train" else "its backbone is not found: .*gone; give .*--backbone FOLDER"):
            train_run(run) if key == "train" else Tagger.from_pretrained(run)
    # what was trained is still there
    assert (run / "run.json").is_file() and (run / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["run.json", "predictions.json", "scores.json"])
def test_files_of_a_newer_version_say_so(run, tmp_path, name):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / name
    file.write_text(file.read_text().replace('"format_version": 1', '"format_version": 2'))
    read = {"run.json": lambda run: write_curves([run], run / "curves"), "predictions.json": score_run}
    with pytest.raises(RunError, match=f"{name}: written by a newer version of hyperloader; update hyperloader"):
        read.get(name, lambda run: write_scores([run / name], run / "scores.csv"))(tmp_path / "run")


def test_missing_data_is_named(place):
    run = run_in(place, "no-data", data={"atis": str(place / "nowhere")})
    with pytest.raises(UserError, match="nowhere.*corpora prepare"):
        train_run(run)
    assert not (run / "run.json").exists()


def test_the_command_line_answers_in_one_line(run, monkeypatch, capfd):
    command = [sys.executable, "-m", "hyperloader", "predict", "--run", str(run)]
    answer = subprocess.run([*command, "--task", "atis", "a b c"], capture_output=True, text=True)
    assert answer.returncode == 0 and len(answer.stdout.splitlines()) == 1
    # imports take seconds: once is enough
    monkeypatch.setattr(sys, "argv", [*command[2:], "--task", "nothing", "a b c"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capfd.readouterr() == ("", "hyperloader: unknown task 'nothing'; known tasks: atis, snips\n")


def test_settings_of_every_scale_and_recipe_are_valid():
    from pathlib import Path

    folder = Path(__file__).parents[2] / "config"
    values = {"corpora": ["atis"], "methods": ["hyperloader", "hyperformer_pp"], "fractions": [10], "seeds": [1]}
    for recipe in (folder / "recipes").glob("*.yaml"):
        plan = Plan.of(values | {"recipe": recipe.stem}, folder)
        for scale in plan.scales():
            for run in plan.runs(scale):
                plan.run_settings(run)
            plan.backbone_settings(scale, "t5")

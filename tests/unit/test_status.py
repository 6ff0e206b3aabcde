"""Which runs are done, running, failed, stale or missing, and the hours that are left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch import zeros
from torch.optim import SGD

from hyperloader.errors import SettingsError
from hyperloader.files import write_json
from hyperloader.models.backbones import BackboneManifest
from hyperloader.planning.estimates import REFERENCE
from hyperloader.planning.plan import Plan
from hyperloader.planning.status import as_text, status
from hyperloader.runs.locks import folder_lock
from hyperloader.runs.records import PredictionsManifest, TrainingRecord
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.progress import Progress

ROOT = Path(__file__).parents[2]
CHANGES = ["seeds=[42]", "corpora=[atis,snips]", "methods=[hyperloader,unipelt_t5,gazetteer]", "fractions=[100]"]


@pytest.fixture
def plan():
    return Plan.read(ROOT / "config/config.yaml", CHANGES)


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def predict(run, decoding="free"):
    """Leave what a prediction of a run leaves."""
    PredictionsManifest(decoding=decoding, corpora={}).write(run / "predictions.json")


def finish(plan, results, method, corpora, *, seconds=100.0, done=True):
    """Leave what a finished run leaves, or one that is only trained; its folder."""
    (run,) = [run for run in plan.runs("demo") if (run.method, run.tasks) == (method, corpora)]
    settings = plan.run_settings(run, str(results))
    checksums = {"data": dict.fromkeys(settings.data, "as it was"), "backbone": None}
    record = {"settings": settings.model_dump(mode="json"), "steps": settings.training.steps, "seconds": seconds, "curve": []}
    TrainingRecord(**record, checksums=checksums).write(results / run.path / "run.json")
    if done:
        predict(results / run.path)
        write_json(results / run.path / "scores.json", {})
    return results / run.path


def states(plan, results):
    return {f"{row.run.method} {row.run.tasks}": (row.state, row.note) for row in status(plan, "demo", results=results)}


def test_without_any_result_all_are_missing(plan, results):
    assert set(states(plan, results).values()) == {("missing", "")}
    text = as_text(list(status(plan, "demo", results=results)))
    assert "4 runs: 4 missing; 0.00 hours of training left, one after the other, and those of 3 runs of methods of which none" in text


def test_a_run_goes_from_missing_to_done(plan, results):
    run, key = finish(plan, results, "hyperloader", "atis+snips", done=False), "hyperloader atis+snips"
    assert states(plan, results)[key] == ("missing", "trained")
    predict(run)
    assert states(plan, results)[key] == ("missing", "predicted")
    write_json(run / "scores.json", {})
    assert states(plan, results)[key] == ("done", "")
    with folder_lock(run):
        assert states(plan, results)[key] == ("running", "")


def test_another_plan_or_other_data_make_it_stale(plan, results):
    run = finish(plan, results, "hyperloader", "atis+snips")
    other = Plan.read(ROOT / "config/config.yaml", [*CHANGES, "settings={hyperloader: {lora_rank: 2}}"])
    assert states(other, results)["hyperloader atis+snips"] == ("stale", "other method_settings than planned")
    record = json.loads((run / "run.json").read_text())
    backbone = {"kind": "t5", "path": "model", "sha256": {"model.safetensors": "0"}}
    BackboneManifest(**backbone).write(results / "demo/backbones/t5/manifest.json")
    assert states(plan, results)["hyperloader atis+snips"] == ("stale", "other backbone")
    record["settings"]["seed"] = 43
    write_json(run / "run.json", record)
    assert states(plan, results)["hyperloader atis+snips"] == ("stale", "other seed than planned")


def test_predictions_of_another_decoding_are_stale_and_the_training_is_not(plan, results):
    finish(plan, results, "hyperloader", "atis+snips")
    other = Plan.read(ROOT / "config/config.yaml", [*CHANGES, "decoding=constrained"])
    assert states(other, results)["hyperloader atis+snips"] == ("stale", "other decoding than planned")
    (row,) = [row for row in status(other, "demo", results=results) if row.run.method == "hyperloader"]
    assert (row.step, row.hours) == (row.steps, 0)


def test_a_stale_run_that_is_trained_again_has_its_steps_before_it(plan, results):
    run = finish(plan, results, "hyperloader", "atis+snips")
    other = Plan.read(ROOT / "config/config.yaml", [*CHANGES, "settings={hyperloader: {lora_rank: 2}}"])
    Checkpoints(run / "checkpoints", "any").save_last({}, SGD([zeros(1)]), Progress(step=3))
    with folder_lock(run):
        (row,) = [row for row in status(other, "demo", results=results) if row.run.method == "hyperloader"]
    assert (row.state, row.step) == ("running", 3) and row.hours > 0


def test_a_log_without_a_result_is_a_failure_and_says_why(plan, results):
    logs = results / "demo/runs/matched/hyperloader/atis+snips/100/seed42/logs"
    logs.mkdir(parents=True)
    (logs / "train.log").write_text("12:00:00 step 20\nhyperloader: the loss became nan by step 50; lower the learning rate\n")
    failed = ("failed", "train: the loss became nan by step 50; lower the learning rate")
    assert states(plan, results)["hyperloader atis+snips"] == failed
    # one job did all corpora
    finish(plan, results, "unipelt_t5", "atis", done=False)
    logs = results / "demo/runs/matched/unipelt_t5/each/100/seed42/logs"
    logs.mkdir(parents=True)
    (logs / "predict.log").write_text("")
    assert states(plan, results)["unipelt_t5 atis"] == ("failed", "predict: ended without a word")
    assert states(plan, results)["unipelt_t5 snips"] == ("missing", "")


@pytest.mark.parametrize(
    ("last", "step", "state"),
    [
        ("12:00:00 step 20 of 40: loss 1.0000, 3.0 s, 0:00:03 left", 20, ("interrupted", "goes on from step 20")),
        ("", 20, ("interrupted", "goes on from step 20")),
        (
            "hyperloader: stopped by SIGTERM after step 7 of 40, with a checkpoint; the same command",
            7,
            ("interrupted", "goes on from step 7"),
        ),
        ("12:00:00 Tiny on atis: 5 trainable of 9 parameters", 0, ("interrupted", "train begins anew")),
        ("hyperloader: the loss became nan by step 50", 20, ("failed", "train: the loss became nan by step 50")),
        ("RuntimeError: no such thing", 20, ("failed", "train: RuntimeError: no such thing")),
    ],
)
def test_a_training_that_was_killed_is_interrupted(plan, results, last, step, state):
    run = results / "demo/runs/matched/hyperloader/atis+snips/100/seed42"
    (run / "logs").mkdir(parents=True)
    (run / "logs/train.log").write_text(f"12:00:00 begins\n{last}\n" if last else "")
    if step:
        Checkpoints(run / "checkpoints", "any").save_last({}, SGD([zeros(1)]), Progress(step=step))
    assert states(plan, results)["hyperloader atis+snips"] == state
    text = as_text(list(status(plan, "demo", results=results)), brief=True)
    assert [line.split()[:3] for line in text.splitlines()[2:5]] == [
        ["hyperloader", "1", state[0]],
        ["unipelt_t5", "2", "missing"],
        ["gazetteer", "1", "missing"],
    ]


def test_a_file_of_what_differs_is_merged_as_snakemake_does(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "mine.yaml"
    file.write_text("methods: [gazetteer]\nseeds: [7]\n")
    runs = Plan.read(file, ["fractions=[10]"]).runs("demo")
    assert [(run.method, run.tasks, run.percent, run.seed) for run in runs] == [("gazetteer", "all", 10, 7)]
    problems = {"methds: []": "unknown key 'methds'", "- 1": "is no list of keys and values", "seeds: !!int x": "not valid YAML .*'x'"}
    for text, problem in problems.items():
        file.write_text(text)
        with pytest.raises(SettingsError, match=f"mine.yaml: {problem}"):
            Plan.read(file)
    for text, problem in {"[1": "expected ',' or ']'", "2024-13-45": "month must be in 1..12"}.items():
        with pytest.raises(SettingsError, match=f"--set seeds:.* ?not valid YAML .{problem}"):
            Plan.read("config/config.yaml", [f"seeds={text}"])
    # the file itself is right, and the message says where else to look
    with pytest.raises(SettingsError, match=r"config.yaml --set recipe=paper --set seeds=\[7,7\]: 'seeds': names 7 twice"):
        Plan.read("config/config.yaml", ["recipe=paper", "seeds=[7,7]"])


def test_mappings_are_merged_as_snakemake_merges_them(tmp_path):
    for part in ("scales", "recipes"):
        (tmp_path / part).symlink_to(ROOT / "config" / part)
    base, file = tmp_path / "config.yaml", tmp_path / "mine.yaml"
    base.write_text((ROOT / "config/config.yaml").read_text().replace("settings: {}", "settings: {hyperloader: {lora_rank: 4}}"))
    file.write_text("settings: {hyperloader: {task_dim: 8}}\n")
    change = "settings={hyperloader: {layer_dim: 6}}"
    assert Plan.read(file, [change]).config.settings == {"hyperloader": {"lora_rank": 4, "task_dim": 8, "layer_dim": 6}}
    # after null there is nothing to merge with
    assert Plan.read(file, ["settings=null", change]).config.settings == {"hyperloader": {"layer_dim": 6}}
    assert Plan.read(file, ["settings=null", "settings={}"]).config.settings == {}


def test_scales_and_recipes_may_be_elsewhere(tmp_path, hyperloader, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text((ROOT / "config/config.yaml").read_text().replace("[10, 20, 100]", "[20]"))
    monkeypatch.chdir(tmp_path)
    code, _, err = hyperloader("status", "--scale", "demo")
    assert code == 2 and "config/recipes/matched.yaml: no such file" in err
    code, out, _ = hyperloader("status", "--scale", "demo", "--folder", ROOT / "config")
    assert not code and "hyperloader/all/20/seed42" in out and "/100/" not in out


def test_hours_follow_from_finished_runs_and_checkpoints(plan, results):
    finish(plan, results, "unipelt_t5", "atis", seconds=3600.0)
    rows = {f"{row.run.method} {row.run.tasks}": row for row in status(plan, "demo", results=results)}
    steps = rows["unipelt_t5 snips"].steps
    assert (rows["unipelt_t5 atis"].hours, rows["unipelt_t5 atis"].step) == (0, steps)
    assert rows["unipelt_t5 snips"].hours == pytest.approx(1) and rows["hyperloader atis+snips"].hours is None
    assert rows["gazetteer atis+snips"].hours == 0
    checkpoints = Checkpoints(results / "demo/runs/matched/unipelt_t5/snips/100/seed42/checkpoints", "any")
    checkpoints.save_last({}, SGD([zeros(1)]), Progress(step=steps // 2))
    rows = {f"{row.run.method} {row.run.tasks}": row for row in status(plan, "demo", speed=1.0, results=results)}
    assert rows["unipelt_t5 snips"].hours == pytest.approx(
        (steps - steps // 2) * 32 / 3600 * REFERENCE["hyperloader"] / REFERENCE["unipelt_t5"]
    )
    assert rows["hyperloader atis+snips"].hours == pytest.approx(rows["hyperloader atis+snips"].steps * 32 / 3600)


def test_it_is_quick_because_it_needs_no_network(tmp_path):
    code = "import sys; from hyperloader.cli.main import app; app(standalone_mode=False); print(*sys.modules)"
    command = [sys.executable, "-c", code, "status", "--scale", "demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert " runs: " in done.stdout and not {"torch", "transformers", "datasets", "scipy"} & set(done.stdout.split())

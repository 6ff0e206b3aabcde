"""From configuration, records and options to plans, costs and states: which value arrives where."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from torch import zeros
from torch.optim import SGD

from hyperloader.config.settings import Training
from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import SettingsError
from hyperloader.files import write_json
from hyperloader.methods.registry import methods
from hyperloader.models.backbones import open_backbone
from hyperloader.planning import estimates, status
from hyperloader.planning.estimates import share
from hyperloader.planning.parameters import count
from hyperloader.planning.plan import Plan, PlannedRun
from hyperloader.planning.trials import FORWARD, Stopwatch
from hyperloader.reports.tables.parameters import as_sheet
from hyperloader.runs.records import PredictionsManifest, TrainingRecord
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.progress import Progress

ROOT = Path(__file__).parents[2]
CONFIG, PUBLISHED = ROOT / "config/config.yaml", ROOT / "workflow/published/methods.csv"


def plan(*changes):
    return Plan.read(CONFIG, changes)


def test_settings_of_a_run_are_those_of_its_place():
    planned = plan(
        "seeds=[3,4]", "fractions=[10,20]", "corpora=[snips,atis]", "methods=[unipelt_bert,hyperloader,gazetteer]", "data_seeds=[42,7]"
    )
    runs = planned.runs("demo")
    assert [(run.method, run.corpora, run.percent, run.seed) for run in runs] == [
        (method, corpora, percent, seed)
        for method, groups in (
            ("unipelt_bert", [("atis",), ("snips",)]),
            ("hyperloader", [("atis", "snips")]),
            ("gazetteer", [("atis", "snips")]),
        )
        for corpora in groups
        for percent in (10, 20)
        for seed in (3, 4)
    ]
    assert len({run.path for run in runs}) == len(runs)
    for run in runs:
        settings = planned.run_settings(run, "there")
        for key in ("scale", "recipe", "method", "percent", "seed"):
            assert getattr(settings, key) == getattr(run, key), key
        draw = {3: "data", 4: "data-draw7"}[run.seed]
        assert settings.data == {name: f"there/demo/{draw}/{name}" for name in run.corpora}
        assert ("-draw7" in run.path) == (run.seed == 4)
        kind = {"unipelt_bert": "bert", "hyperloader": "t5", "gazetteer": None}[run.method]
        assert settings.backbone == (kind and f"there/demo/backbones/{kind}")


def test_every_key_of_a_recipe_and_of_its_changes_arrives(tmp_path):
    """Each value of another layer is one that no other layer has."""
    folder = tmp_path / "config"
    (folder / "recipes").mkdir(parents=True)
    (folder / "scales").mkdir()
    values = yaml.safe_load((ROOT / "config/recipes/authors.yaml").read_text())["training"]
    odd = values | {
        "steps": 11, "batch_size": 12, "learning_rate": 0.013, "schedule": "trapezoidal", "warmup_steps": 14, "weight_decay": 0.15,
        "label_smoothing": 0.16, "loss_reduction": "mean", "max_grad_norm": 17.0, "temperature": 18.0, "evaluate_every": 19,
        "evaluation_batches": 20, "epochs": 21, "patience": 22, "sampling": "epochs", "bucketing": False, "gradient_accumulation_steps": 2,
        "precision": "bf16", "compile": True, "cuda_graphs": False, "selection": "best", "source_length": 23, "target_length": 24,
    }  # fmt: skip
    assert odd.keys() == Training.model_fields.keys(), "a new key needs a value here"
    layers = {"recipe": odd, "single": {"steps": 31, "warmup_steps": 32, "evaluate_every": 33, "batch_size": 34}}
    layers |= {"method": {"steps": 41, "warmup_steps": 42, "evaluate_every": 43, "temperature": 44.0, "max_grad_norm": None}}
    layers |= {"scale": {"steps": 51, "warmup_steps": 52}, "scale single": {"steps": 61, "warmup_steps": 62}}
    layers |= {"scale method": {"learning_rate": 0.071, "warmup_steps": 72}}
    recipe = {
        "training": odd,
        "single_task": layers["single"],
        "training_of": {"unipelt_t5": layers["method"], "hyperloader": layers["method"]},
    }
    (folder / "recipes/odd.yaml").write_text(yaml.safe_dump(recipe))
    backbones = {"t5": {"source": "directory", "path": "t5"}}
    scale = {"corpora": "generated", "backbones": backbones, "training": layers["scale"], "single_task": layers["scale single"]}
    scale["training_of"] = {"unipelt_t5": layers["scale method"], "full_finetuning": layers["scale method"]}
    (folder / "scales/odd.yaml").write_text(yaml.safe_dump(scale))
    (folder / "scales/bare.yaml").write_text(yaml.safe_dump({"corpora": "generated", "backbones": backbones}))
    names = ["hyperloader", "hyperdecoder", "unipelt_t5", "full_finetuning", "full_finetuning_single_task"]
    planned = Plan.of({"corpora": ["atis"], "methods": names, "fractions": [100], "seeds": [1], "recipe": "odd"}, folder)

    def of(method, scale):
        return planned.run_settings(PlannedRun(scale, "odd", method, ("atis",), 100, 1)).training.model_dump()

    assert of("hyperdecoder", "bare") == odd
    assert of("hyperloader", "bare") == odd | layers["method"]
    assert of("full_finetuning_single_task", "bare") == odd | layers["single"]
    assert of("unipelt_t5", "bare") == odd | layers["single"] | layers["method"]
    assert of("hyperdecoder", "odd") == odd | layers["scale"]
    assert of("hyperloader", "odd") == odd | layers["method"] | layers["scale"]
    single = layers["scale"] | layers["scale single"]
    assert of("full_finetuning_single_task", "odd") == odd | layers["single"] | single
    assert of("unipelt_t5", "odd") == odd | layers["single"] | layers["method"] | single | layers["scale method"]
    assert of("full_finetuning", "odd") == odd | layers["scale"] | layers["scale method"]


@pytest.fixture
def few(monkeypatch):
    """Count only these: the parameters of all methods take seconds."""
    names = ("hyperloader", "unipelt_t5", "hyperdecoder", "gazetteer")
    monkeypatch.setattr("hyperloader.planning.parameters.methods", lambda: {name: methods()[name] for name in names})


# of T5-base with seven tasks, one UniPELT on it (tests/unit/test_estimates.py)
TOTAL, TRAINABLE = {"hyperloader": 229640304, "unipelt_t5": 227366400}, {"hyperloader": 6784368, "unipelt_t5": 4462848}


@pytest.mark.parametrize(("selection", "precision"), [("best", "fp32"), ("last", "bf16")])
def test_costs_follow_from_counts_and_recipe(few, tmp_path, selection, precision):
    recipe = yaml.safe_load((ROOT / "config/recipes/matched.yaml").read_text())
    recipe["training"] |= {"selection": selection, "precision": precision, "steps": 1000, "batch_size": 8}
    recipe["single_task"] = {"steps": 300, "batch_size": 4}
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/own.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "scales").symlink_to(ROOT / "config/scales")
    values = {"corpora": list(known_corpora()), "fractions": [10, 20], "seeds": [1, 2, 3]}
    values["methods"] = ["hyperloader", "unipelt_t5", "gazetteer"]
    found = estimates.estimate(Plan.of(values | {"recipe": "own"}, tmp_path), "paper", PUBLISHED, speed=100, results=str(tmp_path))
    costs = found.rows
    assert [cost.method for cost in costs] == ["HyperLoader", "UniPELT-T5"]
    for name, cost, runs, sentences in zip(TOTAL, costs, (6, 42), (8000, 1200), strict=True):
        assert (cost.runs, cost.sentences) == (runs, sentences) and cost.hours == pytest.approx(runs * sentences / 100 / 3600 / share(name))
        # four bytes a number; weights and two moments, and the weights again where the best are kept
        assert cost.disk == 4 * runs * TRAINABLE[name]
        assert cost.checkpoints == 4 * TRAINABLE[name] * (4 if selection == "best" else 3)
        # frozen weights, and of trained ones gradient and two moments too
        assert cost.memory == (4 if precision == "fp32" else 2) * (TOTAL[name] - TRAINABLE[name]) + 4 * 4 * TRAINABLE[name]
    *_, total = estimates.as_text(found).splitlines()
    assert [cell.strip() for cell in total.split("|")[1:5]] == [
        "in all",
        "48",
        "",
        f"{(6 * 8000 + 42 * 1200 / share('unipelt_t5')) / 360000:,.2f}",
    ]


@pytest.fixture
def finished(tmp_path):
    """Leave the record of a finished run of a plan; its folder."""

    def finish(planned, run, seconds, steps):
        settings = planned.run_settings(run, str(tmp_path))
        checksums = {"data": {name: "as it was" for name in settings.data}, "backbone": "as it was"}
        record = {"settings": settings.model_dump(mode="json"), "steps": steps, "seconds": seconds, "curve": [], "checksums": checksums}
        TrainingRecord(**record).write(tmp_path / run.path / "run.json")
        return tmp_path / run.path

    return finish


def test_speed_is_that_of_the_methods_own_finished_runs(few, tmp_path, finished):
    planned = plan("methods=[hyperloader,hyperdecoder]", "corpora=[atis]", "seeds=[1,2,3]", "fractions=[100]")
    runs = planned.runs("paper")
    loaders, decoders = ([run for run in runs if run.method == name] for name in ("hyperloader", "hyperdecoder"))
    finished(planned, loaders[0], 10.0, 100)
    finished(planned, loaders[1], 30.0, 500)
    finished(planned, decoders[2], 1.0, 1)
    batch = planned.run_settings(loaders[0]).training.batch_size
    # sentences of all over seconds of all
    assert estimates.measured_speed(loaders, tmp_path) == pytest.approx(600 * batch / 40)
    assert estimates.measured_speed(decoders[:2], tmp_path) is None
    known = {cost.method: cost for cost in estimates.estimate(planned, "paper", PUBLISHED, results=str(tmp_path)).rows}
    assert known["HyperLoader"].hours == pytest.approx(3 * known["HyperLoader"].sentences / (15 * batch) / 3600)
    assert known["Hyperdecoder"].hours == pytest.approx(3 * known["Hyperdecoder"].sentences / batch / 3600)
    rows = {row.run: row for row in status.status(planned, "paper", results=tmp_path)}
    steps = planned.run_settings(loaders[0]).training.steps
    assert rows[loaders[2]].hours == pytest.approx(steps / 15 / 3600) and rows[decoders[0]].hours == pytest.approx(steps / 3600)
    assert (rows[loaders[0]].hours, rows[loaders[0]].step, rows[loaders[0]].steps) == (0, steps, steps)
    # a speed that is given is HyperLoader's
    rows = {row.run: row for row in status.status(planned, "paper", speed=2.0, results=tmp_path)}
    for run in (loaders[2], decoders[0]):
        assert rows[run].hours == pytest.approx(steps * batch / 2 / share(run.method) / 3600)


def test_a_validation_of_all_batches_takes_its_time(few, tmp_path, monkeypatch):
    class OneSecondAStep(Stopwatch):
        start_seconds = 0.0

        def __call__(self, trial):
            return 1.0

    monkeypatch.setattr(estimates, "Stopwatch", OneSecondAStep)
    for batches, validated in (("null", 2), (1, 1)):
        name = f"{{few: {{method: hyperloader, title: Few, training: {{evaluate_every: 10, evaluation_batches: {batches}}}}}}}"
        planned = plan("methods=[few]", "corpora=[atis,snips]", "seeds=[1]", "fractions=[100]", f"variants={name}")
        cost, *_ = estimates.estimate(planned, "demo", PUBLISHED, results=str(tmp_path), cores=1).rows
        # of each of the two corpora 60 sentences, in batches of 32
        assert cost.hours == pytest.approx(cost.sentences / 32 / 3600 * (1 + FORWARD * 2 * validated / 10))


def test_a_variant_is_as_fast_as_its_method(few, tmp_path):
    few = "variants={few: {method: unipelt_t5, title: Few}}"
    planned = plan("methods=[unipelt_t5,few]", "corpora=[atis]", "seeds=[1]", "fractions=[100]", few)
    for speed in (7, None):
        one, other = estimates.estimate(planned, "paper", PUBLISHED, speed, str(tmp_path)).rows
        assert one.hours == other.hours
    one, other = status.status(planned, "paper", 7, tmp_path)
    assert one.hours == other.hours


def test_a_backbone_of_former_settings_is_none(few, place, tmp_path):
    """The one that is there has a d_model of 16."""
    shutil.copytree(place / "t5", tmp_path / "results/demo/backbones/t5")
    shutil.copytree(ROOT / "config", tmp_path / "config")
    scale = tmp_path / "config/scales/demo.yaml"
    given = json.loads((place / "t5/settings.json").read_text())["backbone"]
    values = yaml.safe_load(scale.read_text())
    values["backbones"]["t5"] = given
    changes = ["methods=[hyperloader]", "corpora=[atis]", "seeds=[1]", "fractions=[100]"]

    def looked_at():
        scale.write_text(yaml.safe_dump(values))
        planned, results = Plan.read(tmp_path / "config/config.yaml", changes), str(tmp_path / "results")
        (row,) = count(planned, "demo", PUBLISHED, results, names=["hyperloader"], roughly=True)
        return row.total, [cost.method for cost in estimates.estimate(planned, "demo", PUBLISHED, 7, results).rows], planned

    made, methods, planned = looked_at()
    assert methods == ["HyperLoader"]
    (run,) = planned.runs("demo")
    settings = planned.run_settings(run, str(tmp_path / "results"))
    checksums = {"data": dict.fromkeys(settings.data, "as it was"), "backbone": open_backbone(place / "t5").checksum}
    record = {"settings": settings.model_dump(mode="json"), "steps": 1, "seconds": 1.0, "curve": [], "checksums": checksums}
    TrainingRecord(**record).write(tmp_path / "results" / run.path / "run.json")
    (row,) = status.status(planned, "demo", results=tmp_path / "results")
    assert row.state == "missing" and row.note == "trained"
    values["backbones"]["t5"] = given | {"architecture": given["architecture"] | {"d_model": 128}}
    wider, methods, planned = looked_at()
    assert wider > 4 * made and methods == ["HyperLoader", "T5, pre-training"]
    (row,) = status.status(planned, "demo", results=tmp_path / "results")
    assert (row.state, row.note) == ("stale", "other backbone")


def test_other_data_make_a_finished_run_stale_and_its_hours_count_again(tmp_path, finished):
    planned = plan("methods=[hyperloader]", "corpora=[atis,snips]", "seeds=[1]", "fractions=[100]")
    (run,) = planned.runs("demo")
    folder = finished(planned, run, 100.0, 10)
    PredictionsManifest(decoding="free", corpora={}).write(folder / "predictions.json")
    write_json(folder / "scores.json", {})

    def state():
        (row,) = status.status(planned, "demo", results=tmp_path)
        return row.state, row.note, row.step

    steps = planned.run_settings(run).training.steps
    assert state() == ("done", "", steps)
    generate("snips", tmp_path / "raw")
    manifest = json.loads((prepare("snips", tmp_path / "raw", tmp_path / "demo/data/snips") / "manifest.json").read_text())
    assert state() == ("stale", "other data of snips", 0)
    # a checkpoint says how far the new training is
    Checkpoints(folder / "checkpoints", "any").save_last({}, SGD([zeros(1)]), Progress(step=3))
    assert state() == ("stale", "other data of snips", 3)
    record = json.loads((folder / "run.json").read_text())
    record["checksums"]["data"]["snips"] = manifest["checksum"]
    write_json(folder / "run.json", record)
    assert state() == ("done", "", steps)


@pytest.fixture
def printed(printed, monkeypatch):
    """What a command prints in the project's folder."""

    def call(*arguments):
        monkeypatch.chdir(ROOT)
        return printed(*arguments)

    return call


def test_options_of_plan_status_and_params_count(few, printed, tmp_path):
    (tmp_path / "scales").symlink_to(ROOT / "config/scales")
    (tmp_path / "recipes").mkdir()
    recipe = yaml.safe_load((ROOT / "config/recipes/matched.yaml").read_text())
    own = recipe | {"training": recipe["training"] | {"steps": 777}, "methods": {"hyperloader": {"task_dim": 512}}}
    for name, values in (("matched", recipe), ("own", own)):
        (tmp_path / f"recipes/{name}.yaml").write_text(yaml.safe_dump(values))
    config = tmp_path / "config.yaml"
    values = {"corpora": ["snips"], "methods": ["hyperloader", "gazetteer"], "fractions": [10], "seeds": [9]}
    config.write_text(yaml.safe_dump(values))

    def planned(*changes):
        return Plan.read(config, changes)

    known = ("--config", config, "--set", "seeds=[5,6]")
    for recipe in ("own", "matched"):
        costs = estimates.estimate(planned("seeds=[5,6]", f"recipe={recipe}"), "paper", PUBLISHED, 7)
        assert costs.rows[0].runs == 2
        assert printed("plan", "--scale", "paper", "--recipe", recipe, "--speed", 7, *known) == estimates.as_text(costs)
    states = printed("status", "--scale", "demo", "--speed", 7, *known)
    assert states == status.as_text(list(status.status(planned("seeds=[5,6]"), "demo", 7)))
    assert "4 runs: " in states and "hyperloader/snips/10/seed5" in states
    assert "?" in printed("status", "--scale", "demo", *known) and "?" not in states
    rows = list(count(planned("recipe=own"), "paper", PUBLISHED))
    wide = ("--config", config, "--set", "recipe=own")
    assert printed("params", "--scale", "paper", *wide) == as_sheet(rows).markdown()
    assert printed("params", "--scale", "paper", *wide, "--output", tmp_path / "p.csv") == ""
    with open(tmp_path / "p.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [int(row["trainable"]) for row in written] == [row.trainable for row in rows]
    # the embeddings and what reads them are wider than those of the default, by one corpus' embedding
    assert rows[0].trainable > TRAINABLE["hyperloader"]


def test_backbones_are_those_of_the_scale():
    for kind, size in (("t5", "d_model"), ("bert", "hidden_size")):
        settings = plan().backbone_settings("demo", kind, "there")
        raw = yaml.safe_load((ROOT / "config/scales/demo.yaml").read_text())["backbones"][kind]
        assert settings.kind == kind and settings.data == {}
        assert getattr(settings.backbone.architecture, size) == raw["architecture"][size]
        assert settings.backbone.pretraining.model_dump() == raw["pretraining"]
    data = plan("corpora=[atis]").backbone_settings("mini", "bert", "there").data
    assert data == {name: f"there/mini/data/{name}" for name in known_corpora()}
    with pytest.raises(SettingsError):
        plan().backbone_settings("demo", "gpt")

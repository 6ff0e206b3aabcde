"""Learning rates: which trainings are tried, what is kept of them, and what the table says of the configured ones."""

import csv
from pathlib import Path
from shutil import copytree

import pytest
from tiny_runs import write_settings
from typer.testing import CliRunner

from hyperloader.cli.main import app
from hyperloader.errors import SettingsError
from hyperloader.methods.training_run import try_run
from hyperloader.planning.plan import Plan
from hyperloader.planning.tuning import trials
from hyperloader.runs.records import TrialRecord

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config/config.yaml"
CHANGES = ["methods=[hyperloader,unipelt_t5,gazetteer]", "seeds=[3,4,5]"]
RATES, SEEDS = (1e-3, 3e-3, 1e-2, 3e-2), (0, 1, 2)


def with_three_seeds(folder):
    """The configuration, with trials of several seeds at scale demo."""
    demo = copytree(ROOT / "config", folder) / "scales/demo.yaml"
    demo.write_text(demo.read_text().replace("seeds: [0], single_task", f"seeds: {[*SEEDS]}, single_task"))
    return folder / "config.yaml"


def test_every_method_is_tried_at_the_same_rates_on_seeds_that_are_not_reported(tmp_path):
    plan = Plan.read(with_three_seeds(tmp_path / "config"), CHANGES)
    planned = trials(plan, "demo")
    tasks = {"hyperloader": ["all"], "unipelt_t5": ["restaurant", "atis", "snips"]}
    folders = [f"{name}/{rate:g}/{own}" for name in tasks for own in tasks[name] for rate in RATES]
    wanted = [f"demo/tuning/matched/{folder}/seed{seed}" for folder in folders for seed in SEEDS]
    assert sorted(trial.path for trial in planned) == sorted(wanted)
    # the tables of a part are those of the same trials
    assert trials(plan, "demo@part") == planned
    for trial in planned:
        settings, usual = trial.settings(plan), plan.run_settings(trial.run)
        assert (settings.seed, settings.percent, settings.training.learning_rate) == (trial.run.seed, 100, trial.learning_rate)
        assert settings.training.model_copy(update={"learning_rate": usual.training.learning_rate}) == usual.training


@pytest.mark.parametrize("scale", ["demo", "mini", "paper"])
def test_every_scale_can_be_tuned_as_it_is(scale):
    plan = Plan.read(CONFIG)
    for trial in trials(plan, scale):
        training, usual = trial.settings(plan).training, plan.run_settings(trial.run).training
        assert training.learning_rate == trial.learning_rate and training.steps <= usual.steps
        changed = {"learning_rate", *plan.scale(scale).tuning.training.model_dump(exclude_unset=True)}
        assert training.model_dump(exclude=changed) == usual.model_dump(exclude=changed)


def test_what_differs_in_trials_is_checked(tmp_path):
    folder = copytree(ROOT / "config", tmp_path / "config")
    demo = folder / "scales/demo.yaml"
    demo.write_text(demo.read_text().replace("\ntuning: {", "\ntuning: {training: {selection: last, patience: 3}, "))
    plan = Plan.read(folder / "config.yaml", CHANGES)
    with pytest.raises(SettingsError, match="trial demo/tuning/matched/hyperloader/0.001/all/seed0: .*patience would never end"):
        trials(plan, "demo")[0].settings(plan)


def test_a_reported_seed_is_refused():
    with pytest.raises(SettingsError, match="tuning's seed 0 is one of the reported ones"):
        trials(Plan.read(CONFIG, ["seeds=[42,0]"]), "demo")


def test_a_seed_that_is_named_twice_is_refused(tmp_path):
    folder = tmp_path / "config"
    copytree(ROOT / "config", folder)
    with (folder / "scales/mini.yaml").open("a") as file:
        file.write("tuning: {seeds: [1, 1]}\n")
    lines = [line for line in (folder / "scales/mini.yaml").read_text().splitlines() if not line.startswith("tuning: {learning")]
    (folder / "scales/mini.yaml").write_text("\n".join(lines))
    with pytest.raises(SettingsError, match="mini.yaml: 'tuning.seeds': names 1 twice"):
        trials(Plan.read(folder / "config.yaml"), "mini")


@pytest.mark.parametrize("rate", [1e-3, 1e6])
def test_a_trial_leaves_its_losses_or_why_it_diverged_and_no_model(place, tmp_path, rate):
    steps = {"steps": 60, "evaluate_every": 20, "warmup_steps": 0, "max_grad_norm": None}
    data = {"atis": place / "data/atis"}
    run = write_settings(tmp_path / "run", data, place / "t5", training={"learning_rate": rate, **steps})
    try_run(run)
    record = TrialRecord.read(run / "trial.json")
    assert bool(record.failure) == (rate > 1) and [point["step"] for point in record.curve] == ([] if record.failure else [20, 40, 60])
    assert record.failure == "" or record.failure.startswith("the loss")
    assert not (run / "model").exists() and not (run / "checkpoints").exists()


def table(folder, losses):
    """Write trials with these lowest losses by method and rate (and seed), None for one that diverged, and their table."""
    config = with_three_seeds(folder / "config")
    plan = Plan.read(config, CHANGES)
    for trial in trials(plan, "demo"):
        loss = losses[trial.run.method][RATES.index(trial.learning_rate)]
        loss = loss[trial.run.seed] if isinstance(loss, tuple) else loss
        # over corpora the mean decides
        spread = 0.0 if trial.run.tasks == "all" else {"restaurant": 0.1, "atis": -0.1, "snips": 0.0}[trial.run.tasks]
        values = [] if loss is None else [loss + 1, loss + spread, loss + 0.5]
        curve = [{"step": 10 * step, "loss": 1.0, "validation_loss": value} for step, value in enumerate(values, 1)]
        path = folder / "results" / trial.path / "trial.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        TrialRecord(curve=curve, failure="the loss became nan by step 7" if loss is None else "").write(path)
    arguments = [argument for change in CHANGES for argument in ("--set", change)]
    answer = CliRunner().invoke(app, ["tuning", "--scale", "demo", "--config", str(config), *arguments, "--output", str(folder / "out")])
    assert answer.exit_code == 0, answer.output
    with (folder / "out/tuning.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_lowest_loss_is_best_and_another_configured_rate_is_named(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    rows = table(tmp_path, {"hyperloader": (0.5, 0.3, 0.2, None), "unipelt_t5": (0.6, 0.7, 0.8, 0.9)})
    assert len(rows) == 8
    best = {row["method"]: (row["learning_rate"], row["validation_loss"]) for row in rows if row["best"] == "yes"}
    assert best == {"hyperloader": ("0.01", "0.2000"), "unipelt_t5": ("0.001", "0.6000")}
    assert [row["failure"] != "" for row in rows] == [*[False] * 3, True, *[False] * 4]
    configured = {name: {row["learning_rate"] for row in rows if (row["method"], row["configured"]) == (name, "yes")} for name in best}
    assert configured == {"hyperloader": {"0.01"}, "unipelt_t5": {"0.03"}}
    said = (tmp_path / "out/tuning.md").read_text()
    assert "unipelt_t5: 0.001 is best and" in said and "unipelt_t5: 0.001 is at the end" in said and "hyperloader: " not in said
    assert "unipelt_t5: 0.001 is best" in caplog.text
    with (tmp_path / "out/tuning_curves.csv").open() as file:
        points = [row for row in csv.DictReader(file) if (row["method"], row["learning_rate"]) == ("unipelt_t5", "0.01")]
    assert [float(row["validation_loss"]) for row in points] == pytest.approx([1.8, 0.8, 1.3])
    drawn = (tmp_path / "out/tuning_curves.svg").read_text()
    assert "UniPELT-T5" in drawn and "at each learning rate; scale " in drawn
    # the best rates as a recipe of its own
    folder = tmp_path / "config"
    (folder / "recipes/tuned.yaml").write_text((tmp_path / "out/tuned.yaml").read_text())
    usual, tuned = (Plan.read(folder / "config.yaml", [f"recipe={recipe}"]) for recipe in ("matched", "tuned"))
    for name, rate in (("hyperloader", 0.01), ("unipelt_t5", 0.001), ("hyperdecoder", 3e-4)):
        run = next(run for run in tuned.runs("paper") if run.method == name)
        training = tuned.run_settings(run).training
        assert run.path.startswith("paper/runs/tuned/") and training.learning_rate == rate
        same = next(run for run in usual.runs("paper") if run.method == name)
        assert training.model_dump(exclude={"learning_rate"}) == usual.run_settings(same).training.model_dump(exclude={"learning_rate"})


def test_a_rate_that_learns_with_some_seeds_alone_is_not_best(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rates = (0.5, 0.4, (0.1, 0.3, 0.9), (0.1, None, 0.1))
    rows = table(tmp_path, {"hyperloader": rates, "unipelt_t5": (0.9, 0.8, 0.7, 0.6)})
    own = [row for row in rows if row["method"] == "hyperloader"]
    assert [row["validation_loss"] for row in own] == ["0.5000", "0.4000", "0.4333", ""]
    assert [row["worst_seed"] for row in own] == ["0.5000", "0.4000", "0.9000", ""]
    assert [row["best"] for row in own] == ["no", "yes", "no", "no"] and own[-1]["failure"]
    # of each corpus and seed one curve is read, and a mean over all drawn
    with (tmp_path / "out/tuning_curves.csv").open() as file:
        points = [row for row in csv.DictReader(file) if (row["method"], row["learning_rate"]) == ("hyperloader", "0.01")]
    assert [float(row["validation_loss"]) for row in points] == pytest.approx([1.3 / 3 + 1, 1.3 / 3, 1.3 / 3 + 0.5], abs=1e-5)
    assert "seeds 0, 1, 2, which are not reported" in (tmp_path / "out/tuning.md").read_text()


def test_without_trials_there_is_an_empty_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["tuning", "--scale", "demo", "--config", str(CONFIG), "--output", str(tmp_path / "out")])
    assert answer.exit_code == 0 and (tmp_path / "out/tuning.csv").read_text().count("\n") == 1

"""The study of added tasks: which runs it plans, and what it gathers of them."""

import csv
from pathlib import Path

import pytest
import torch
from made_up_runs import right, write_run
from tiny_runs import SIZES, save_wild, write_settings

from hyperloader.cli.reports import app
from hyperloader.config.settings import AddedTask, RunSettings
from hyperloader.errors import RunError, SettingsError
from hyperloader.files import write_text
from hyperloader.planning.new_tasks import AMOUNTS, MODES, new_task_runs
from hyperloader.planning.plan import Plan
from hyperloader.reports.figures.task_embeddings import write_task_embeddings
from hyperloader.runs.records import TrainingRecord

CONFIG = Path(__file__).parents[2] / "config"
VALUES = {"corpora": ["atis", "snips", "mtop"], "methods": ["hyperloader"], "fractions": [100], "seeds": [42, 43]}


def plan(**changes):
    return Plan.of(VALUES | changes, CONFIG)


def test_each_corpus_is_left_out_and_added_in_each_mode_from_each_number_of_sentences():
    runs = list(new_task_runs(plan(), "demo"))
    assert len({run.path for run in runs}) == len(runs) == 2 * (1 + 3 * (1 + len(AMOUNTS) * (1 + len(MODES))))
    for run in (run for run in runs if run.added):
        # it comes after what it is added to, and nothing is left out but itself
        assert run.added.known in runs[: runs.index(run)]
        assert {*run.added.known.corpora, *run.corpora} == set(VALUES["corpora"]) and len(run.corpora) == 1
    assert "demo/runs/matched/hyperloader/snips+mtop+atis~low_rank/50shots/seed43" in {run.path for run in runs}
    assert "demo/runs/matched/unipelt_t5/atis/10shots/seed42" in {run.path for run in runs}
    assert len(list(new_task_runs(plan(corpora=["atis"], seeds=[1]), "demo"))) == 1


def test_some_corpora_can_stand_for_all():
    every = {run.path for run in new_task_runs(plan(), "demo")}
    some = [run.path for run in new_task_runs(plan(new_tasks=["snips"]), "demo")]
    assert len(some) == 2 * (1 + 1 + len(AMOUNTS) * (1 + len(MODES))) and every.issuperset(some)
    with pytest.raises(SettingsError, match="'new_tasks' names what is none of the corpora: mtod"):
        plan(new_tasks=["mtod"])


def test_they_are_on_the_first_draw_of_the_data():
    planned = plan(data_seeds=[7, 8])
    for run in new_task_runs(planned, "demo"):
        assert planned.run_settings(run).data == {name: f"results/demo/data-draw7/{name}" for name in run.corpora}
        assert run.path.rpartition("/")[0].endswith("-draw7") and (run.added is None or "/100-draw7/" in run.added.known.path)


def test_an_added_task_has_a_tasks_share_of_the_steps():
    planned = plan()
    runs = [planned.run_settings(run) for run in new_task_runs(planned, "demo")]
    known = next(run for run in runs if list(run.data) == ["snips", "mtop"]).training
    added = {run.added.mode: run for run in runs if run.added and list(run.data) == ["atis"] and run.shots == 10}
    for mode, run in added.items():
        assert run.added == AddedTask(run="results/demo/runs/matched/hyperloader/snips+mtop/100/seed43", mode=mode)
        assert (run.training.steps, run.training.batch_size) == (known.steps // 2, known.batch_size)
        assert run.training.learning_rate == known.learning_rate * (10 if mode == "embedding" else 1)
    assert added.keys() == set(MODES)


def test_the_table_and_the_figure(tmp_path):
    planned = plan(corpora=["atis", "snips"], seeds=[1])
    folders = []
    for run in new_task_runs(planned, "demo"):
        folder, settings = tmp_path / run.path, planned.run_settings(run, str(tmp_path))
        f1 = 0.9 if len(run.corpora) > 1 else 0.25 if run.method == "unipelt_t5" else 0.5 if run.shots else 0.75
        write_run(folder, {name: right(f1) for name in run.corpora}, method=run.method)
        write_text(folder / "settings.json", settings.model_dump_json())
        record = {"settings": RunSettings.model_dump(settings, mode="json"), "steps": 1, "curve": [], "parameters": {"trainable": 16}}
        TrainingRecord(**record, checksums={"backbone": None, "data": {}}).write(folder / "run.json")
        folders.append(folder)
    app(["new-task", *map(str, folders), "--output", str(tmp_path / "new_task")], standalone_mode=False)
    with open(tmp_path / "new_task.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (1 + len(AMOUNTS) * (1 + len(MODES)))
    f1s = {(row["corpus"], row["learned"], row["percent"], row["shots"]): row["f1"] for row in rows}
    assert f1s["atis", "all tasks", "100", ""] == "0.9000" and f1s["snips", "single task", "100", "10"] == "0.2500"
    assert (f1s["atis", "embedding", "100", "10"], f1s["atis", "low_rank", "10", ""]) == ("0.5000", "0.7500")
    assert {row["trainable"] for row in rows} == {"16"}
    figure = (tmp_path / "new_task.svg").read_text()
    assert all(f">{text}<" in figure for text in ("ATIS", "SNIPS", "average", "200", "10 %", "z alone"))
    assert ">scale demo, recipe paper, decoding free, one seed (42)<" in figure
    assert (tmp_path / "new_task.png").exists()


def test_the_space_of_tasks(place, tmp_path):
    tasks = {"atis": ("City", "day"), "snips": ("city", "track", "song")}
    run = write_settings(tmp_path / "run", {name: place / "data" / name for name in tasks}, place / "t5")
    model = save_wild(run, "hyperloader", place / "t5", tasks, noise=0.1)
    app(["task-embeddings", str(run), "--output", str(tmp_path / "space")], standalone_mode=False)
    with open(tmp_path / "space.csv", newline="") as file:
        z, generated, *places = csv.DictReader(file)
    cosine = torch.nn.functional.cosine_similarity(*model.hypernetwork.task_embeddings.weight.detach(), dim=0)
    assert abs(float(z["cosine"]) - float(cosine)) < 1e-3 and z["label_overlap"] == "0.2500"
    # 2 layers, of 4 and of 6 positions
    assert len(places) == 2 * (4 + 6) and {row["of"] for row in places} == {"encoder", "decoder"}
    # as many numbers in each adapter: of one task, they are not as in the other
    assert all(-1 <= float(row["cosine"]) < 1 for row in (generated, *places))
    assert z["loss_of_first_as_second"] != z["loss_of_second_as_first"] and float(z["loss_of_first_as_second"]) > 0
    figure = (tmp_path / "space.svg").read_text()
    assert all(f">{text}<" in figure for text in ("ATIS", "SNIPS", "cosine of z", "decoder, cross attention.v"))


@pytest.mark.parametrize(
    "method, changes, trained_on",
    [("full_finetuning", {}, 2), ("hyperloader", {"task_dim": 0}, 2), ("hyperloader", {}, 1)],
    ids=["no hypernetwork", "no task embedding", "a task that was added"],
)
def test_what_has_no_space_of_tasks_is_refused(method, changes, trained_on, place, tmp_path):
    tasks = {"atis": ("city",), "snips": ("track",)}
    data = {name: place / "data" / name for name in list(tasks)[:trained_on]}
    run = write_settings(tmp_path / "run", data, place / "t5", method)
    save_wild(run, method, place / "t5", tasks, settings=SIZES[method] | changes)
    with pytest.raises(RunError, match="has no hypernetwork that was trained on several tasks"):
        write_task_embeddings(run, tmp_path / "space")


def test_a_record_without_numbers_of_parameters_is_refused(tmp_path):
    run = plan().run_settings(next(run for run in new_task_runs(plan(), "demo") if run.added))
    write_run(tmp_path / "run", {name: right(0.5) for name in run.data})
    write_text(tmp_path / "run/settings.json", run.model_dump_json())
    record = {"settings": RunSettings.model_dump(run, mode="json"), "steps": 1, "curve": [], "checksums": {"backbone": None, "data": {}}}
    TrainingRecord(**record).write(tmp_path / "run/run.json")
    study = tmp_path / "ablations.yaml"
    study.write_text("{fractions: [100], questions: []}")
    for command in (["new-task", "--output", tmp_path / "new_task"], ["ablations", "--study", study, "--output", tmp_path]):
        with pytest.raises(RunError, match=r"run\.json: missing key 'parameters\.trainable'; train this run again"):
            app([*map(str, command), str(tmp_path / "run")], standalone_mode=False)

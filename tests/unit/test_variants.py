"""Variants: methods with other settings, by names of their own in paths, settings and tables."""

import shutil
from pathlib import Path

import pytest
from made_up_runs import right, write_run

from hyperloader.errors import SettingsError
from hyperloader.methods.registry import get_method
from hyperloader.planning.parameters import count
from hyperloader.planning.plan import Plan
from hyperloader.reports.tables.scores import Scores

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config/config.yaml"
WIDE = "{method: hyperformer_pp, title: Wide, settings: {embedding_dim: 84}, training: {learning_rate: 0.5}}"
LIBRARY = ("lora", "dora", "ia3", "prompt_tuning")
ALONE = "{method: hyperloader, title: Alone, multitask: false}"


def plan(*changes):
    return Plan.read(CONFIG, ["seeds=[42]", "fractions=[100]", f"variants={{wide: {WIDE}, alone: {ALONE}}}", *changes])


def settings(planned, name, scale="demo"):
    return [planned.run_settings(run) for run in planned.runs_of([name], scale, [100])]


def test_a_variant_is_its_method_with_other_settings_in_a_place_of_its_own():
    planned = plan("methods=[hyperformer_pp,wide]")
    plain, wide = (planned.run_settings(run) for run in planned.runs("demo"))
    assert [run.path.split("/")[3] for run in planned.runs("demo")] == ["hyperformer_pp", "wide"]
    assert (wide.method, wide.variant.name, wide.variant.title) == ("hyperformer_pp", "wide", "Wide")
    assert wide.method_settings == plain.method_settings | {"embedding_dim": 84}
    assert wide.training == plain.training.model_copy(update={"learning_rate": 0.5})


def test_variants_stand_in_the_files_too(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    file, scale = tmp_path / "config/config.yaml", tmp_path / "config/scales/demo.yaml"
    file.write_text(file.read_text().replace("variants: {}", f"variants: {{wide: {WIDE}}}"))
    scale.write_text(f"{scale.read_text()}variants: {{alone: {ALONE}}}\n")
    planned = Plan.read(file, ["methods=[wide,alone]", "fractions=[100]"])
    assert {run.method for run in planned.runs("demo")} == {"wide", "alone"}
    # which another scale has not
    assert {run.method for run in planned.runs("mini")} == {"wide"}
    assert settings(planned, "wide")[0].training.learning_rate == 0.5


def test_settings_without_a_variant_are_those_of_former_runs():
    (plain,) = settings(plan("methods=[hyperloader]"), "hyperloader")
    assert "variant" not in plain.model_dump() and not plain.method_settings.keys() & {"layer_norms", "task_embedding"}
    assert settings(plan(), "full_finetuning")[0].method_settings == {}


def test_a_variant_of_a_multi_task_method_can_have_a_model_for_each_corpus():
    planned = plan("corpora=[atis,snips]")
    runs = settings(planned, "alone")
    assert [list(run.data) for run in runs] == [["atis"], ["snips"]]
    # and is trained as such
    assert {run.training.steps for run in runs} == {72}


def test_what_is_said_of_a_variant_comes_after_what_is_said_of_its_method():
    planned = plan("settings={hyperformer_pp: {embedding_dim: 3, task_dim: 5}, wide: {layer_dim: 7}}")
    (wide,) = settings(planned, "wide")
    assert [wide.method_settings[name] for name in ("embedding_dim", "task_dim", "layer_dim")] == [84, 5, 7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("methods=[wid]", "unknown method 'wid'"),
        ("variants={hyperloader: {method: hyperloader, title: H}}", "a variant and a method are both named 'hyperloader'"),
        ("variants={mine: {method: hyperloder, title: H}}", "unknown method 'hyperloder'"),
        ("variants={rank_4: {method: hyperloader, title: H}}", "another variant is named 'rank_4'"),
        ("variants={../mine: {method: hyperloader, title: H}}", "string should match pattern"),
        ("data_seeds=[1,2]", "2 data seeds for 1 seeds"),
        ("variants={all: {method: unipelt_bert, title: A, multitask: true}}", "a BERT classifies the slot types of one corpus"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(SettingsError, match=message):
        plan(change, *(["methods=[all]"] if "BERT" in message else [])).runs("demo")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("scales/demo", "  hyperloader: {task_dim", "  hyperlaoder: {task_dim", "unknown method 'hyperlaoder'; did you mean 'hyperloader'"),
        ("scales/demo", "one_job_per_method: true", f"variants: {{lora: {ALONE}}}", "{file}: a variant and a method are both named 'lora'"),
        ("scales/demo", "one_job_per_method: true", f"variants: {{rank_4: {ALONE}}}", "{file}: another variant is named 'rank_4'"),
        ("ablations", "  rank_4:", "  lora:", "{file}: a variant and a method are both named 'lora'"),
        ("ablations", "  rank_4: {method: hyperloader", "  rank_4: {method: hyperloder", "unknown method 'hyperloder'"),
    ],
)
def test_mistakes_in_the_files_are_named_too(tmp_path, file, old, new, message):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    path = tmp_path / f"config/{file}.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SettingsError, match=message.format(file=path)):
        Plan.read(tmp_path / "config/config.yaml").scale("demo")


def test_a_question_about_what_there_is_not_is_named_with_its_file(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    study = tmp_path / "config/ablations.yaml"
    study.write_text(study.read_text().replace("methods: [rank_4, rank_16]", "methods: [rank_4, rank_61]"))
    with pytest.raises(SettingsError, match=r"ablations\.yaml: a question names 'rank_61'.*known variants: .*rank_16"):
        Plan.read(tmp_path / "config/config.yaml").ablation_runs("demo")


def test_a_part_of_the_ablation_study():
    part = Plan.read(CONFIG, ["ablations=[hyperloader,lora_per_task,rank_4]"])
    assert {(run.method, run.percent) for run in part.ablation_runs("demo")} == {
        (name, 100) for name in ("hyperloader", "lora_per_task", "rank_4")
    }
    assert [(question.against, *question.methods) for question in part.ablations.questions] == [
        ("hyperloader", "lora_per_task"),
        ("hyperloader", "rank_4"),
    ]
    assert "both_per_task" in part.variants("demo")  # still known, to `methods` for one


@pytest.mark.parametrize("names, unknown", [("hyperloader,rank_4,rank_5", "rank_5"), ("lora_per_task,rank_4", "lora_per_task, rank_4")])
def test_a_part_of_the_ablation_study_that_compares_nothing_is_refused(names, unknown):
    with pytest.raises(SettingsError, match=rf"compared with nothing: {unknown}; name what a question of .*ablations\.yaml is `against`"):
        Plan.read(CONFIG, [f"ablations=[{names}]"])


def test_the_ablation_study_is_of_the_configured_fractions():
    percents = {
        fraction: {run.percent for run in Plan.read(CONFIG, [f"fractions={fraction}"]).ablation_runs("demo")}
        for fraction in ("[100]", "[10]")
    }
    assert percents == {"[100]": {100}, "[10]": {10}}
    assert Plan.read(CONFIG, ["fractions=[50]"]).ablation_runs("demo") == []


def test_the_ablation_study_is_planned_with_every_setting_valid_and_every_run_in_its_own_place():
    planned = Plan.read(CONFIG)
    for scale in planned.scales():
        runs = planned.ablation_runs(scale)
        assert len({run.path for run in runs}) == len(runs)
        assert all(planned.run_settings(run).method_settings is not None for run in runs)
        assert {run.method for run in runs} <= {
            *planned.config.methods,
            *planned.ablations.variants,
            "full_finetuning_single_task",
            *LIBRARY,
        }
    titles = [variant.title for variant in planned.ablations.variants.values()]
    assert len({*titles, *(get_method(name).title for name in planned.config.methods)}) == len(titles) + len(planned.config.methods)
    assert planned.ablations.variants.keys() <= set(planned.ablations.names[100])
    # these are asked about at all fractions, the first of them for the protocol's endpoint
    for name in ("adapters_generated", "lora_generated", "full_finetuning_prefix"):
        assert {run.percent for run in planned.ablation_runs("demo") if run.method == name} == {10, 20, 100}
    # of the PEFT library a model for each task and one for all
    tasks = {
        name: {run.tasks for run in planned.ablation_runs("demo") if run.method == name}
        for own in LIBRARY
        for name in (own, f"{own}_all_tasks")
    }
    assert all(tasks[name] == set(planned.corpora) and tasks[f"{name}_all_tasks"] == {"all"} for name in LIBRARY)


def test_a_variant_has_a_row_of_parameters_and_a_column_of_scores(tmp_path):
    rows = {row.name: row for row in count(plan(), "paper", ROOT / "workflow/published/methods.csv", names=["wide", "hyperformer_pp"])}
    assert (rows["wide"].method, rows["wide"].trainable, rows["wide"].paper_total) == ("Wide", 6_783_912, "")
    named = {"method": "hyperformer_pp", "variant": {"name": "wide", "title": "Wide"}}
    paths = [
        write_run(tmp_path / "a", {"atis": right(0.5)}, method="hyperformer_pp"),
        write_run(tmp_path / "b", {"atis": right(0.7)}, **named),
    ]
    scores = Scores.read(paths)
    assert scores.methods == {"HyperFormer": "hyperformer_pp", "Wide": "wide"} and scores.trained("Wide")
    assert {row[2] for row in scores.rows} == {"hyperformer_pp", "wide"}

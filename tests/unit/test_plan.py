"""From configuration to runs."""

import shutil
from pathlib import Path

import pytest

from hyperloader.corpora.adding import add_corpus
from hyperloader.corpora.registry import VARIABLE, known_corpora, paper_corpora
from hyperloader.errors import CorpusError, SettingsError
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.methods.registry import methods
from hyperloader.planning.plan import Plan

CONFIG = Path(__file__).parents[2] / "config"
VALUES = {"corpora": list(known_corpora()), "methods": ["hyperformer_pp", "hyperloader"], "fractions": [10, 20, 100], "seeds": [42, 43]}


def plan(**changes):
    return Plan.of(VALUES | changes, CONFIG)


def test_runs_are_methods_times_fractions_times_seeds():
    runs = plan().runs("demo")
    assert len(runs) == len({run.path for run in runs}) == 2 * 3 * 2
    assert runs[0].path == "demo/runs/matched/hyperformer_pp/all/10/seed42"
    assert {run.percent for run in plan().runs("demo", [10, 20])} == {10, 20}


def test_a_single_task_method_has_a_run_per_corpus(monkeypatch):
    class Alone(HyperLoader):
        name, title, multitask = "alone", "Alone", False

    monkeypatch.setitem(methods(), "alone", Alone())
    runs = plan(methods=["alone"], corpora=["snips", "atis"], fractions=[2.5], seeds=[1]).runs("demo")
    assert [run.path for run in runs] == [f"demo/runs/matched/alone/{name}/2.5/seed1" for name in ("atis", "snips")]


def test_the_order_of_corpora_in_the_configuration_changes_nothing():
    one, other = (plan(corpora=names) for names in (["atis", "snips"], ["snips", "atis"]))
    assert one.runs("demo") == other.runs("demo")
    assert one.runs("demo")[0].path == "demo/runs/matched/hyperformer_pp/atis+snips/10/seed42"
    assert plan(corpora=list(reversed(known_corpora()))).runs("demo")[0].tasks == "all"


def test_method_settings_are_merged_from_the_general_to_the_special():
    def of(scale, **changes):
        planned = plan(methods=["hyperloader"], **changes)
        return planned.run_settings(planned.runs(scale)[0]).method_settings

    assert of("paper")["task_dim"] == 64  # default
    assert of("paper", recipe="paper")["task_dim"] == 512  # recipe over default
    assert of("demo")["task_dim"] == 16  # scale over recipe
    assert of("demo", settings={"hyperloader": {"task_dim": 9}})["task_dim"] == 9  # config over scale


def test_what_decides_a_training_is_merged(tmp_path):
    def of(method, scale="paper", recipe="matched"):
        planned = plan(methods=[method], recipe=recipe)
        return planned.run_settings(planned.runs(scale)[0]).training

    assert of("hyperloader").steps == 262144 and of("unipelt_t5").steps == 37449  # a seventh for one corpus
    assert of("unipelt_t5", "demo").steps == 72  # the scale's own
    hyperloader, former, unipelt = (of(method, recipe="authors") for method in ("hyperloader", "hyperformer_pp", "unipelt_bert"))
    assert (hyperloader.batch_size, hyperloader.selection) == (128, "last")
    assert (former.batch_size, former.selection, former.steps) == (32, "best", hyperloader.steps)
    assert (unipelt.batch_size, unipelt.epochs, unipelt.patience, unipelt.learning_rate) == (16, 50, 10, 5e-4)
    assert of("full_finetuning_single_task", recipe="authors").steps == round(65536 / 7)


def test_patience_with_the_last_weights_is_refused_where_all_is_merged():
    planned = plan(variants={"patient": {"method": "hyperloader", "title": "Patient", "training": {"patience": 3}}}, methods=["patient"])
    assert planned.run_settings(planned.runs("demo")[0]).training.patience == 3
    planned = plan(**planned.config.model_dump(exclude_unset=True) | {"recipe": "authors"})
    with pytest.raises(SettingsError, match="run demo/runs/authors/patient/.*patience would never end"):
        planned.run_settings(planned.runs("demo")[0])


def test_a_scale_changes_the_budget_of_the_recipe():
    planned = plan()
    demo, paper = (planned.run_settings(planned.runs(scale)[0]) for scale in ("demo", "paper"))
    assert (paper.training.steps, demo.training.steps) == (262144, planned.scale("demo").training.steps)
    assert demo.training.temperature == paper.training.temperature == 10
    assert demo.data["atis"] == "results/demo/data/atis" and demo.backbone == "results/demo/backbones/t5"


def test_settings_of_a_run_do_not_depend_on_other_runs():
    narrow, wide = plan(seeds=[42], fractions=[10]), plan()
    assert narrow.run_settings(narrow.runs("demo")[0]) == wide.run_settings(wide.runs("demo")[0])


def test_a_backbone_does_not_depend_on_the_chosen_corpora():
    assert plan(corpora=["atis"]).backbone_settings("mini", "t5") == plan().backbone_settings("mini", "t5")
    assert list(plan().backbone_settings("mini", "t5").data) == list(known_corpora())
    assert plan().backbone_settings("paper", "t5").data == {}


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"corpora": ["atsi"]}, CorpusError, "unknown corpus 'atsi'; did you mean atis"),
        ({"methods": ["hyperloder"]}, SettingsError, "unknown method 'hyperloder'; did you mean 'hyperloader'. known methods: hyperloader"),
        ({"settings": {"none": {}}}, SettingsError, "unknown method 'none'"),
        ({"seeds": [1, 1]}, SettingsError, "'seeds': names 1 twice"),
        ({"corpora": ["atis", "atis"]}, SettingsError, "'corpora': names atis twice"),
        ({"methods": ["lora", "ia3", "lora"]}, SettingsError, "'methods': names lora twice"),
        ({"fractions": [10, 20, 10.0]}, SettingsError, "'fractions': names 10.0 twice"),
        ({"new_tasks": ["atis", "atis"]}, SettingsError, "'new_tasks': names atis twice"),
        ({"recipe": "none"}, SettingsError, r"recipes/none\.yaml: no such file; known here: .*paper"),
    ],
)
def test_unknown_names_are_refused_at_once(change, error, message):
    with pytest.raises(error, match=message):
        plan(**change)


def test_seeds_are_those_of_the_scale_unless_the_configuration_names_some():
    paper, demo = (plan(seeds=None).runs(scale, [100]) for scale in ("paper", "demo"))
    assert [run.seed for run in paper] == [42, 1, 2, 3, 4] * 2 and [run.seed for run in demo] == [42, 43, 44] * 2
    assert [run.seed for run in plan(seeds=[7]).runs("paper", [100])] == [7] * 2


def test_as_many_draws_as_the_scale_has_seeds(tmp_path):
    three = plan(seeds=None, data_seeds=[1, 2, 3])
    assert [run.data_seed for run in three.runs("demo", [10])] == [1, 2, 3] * 2
    with pytest.raises(SettingsError, match="3 data seeds for 5 seeds"):
        three.runs("paper")
    shutil.copytree(CONFIG, tmp_path / "config")
    scale = tmp_path / "config/scales/demo.yaml"
    scale.write_text(scale.read_text().replace("seeds: [42, 43, 44]", "seeds: [42, 42]"))
    with pytest.raises(SettingsError, match="demo.yaml: 'seeds': names 42 twice"):
        Plan.of(VALUES | {"seeds": None}, tmp_path / "config").runs("demo")


def test_unknown_scales_settings_and_backbones_are_named(tmp_path):
    with pytest.raises(SettingsError, match="unknown scale 'dmo'; did you mean 'demo'.*known scales: demo, mini, paper"):
        plan().scale("dmo")
    shutil.copytree(CONFIG, tmp_path / "config")
    scale = tmp_path / "config/scales/small.yaml"
    scale.write_text("corpora: generated\nbackbones: {t5: {source: directory, path: here}}\n")
    with pytest.raises(SettingsError, match=r"small\.yaml: scale 'small' names no backbone 'bert'"):
        Plan.of(VALUES, tmp_path / "config").backbone_settings("small", "bert")
    planned = plan(settings={"hyperloader": {"lora_rnak": 4}})
    with pytest.raises(SettingsError, match=r"settings of method hyperloader: unknown key 'lora_rnak' \(did you mean 'lora_rank'\?\)"):
        planned.run_settings(planned.runs("demo")[-1])


@pytest.fixture
def an_eighth(tmp_path, monkeypatch):
    """A corpus of the user's own beside those of the paper."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "test.conll").write_text("a\tO\n\n" * 9)
    known_corpora.cache_clear()
    add_corpus("mine", tmp_path / "test.conll", tmp_path / "test.conll")
    known_corpora.cache_clear()
    yield "mine"
    monkeypatch.undo()
    known_corpora.cache_clear()


def test_an_eighth_corpus_renames_no_run_and_changes_no_backbone(an_eighth):
    seven = plan(methods=["hyperloader"], fractions=[100], seeds=[1], corpora=list(paper_corpora()))
    assert [run.tasks for run in seven.runs("mini")] == ["all"]
    more = plan(methods=["hyperloader"], fractions=[100], seeds=[1], corpora=[an_eighth, *paper_corpora()])
    assert [run.tasks for run in more.runs("mini")] == ["all+mine"]
    assert [run.tasks for run in plan(methods=["hyperloader"], fractions=[100], seeds=[1], corpora=[an_eighth]).runs("mini")] == ["mine"]
    for kind in ("t5", "bert"):
        assert more.backbone_settings("mini", kind) == seven.backbone_settings("mini", kind)
        assert an_eighth not in more.backbone_settings("mini", kind).data

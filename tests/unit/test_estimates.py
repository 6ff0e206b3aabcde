"""What a plan costs before it is run, and how many parameters each method has."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.errors import SettingsError
from hyperloader.methods.registry import methods
from hyperloader.models.backbones import open_backbone
from hyperloader.planning.estimates import REFERENCE, as_text, estimate, share
from hyperloader.planning.parameters import count
from hyperloader.planning.plan import Plan
from hyperloader.planning.trials import expected_config
from hyperloader.reports.tables.parameters import as_csv
from hyperloader.runs.records import TrainingRecord

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "workflow/published/methods.csv"


def plan(*changes):
    return Plan.read(ROOT / "config/config.yaml", ["seeds=[42]", *changes])


def test_counts_of_scale_paper_stand_beside_the_papers_brackets(tmp_path):
    rows = {
        row.name: row
        for row in count(plan(), "paper", PUBLISHED, str(tmp_path), names=[name for name, own in methods().items() if not own.library])
    }
    assert (rows["hyperdecoder"].total, rows["hyperdecoder"].trainable, rows["hyperdecoder"].live) == (239352376, 16448824, 15259192)
    # UniPELT-BERT without its head, whose size depends on the corpus
    assert {name: row.trainable for name, row in rows.items()} == {
        "hyperloader": 6784368,
        "full_finetuning": 222903552,
        "full_finetuning_single_task": 222903552,
        "hyperdecoder": 16448824,
        "hyperformer": 10289312,
        "hyperformer_pp": 5210992,
        "static_weights": 19409280,
        "unipelt_bert": 11083376,
        "unipelt_t5": 4462848,
    }
    assert (rows["unipelt_t5"].runs, rows["unipelt_t5"].paper_trainable, rows["hyperformer"].paper_total) == (7, "4.5M", "")
    # what one more corpus adds: a task embedding, a set of its own but for the 62 layer norms, a model of its own, or nothing
    one_more = {
        "hyperloader": 64,
        "hyperformer": 64,
        "hyperformer_pp": 64,
        "static_weights": (19409280 - 62 * 768) // 7,
        "hyperdecoder": 0,
        "full_finetuning": 0,
    }
    single_task = {name: row.trainable for name, row in rows.items() if row.runs == 7}
    assert {name: row.per_corpus for name, row in rows.items()} == one_more | single_task
    assert as_csv(list(rows.values())).splitlines()[0].startswith("method,backbone,runs,total,trainable,live,percent")
    text = {row.name: row for row in count(plan("recipe=paper"), "paper", PUBLISHED, str(tmp_path), names=["hyperloader"])}
    assert text["hyperloader"].trainable == 6902192


def test_hours_follow_from_the_speed(tmp_path):
    estimates = estimate(plan(), "paper", PUBLISHED, speed=4672, results=str(tmp_path))
    costs = {cost.method: cost for cost in estimates.rows}
    loader = costs["HyperLoader"]
    # 2^18 steps at 146 steps of 32 sentences a second are half an hour; three fractions
    assert loader.runs == 3 and loader.hours == pytest.approx(3 * 2**18 / 146 / 3600)
    assert loader.disk == 3 * 4 * 6784368
    # others' speeds follow from HyperLoader's
    assert costs["UniPELT-T5"].runs == 21 and costs["UniPELT-T5"].hours == pytest.approx(loader.hours / share("unipelt_t5"), rel=1e-3)
    assert share("hyperloader") == 1 != share("unipelt_t5") and "Nothing of these sizes" not in as_text(estimates)
    assert "in all" in as_text(estimates) and "hours with" not in as_text(estimates)


def test_without_a_speed_or_a_finished_run_large_models_have_reference_speeds(tmp_path):
    estimates = estimate(plan(), "paper", PUBLISHED, results=str(tmp_path))
    costs = {cost.method: cost for cost in estimates.rows}
    assert costs["HyperLoader"].hours == pytest.approx(3 * 2**18 * 32 / REFERENCE["hyperloader"] / 3600)
    assert len({cost.hours / (cost.runs * cost.sentences) for cost in estimates.rows}) == len(costs)
    assert "hours are those of one core of an AMD EPYC" in as_text(estimates) and "hours with" not in as_text(estimates)
    with pytest.raises(SettingsError, match="sizes of the backbone 't5' of scale 'mini' are not known yet; make it first"):
        list(count(plan(), "mini", PUBLISHED, str(tmp_path)))


def test_finished_runs_tell_how_long_all_of_it_takes(tmp_path):
    own = plan("methods=[hyperloader]", "fractions=[10,100]")
    run = own.runs("paper")[0]
    settings = own.run_settings(run, str(tmp_path))
    record = {"settings": settings.model_dump(mode="json"), "steps": settings.training.steps, "seconds": 7200.0, "curve": []}
    checksums = {"data": dict.fromkeys(settings.data, "as it was"), "backbone": None}
    TrainingRecord(**record, checksums=checksums).write(tmp_path / run.path / "run.json")
    estimates = estimate(own, "paper", PUBLISHED, results=str(tmp_path), cores=8)
    assert estimates.rows[0].hours == pytest.approx(4) and estimates.other_hours > 0
    total = (4 + estimates.other_hours) / 2
    assert as_text(estimates).splitlines()[-1].startswith(f"About {total:,.2f} hours with --cores 8, 2 jobs at a time")


def test_the_sizes_of_a_folder_are_in_its_config(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=2, vocab_size=500).save_pretrained(tmp_path / "mine")
    scale = {"corpora": "real", "backbones": {"t5": {"source": "directory", "path": str(tmp_path / "mine")}}}
    (tmp_path / "config/scales/own.yaml").write_text(yaml.safe_dump(scale))
    own = Plan.read(tmp_path / "config/config.yaml", ["seeds=[42]", "methods=[full_finetuning]", "corpora=[atis]", "fractions=[100]"])
    estimates = estimate(own, "own", PUBLISHED, results=str(tmp_path), cores=1)
    sizes = T5ForConditionalGeneration(T5Config.from_pretrained(tmp_path / "mine")).num_parameters()
    assert [(row.method, row.disk, row.by_reference) for row in estimates.rows] == [("Full fine-tuning", 4 * sizes, False)]


@pytest.mark.parametrize("scale", ["demo", pytest.param("mini", marks=pytest.mark.slow)])
def test_small_models_are_tried_out_before_there_is_anything(tmp_path, scale):
    # a T5's and a BERT's method, and a control, which takes no time
    small = plan("methods=[unipelt_bert,hyperloader,gazetteer]")
    estimates = estimate(small, scale, PUBLISHED, results=str(tmp_path), cores=1)
    assert [row.method for row in estimates.rows] == ["UniPELT-BERT", "HyperLoader", "T5, pre-training", "BERT, pre-training"]
    assert [row.runs for row in estimates.rows] == [21, 3, 1, 1]
    assert all(row.hours > 0 for row in estimates.rows) and estimates.other_hours > 0
    assert re.match(r"About [\d.]+ hours with --cores 1, one job at a time, on this machine", as_text(estimates).splitlines()[-1])


def test_the_size_of_a_vocabulary_is_known_before_it_is_made(place):
    assert expected_config("t5", plan().scale("demo").backbones["t5"]).vocab_size == open_backbone(place / "t5").config.vocab_size


def test_the_arithmetic_of_a_scale_is_planned_and_shown(tmp_path):
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    scale = config / "scales" / "paper.yaml"
    text = scale.read_text()
    scale.write_text(f"{text}training: {{precision: bf16, compile: true}}\n")
    fast = Plan.read(config / "config.yaml")
    training = fast.run_settings(fast.runs("paper")[0]).training
    assert training.precision == "bf16" and training.compile
    estimates = estimate(fast, "paper", PUBLISHED, speed=4672, results=str(tmp_path))
    assert {row.arithmetic for row in estimates.rows} == {"bf16, compiled"} and "bf16, compiled" in as_text(estimates)
    scale.write_text(f"{text}training: {{precision: fp16}}\n")
    with pytest.raises(
        SettingsError, match=f"{scale}: 'training.precision': T5's activations overflow in fp16; use bf16".replace("T5", "t5")
    ):
        Plan.read(config / "config.yaml").scale("paper")

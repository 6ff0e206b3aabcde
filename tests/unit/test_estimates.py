"""What a plan costs before it is run, and how many parameters each method has."""

from pathlib import Path

import pytest

from hyperloader.errors import SettingsError
from hyperloader.planning.estimates import as_text, estimate
from hyperloader.planning.parameters import count
from hyperloader.planning.plan import Plan
from hyperloader.reports.tables.parameters import as_csv

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "workflow/published/methods.csv"


def plan(*changes):
    return Plan.read(ROOT / "config/config.yaml", changes)


def test_counts_of_scale_paper_stand_beside_the_papers_brackets(tmp_path):
    rows = {row.name: row for row in count(plan(), "paper", PUBLISHED, str(tmp_path))}
    assert (rows["hyperdecoder"].total, rows["hyperdecoder"].trainable, rows["hyperdecoder"].live) == (239352376, 16448824, 15259192)
    # UniPELT-BERT without its head, whose size depends on the corpus
    assert {name: row.trainable for name, row in rows.items()} == {
        "hyperloader": 6784368,
        "full_finetuning": 222903552,
        "full_finetuning_single_task": 222903552,
        "hyperdecoder": 16448824,
        "hyperformer": 10289312,
        "hyperformer_pp": 5210992,
        "unipelt_bert": 11083376,
        "unipelt_t5": 4462848,
    }
    assert (rows["unipelt_t5"].runs, rows["unipelt_t5"].paper_trainable, rows["hyperformer"].paper_total) == (7, "4.5M", "")
    assert as_csv(list(rows.values())).splitlines()[0].startswith("method,backbone,runs,total,trainable,live,percent")
    text = {row.name: row for row in count(plan("recipe=paper"), "paper", PUBLISHED, str(tmp_path))}
    assert text["hyperloader"].trainable == 6902192


def test_hours_follow_from_the_speed(tmp_path):
    costs = {cost.method: cost for cost in estimate(plan(), "paper", PUBLISHED, speed=4672, results=str(tmp_path))}
    loader = costs["HyperLoader"]
    # 2^18 steps at 146 steps of 32 sentences a second are half an hour; three fractions
    assert loader.runs == 3 and loader.hours == pytest.approx(3 * 2**18 / 146 / 3600)
    assert loader.disk == 3 * 4 * 6784368
    assert costs["UniPELT-T5"].runs == 21 and costs["UniPELT-T5"].hours == pytest.approx(loader.hours, rel=1e-3)
    assert "in all" in as_text(list(costs.values()))


def test_without_a_speed_or_a_finished_run_it_says_what_to_do(tmp_path):
    with pytest.raises(SettingsError, match="no run of unipelt_bert at scale paper has finished; give a --speed"):
        list(estimate(plan(), "paper", PUBLISHED, results=str(tmp_path)))
    with pytest.raises(SettingsError, match="sizes of the backbone 't5' of scale 'mini' are not known yet; make it first"):
        list(count(plan(), "mini", PUBLISHED, str(tmp_path)))

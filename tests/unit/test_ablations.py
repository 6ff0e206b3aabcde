"""The ablation table and the figure of costs, from made-up runs."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_runs import right, write_run
from typer.testing import CliRunner

from hyperloader.cli.main import app
from hyperloader.files import write_json
from hyperloader.reports.figures.pareto import front
from hyperloader.runs.records import TrainingRecord

STUDY = {
    "fractions": [100],
    "questions": [
        {"question": "Is more better?", "against": "hyperloader", "methods": ["wide", "alone", "never_run"]},
        {"question": "Is nothing better?", "against": "never_run", "methods": ["wide"]},
    ],
}
VARIANTS = {"wide": {"name": "wide", "title": "Wide"}, "alone": {"name": "alone", "title": "Alone"}}
CORPORA = ("atis", "snips")


def write(folder, name, corpora, f1s, seed, trainable, seconds):
    """A scored and trained run."""
    variant = {"variant": VARIANTS[name]} if name in VARIANTS else {}
    place = folder / name / "+".join(corpora) / str(seed)
    write_run(place, {corpus: right(f1) for corpus, f1 in zip(corpora, f1s, strict=True)}, seed=seed, recipe="matched", **variant)
    settings = {"scale": "demo", "recipe": "matched", "method": "hyperloader", "data": dict.fromkeys(corpora, "x"), "percent": 100.0}
    settings |= {"seed": seed, "training": {"batch_size": 4}} | variant
    record = {"parameters": {"trainable": trainable}, "steps": 1, "curve": [], "seconds": seconds}
    TrainingRecord(settings=settings, **record, checksums={"backbone": None, "data": {}}).write(place / "run.json")
    return str(place)


def table(tmp_path, seeds, study=STUDY):
    runs = []
    for number, seed in enumerate(seeds):
        noise = 0.02 * number
        runs.append(write(tmp_path, "hyperloader", CORPORA, (0.5 + noise, 0.6), seed, 100, 10.0))
        runs.append(write(tmp_path, "wide", CORPORA, (0.9 + noise, 0.8), seed, 300, 30.0 + number))
        runs += [write(tmp_path, "alone", (name,), (0.5 + noise if name == "atis" else 0.6,), seed, 70, 4.0) for name in CORPORA]
    return compared(tmp_path, runs, study)


def compared(tmp_path, runs, study):
    write_json(tmp_path / "ablations.yaml", study)
    answer = CliRunner().invoke(app, ["ablations", *runs, "--study", str(tmp_path / "ablations.yaml"), "--output", str(tmp_path / "out")])
    assert answer.exit_code == 0, answer.output
    return {row["method"]: row for row in csv.DictReader((tmp_path / "out/ablations.csv").open())}


def test_rows_are_scores_costs_and_verdicts(tmp_path):
    rows = table(tmp_path, [1, 2, 3])
    assert list(rows) == ["hyperloader", "wide", "alone"] and {row["question"] for row in rows.values()} == {"Is more better?"}
    assert float(rows["hyperloader"]["f1"]) == pytest.approx(0.56) and float(rows["wide"]["f1"]) == pytest.approx(0.86)
    assert float(rows["wide"]["difference"]) == pytest.approx(0.30)
    for row in rows.values():
        assert float(row["ci_low"]) <= float(row["f1"]) <= float(row["ci_high"])
    # of all models together, a mean over seeds
    assert [(row["trainable"], row["seconds"]) for row in rows.values()] == [("100", "10.0"), ("300", "31.0"), ("140", "8.0")]
    assert [row["verdict"] for row in rows.values()] == ["", "better", "equivalent"]
    assert [row["against"] for row in rows.values()] == ["", "HyperLoader", "HyperLoader"]
    text = (tmp_path / "out/ablations.md").read_text()
    assert "3 seeds (1, 2, 3)" in text and "That HyperLoader is above each of these at 100 %: contradicted (p 0.0000)." in text
    for suffix in ("html", "tex"):
        assert "Is more better?" in (tmp_path / f"out/ablations.{suffix}").read_text()


def test_a_row_has_its_deviation_and_an_interval_within_what_f1_can_be(tmp_path):
    runs = [
        write(tmp_path, "hyperloader", CORPORA, f1s, seed, 100, 10.0) for seed, f1s in ((1, (0.2, 0.4)), (2, (0.6, 0.8)), (3, (1.0, 0.9)))
    ]
    runs.append(write(tmp_path, "wide", CORPORA, (0.5, 0.5), 1, 300, 30.0))
    rows = compared(tmp_path, runs, STUDY)
    own = rows["hyperloader"]
    assert (own["sd"], own["ci_low"], own["ci_high"]) == (f"{np.std([0.3, 0.7, 0.95], ddof=1):.4f}", "0.0000", "1.0000")
    assert rows["wide"]["sd"] == "" and rows["wide"]["verdict"] == "one seed"
    text = (tmp_path / "out/ablations.md").read_text()
    assert f"0.6500 ± {own['sd']}" in text and "1 to 3 of the seeds 1, 2, 3 in each row" in text
    with (tmp_path / "out/pareto.csv").open() as file:
        assert [(row["ci_low"], row["ci_high"]) for row in csv.DictReader(file)][0] == ("0.0000", "1.0000")


def test_one_seed_decides_nothing(tmp_path):
    rows = table(tmp_path, [7])
    assert rows["wide"]["verdict"] == "one seed" and rows["wide"]["p"] == rows["wide"]["p_holm"] == ""
    text = (tmp_path / "out/ablations.md").read_text()
    assert "one seed (7)" in text and "That HyperLoader is above each of these at 100 %: one seed." in text


def test_the_sentences_below_the_table_are_a_family(tmp_path):
    said = {}
    for number in (1, 3):
        questions = [{"question": f"Question {own}?", "against": "hyperloader", "methods": ["alone"]} for own in range(number)]
        runs = []
        for seed, ours, theirs in ((1, 0.50, 0.60), (2, 0.52, 0.59), (3, 0.56, 0.63)):
            runs.append(write(tmp_path, "hyperloader", CORPORA, (ours, 0.6), seed, 100, 10.0))
            runs.append(write(tmp_path, "alone", CORPORA, (theirs, 0.6), seed, 70, 4.0))
        compared(tmp_path, runs, {"fractions": [100], "questions": questions})
        said[number] = re.findall(r"100 %: (\w+) \(p ([\d.]+)\)\.", (tmp_path / "out/ablations.md").read_text())
    [(alone, p)], together = said[1], said[3]
    assert alone == "contradicted" and [verdict for verdict, _ in together] == ["inconclusive"] * 3
    assert [float(own) for _, own in together] == pytest.approx([3 * float(p)] * 3, abs=2e-4)


def test_nothing_is_said_of_what_shares_no_seed(tmp_path):
    runs = [write(tmp_path, name, CORPORA, (0.5, 0.6), seed, 100, 10.0) for name, seed in (("hyperloader", 1), ("alone", 2))]
    compared(tmp_path, runs, STUDY)
    assert "is above each of these" not in (tmp_path / "out/ablations.md").read_text()


def test_the_figure_names_what_nothing_cheaper_equals(tmp_path):
    table(tmp_path, [1])
    points = {row["method"]: row for row in csv.DictReader((tmp_path / "out/pareto.csv").open())}
    assert {name: (row["best_by_trainable"], row["best_by_seconds"]) for name, row in points.items()} == {
        "hyperloader": ("yes", "no"),
        "wide": ("yes", "yes"),
        "alone": ("no", "yes"),
    }
    drawn = (tmp_path / "out/pareto.svg").read_text()
    assert all(f">{title}<" in drawn for title in ("HyperLoader", "Wide", "Alone"))
    assert ">scale demo, recipe matched, decoding free, one seed (1)<" in drawn


def test_the_figure_names_hyperloader_wherever_it_is(tmp_path):
    runs = [write(tmp_path, "hyperloader", CORPORA, (0.5, 0.6), 1, 100, 10.0), write(tmp_path, "wide", CORPORA, (0.8, 0.9), 1, 50, 5.0)]
    runs.append(write(tmp_path, "alone", CORPORA, (0.4, 0.5), 1, 60, 6.0))
    compared(tmp_path, runs, STUDY)
    drawn = (tmp_path / "out/pareto.svg").read_text()
    assert ">HyperLoader<" in drawn and ">Wide<" in drawn and ">Alone<" not in drawn


def test_nothing_run_makes_an_empty_table_and_figure(tmp_path):
    write_json(tmp_path / "ablations.yaml", json.loads(json.dumps(STUDY)))
    answer = CliRunner().invoke(app, ["ablations", "--study", str(tmp_path / "ablations.yaml"), "--output", str(tmp_path)])
    assert answer.exit_code == 0 and "nothing was run" in (tmp_path / "ablations.md").read_text()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_every_arm_is_on_the_front_or_has_one_there_that_is_as_good_and_as_cheap(points):
    arms = [SimpleNamespace(fraction=100, trainable=cost, own=SimpleNamespace(difference=f1)) for cost, f1 in points]
    best = front(arms, "trainable")
    for arm in arms:
        assert any(own.trainable <= arm.trainable and own.own.difference >= arm.own.difference for own in best)
    assert np.all(np.diff([arm.own.difference for arm in best]) > 0) and np.all(np.diff([arm.trainable for arm in best]) > 0)

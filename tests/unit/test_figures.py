"""The figures, and the numbers behind them, from made-up runs whose truth is known."""

import csv
import hashlib
import json
import re
from math import hypot, sqrt
from pathlib import Path
from statistics import mean, stdev

import pytest
from made_up_runs import right, write_run

from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import RunError, UserError
from hyperloader.reports.figures.curves import write_curves
from hyperloader.reports.figures.figure2 import write_figure2
from hyperloader.reports.figures.labels import write_labels
from hyperloader.reports.tables.score_page import write_score_page
from hyperloader.reports.tables.scores import write_scores
from hyperloader.runs.records import SpanScore, TrainingRecord
from hyperloader.runs.run import Run

PUBLISHED = Path(__file__).parents[2] / "workflow/published"
PARAMETERS = "method,runs,percent\nHyperLoader,1,2.95\nUniPELT-T5,7,1.96\nFull fine-tuning,1,100\n"


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def texts(svg):
    """What stands in a figure: words, in the order they are drawn."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text(encoding="utf-8"))


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def scored(folder, **methods):
    """A run for each method with the same F1 on these corpora; `{method: (F1, corpora, changes)}`."""
    for number, (method, (f1, corpora, changes)) in enumerate(methods.items()):
        write_run(folder / str(number), {name: right(f1) for name in corpora}, method=method, **changes)
    return [folder / str(number) for number in range(len(methods))]


@pytest.fixture
def figure2(tmp_path):
    """Draw figure 2 of some runs; returns its points by (fraction, method, source)."""

    def draw(runs):
        write_scores([run / "scores.json" for run in runs], tmp_path / "scores.csv")
        (tmp_path / "parameters.csv").write_text(PARAMETERS)
        output = tmp_path / "figure2"
        write_figure2(tmp_path / "scores.csv", tmp_path / "parameters.csv", PUBLISHED, output)
        points = {(row["fraction"], row["method"], row["source"]): row for row in rows(output.with_suffix(".csv"))}
        return points, texts(output.with_suffix(".svg"))

    return draw


def test_figure2_averages_ours_beside_the_papers(figure2, tmp_path):
    everywhere, none = list(known_corpora()), {}
    runs = scored(
        tmp_path,
        hyperloader=(0.8, everywhere, none),
        unipelt_t5=(0.6, everywhere, none),
        gazetteer=(0.5, everywhere, {"align": "none"}),
        gold_oracle=(1.0, everywhere, none),
        hyperdecoder=(0.9, everywhere[1:], none),
    )
    points, words = figure2(runs)
    ours = points["100", "HyperLoader", "ours"]
    assert (ours["trainable"], ours["f1"], ours["single_task"]) == ("2.9500", "0.8000", "no")
    # each corpus' interval in the made-up scores is 0.1 to 0.9
    assert float(ours["low"]) == pytest.approx(0.8 - sqrt(7) * 0.7 / 7, abs=1e-4)
    assert float(ours["high"]) == pytest.approx(0.8 + sqrt(7) * 0.1 / 7, abs=1e-4)
    assert points["100", "UniPELT-T5", "ours"]["single_task"] == "yes"
    assert points["100", "Gazetteer", "ours"]["trainable"] == ""
    assert ("100", "Hyperdecoder", "ours") not in points, "one corpus is missing"
    paper = points["100", "HyperLoader", "paper"]
    assert (paper["f1"], paper["trainable"]) == ("0.8811", f"{600 / 229:.4f}")
    assert {"UniPELT-T5 (single-task)", "HyperLoader", "Gazetteer"} <= set(words) and "Gold oracle" not in words
    assert words.count("not run here") == 2, "10 % and 20 %"


def test_figure2_averages_the_papers_over_the_same_corpora(figure2, tmp_path):
    points, words = figure2(scored(tmp_path, hyperloader=(0.8, ["atis", "snips"], {})))
    assert points["10", "HyperLoader", "paper"]["f1"] == f"{(0.9172 + 0.8970) / 2:.4f}"
    assert any("averages over ATIS, SNIPS" in word for word in words)


def test_figure2_takes_the_mean_over_seeds(figure2, tmp_path):
    runs = [scored(tmp_path / str(seed), hyperloader=(f1, known_corpora(), {"seed": seed}))[0] for seed, f1 in ((1, 0.7), (2, 0.8))]
    point = figure2(runs)[0]["100", "HyperLoader", "ours"]
    assert (point["f1"], point["sd"], point["seeds"]) == ("0.7500", f"{0.1 / sqrt(2):.4f}", "2")


@pytest.mark.parametrize("seeds", [2, 3])
def test_figure2s_interval_covers_seeds_where_there_are_enough(figure2, tmp_path, seeds):
    f1s = [0.70, 0.72, 0.74][:seeds]
    runs = [scored(tmp_path / str(seed), hyperloader=(f1, known_corpora(), {"seed": seed}))[0] for seed, f1 in enumerate(f1s)]
    points, words = figure2(runs)
    point, own = points["100", "HyperLoader", "ours"], mean(f1s)
    # each corpus' interval in the made-up scores is 0.1 to 0.9; of three seeds Student's quantile is 4.3027
    test = [mean(f1 - 0.1 for f1 in f1s) / sqrt(7), mean(0.9 - f1 for f1 in f1s) / sqrt(7)]
    seeded = 4.3027 * stdev(f1s) / sqrt(3) if seeds == 3 else 0.0
    assert float(point["low"]) == pytest.approx(own - hypot(test[0], seeded), abs=1e-4)
    assert float(point["high"]) == pytest.approx(own + hypot(test[1], seeded), abs=1e-4)
    assert any(f"{seeds} seeds ({', '.join(map(str, range(seeds)))})" in word for word in words)


def test_figure2s_interval_ends_where_f1_does(figure2, tmp_path):
    runs = [
        scored(tmp_path / str(seed), hyperloader=(f1, known_corpora(), {"seed": seed}))[0] for seed, f1 in ((1, 0.2), (2, 0.6), (3, 1.0))
    ]
    point = figure2(runs)[0]["100", "HyperLoader", "ours"]
    assert (point["low"], point["high"]) == ("0.0000", "1.0000")


def with_labels(run, labels):
    """Give all corpora of a run these slot types: F1 and gold spans."""
    scores = json.loads((run / "scores.json").read_text())
    for entry in scores["corpora"].values():
        entry["labels"] = {label: SpanScore.of(gold, gold, 0).model_dump() | {"f1": f1} for label, (f1, gold) in labels.items()}
    (run / "scores.json").write_text(json.dumps(scores))
    return run


def test_labels_shows_the_most_frequent_types(tmp_path):
    loader, control, part = scored(
        tmp_path,
        hyperloader=(0.8, ["atis"], {}),
        gold_oracle=(1.0, ["atis"], {}),
        unipelt_t5=(0.1, ["atis"], {"percent": 10.0}),
    )
    with_labels(loader, {f"type{gold}": (0.5, gold) for gold in range(15)})
    with_labels(control, {f"type{gold}": (1.0, gold) for gold in range(15)})
    write_labels([loader, control, part], tmp_path / "labels")
    table = rows(tmp_path / "labels.csv")
    assert [row["label"] for row in table if row["method"] == "HyperLoader"] == [f"type{gold}" for gold in range(14, 0, -1)]
    assert {row["method"] for row in table} == {"HyperLoader", "Gold oracle"}
    words = texts(tmp_path / "labels.svg")
    assert "ATIS, 12 of 14 slot types" in words and "HyperLoader" in words and words.count("50") == 12
    assert any(word.split() == ["type3", "3"] for word in words) and not any(word.startswith("type2 ") for word in words)
    assert "Gold oracle" not in words and "UniPELT-T5" not in words
    assert "scale demo, recipe paper, decoding free, one seed (42)" in words


def record(run, method, corpora, losses, kept, percent=100.0):
    """A run's `run.json` with these training losses; validation losses are 1 more."""
    run.mkdir(parents=True, exist_ok=True)
    settings = {"scale": "demo", "recipe": "paper", "method": method, "percent": percent, "seed": 1, "data": dict.fromkeys(corpora, "")}
    settings |= {"training": {"batch_size": 32}}
    curve = [{"step": 10 * n, "loss": loss, "validation_loss": loss + 1} for n, loss in enumerate(losses, 1)]
    checksums = {"backbone": None, "data": {}}
    record = {"settings": settings, "steps": 10 * len(losses), "curve": curve, "best_step": kept, "checksums": checksums}
    TrainingRecord(**record).write(run / "run.json")
    return run


def test_trainings_are_listed(tmp_path, printed):
    runs = [
        record(tmp_path / "a", "hyperloader", known_corpora(), [3, 2, 1.5], 20),
        record(tmp_path / "b", "unipelt_bert", ["snips"], [0.5], 10, percent=10.0),
        record(tmp_path / "c", "gazetteer", known_corpora(), [], 0),
    ]
    printed("trainings", *runs, "--output", tmp_path / "trainings.csv")
    table = rows(tmp_path / "trainings.csv")
    assert [(row["title"], row["corpora"], row["percent"], row["batch_size"], row["best_step"]) for row in table] == [
        ("HyperLoader", " ".join(known_corpora()), "100", "32", "20"),
        ("UniPELT-BERT", "snips", "10", "32", "10"),
        ("Gazetteer", " ".join(known_corpora()), "100", "", "0"),
    ]
    assert [row["validation_loss"] for row in table] == ["2.5000", "1.5000", ""]


def test_curves_holds_every_loss(tmp_path):
    runs = [
        record(tmp_path / "a", "hyperloader", known_corpora(), [3, 2, 1.5], 20),
        record(tmp_path / "b", "unipelt_bert", ["snips"], [0.5], 10, percent=10.0),
        record(tmp_path / "c", "gazetteer", known_corpora(), [], 0),
    ]
    write_curves(runs, tmp_path / "curves")
    table = rows(tmp_path / "curves.csv")
    assert [(row["method"], row["corpora"], row["step"], row["kept"]) for row in table] == [
        ("HyperLoader", "all", "10", "no"),
        ("HyperLoader", "all", "20", "yes"),
        ("HyperLoader", "all", "30", "no"),
        ("UniPELT-BERT", "snips", "10", "yes"),
    ]
    assert (table[1]["loss"], table[1]["validation_loss"]) == ("2", "3")
    words = texts(tmp_path / "curves.svg")
    assert {"UniPELT-BERT", "10 % of the training data", "100 % of the training data"} <= set(words) and words.count("not run") == 2


def test_figures_of_nothing_say_so(figure2, tmp_path):
    points, words = figure2([])
    assert {source for _, _, source in points} == {"paper"} and "nothing was run" in words
    write_labels([], tmp_path / "labels")
    write_curves([], tmp_path / "curves")
    assert texts(tmp_path / "labels.svg") == ["no run on 100 % of the training data"]
    assert texts(tmp_path / "curves.svg") == ["no run has a loss"]


def test_figures_are_the_same_bytes_each_time(figure2, tmp_path):
    (run,) = scored(tmp_path, hyperloader=(0.8, known_corpora(), {}))
    with_labels(record(run, "hyperloader", known_corpora(), [3, 2], 20), {"city": (0.5, 3)})
    both = []
    for name in ("first", "second"):
        figure2([run])
        (tmp_path / name).mkdir()
        write_labels([run], tmp_path / name / "labels")
        write_curves([run], tmp_path / name / "curves")
        for path in tmp_path.glob("figure2.*"):
            path.rename(tmp_path / name / path.name)
        both.append(digests(tmp_path / name))
    assert both[0] == both[1] and len(both[0]) == 9


def test_no_text_is_too_small_to_read(figure2, tmp_path):
    figure2(scored(tmp_path, hyperloader=(0.8, known_corpora(), {})))
    sizes = re.findall(r"font(?:-size)?: ([\d.]+)px", (tmp_path / "figure2.svg").read_text())
    assert sizes and min(map(float, sizes)) >= 7


@pytest.mark.parametrize("write, file", [(write_labels, "scores.json"), (write_curves, "run.json"), (write_score_page, "scores.json")])
def test_a_damaged_run_is_named(write, file, tmp_path):
    with pytest.raises(UserError, match=file):
        write([tmp_path], tmp_path / "out")
    (tmp_path / file).write_text('{"format_version": 1, "percent": 100, "method": "hyperloader", "settings": []}')
    with pytest.raises(RunError, match=f"{file}: not the .* again"):
        write([tmp_path], tmp_path / "out")


def test_a_score_leads_to_its_run(tmp_path, monkeypatch):
    run = tmp_path / "results/demo/runs/paper/unipelt_t5/atis/10/seed1"
    for name in ("settings.json", "predictions/atis.jsonl", "../../../each/10/seed1/logs/train.log"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("")
    write_run(run, {"atis": right(0.5)}, method="unipelt_t5", percent=10.0, seed=1)
    page = tmp_path / "results/demo/scores.html"
    write_score_page([run], page)
    assert "One seed (1). Micro F1" in page.read_text()
    html = page.read_text().partition("<table")[2].partition("</table>")[0]
    links = dict(re.findall(r'<a href="([^"]*)">([^<]*)</a>', html))
    assert set(links.values()) == {"settings", "scores", "predictions", "train log"}
    assert all((page.parent / address).is_file() for address in links)
    monkeypatch.chdir(run.parent)
    write_score_page([run.name], "page.html")
    near = re.findall(r'<a href="([^"]*)">', Path("page.html").read_text().partition("<table")[2].partition("</table>")[0])
    assert len(near) == len(links) and all(Path(address).is_file() for address in near)
    assert not Run("/run").log("train").exists()
    assert ">0.5000</span>" in html and "f1:micro|align:sentinel" in html and "http" not in html

"""Tables from made-up scores, and the published numbers themselves."""

import csv
import json
import re
from pathlib import Path
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis.strategies import floats, sampled_from
from made_up_runs import right, write_run

from hyperloader.corpora.registry import get_corpus, known_corpora, paper_corpora
from hyperloader.errors import RunError, UserError
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.methods.registry import methods
from hyperloader.reports.tables.results import write_table
from hyperloader.reports.tables.scores import TIDY, write_scores
from hyperloader.reports.tables.sheet import Sheet, decimals

PUBLISHED = Path(__file__).parents[2] / "workflow" / "published"
TITLES = ["UniPELT-BERT", "UniPELT-T5", "HyperFormer", "HyperLoader", "Hyperdecoder"]
DATASETS = [corpus.title for corpus in known_corpora().values()]


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def score(tmp_path):
    """Write a scored run: F1 = `f1` for each of the corpora."""

    def write(f1=0.5, corpora=None, **changes):
        scored = {name: right(f1) for name in corpora or paper_corpora()}
        return write_run(tmp_path / f"run{len(list(tmp_path.iterdir()))}", scored, **changes)

    return write


@pytest.fixture
def table(tmp_path):
    def make(number, scores):
        output = tmp_path / "out" / f"table{number}.csv"
        write_table(number, scores, PUBLISHED / f"table{number}.csv", output)
        return {(row["fraction"], row["dataset"]): row for row in rows(output)}, output.with_suffix(".md").read_text(encoding="utf-8")

    return make


def test_layout_is_the_papers(table, score):
    cells, markdown = table(3, [score(0.88), score(0.5, method="hyperformer_pp")])
    assert list(cells) == [("100", name) for name in (*DATASETS, "Average")]
    columns = [f"{title}{part}" for title in TITLES for part in ("", " (by order)", " (paper)", " (difference)")]
    assert list(cells["100", "ATIS"]) == ["fraction", "dataset", *columns, "best", "best (paper)"]
    atis = cells["100", "ATIS"]
    assert (atis["HyperLoader"], atis["HyperLoader (paper)"], atis["HyperLoader (difference)"]) == ("0.8800", "0.9599", "-0.0799")
    assert cells["100", "Average"]["HyperLoader (difference)"] == "-0.0011"
    assert atis["Hyperdecoder"] == atis["Hyperdecoder (difference)"] == "" and atis["Hyperdecoder (paper)"] == "0.9519"
    assert re.search(r"\| 100 % +\| ATIS +\| ours +\|.*\*\*0.8800\*\*", markdown) and "0.9599" in markdown
    assert "Not run: UniPELT-BERT, UniPELT-T5, Hyperdecoder.\n" in markdown
    for word in (
        "Table 3",
        "scale demo",
        "recipe paper",
        "one seed (42), which decides nothing about methods",
        "decoding free",
        "aligned by sentinel",
    ):
        assert word in markdown


def test_table_4_has_two_blocks(table, score):
    cells, _ = table(4, [score(0.1, percent=10), score(0.2, percent=20), score(0.9, percent=100)])
    assert list(cells) == [(fraction, name) for fraction in ("10", "20") for name in (*DATASETS, "Average")]
    assert (cells["10", "mTOD"]["HyperLoader"], cells["20", "mTOD"]["HyperLoader"]) == ("0.1000", "0.2000")


def test_several_seeds_become_mean_and_standard_deviation(table, score):
    f1s = [0.4, 0.5, 0.7]
    cells, markdown = table(3, [score(f1, seed=seed) for seed, f1 in enumerate(f1s)])
    for name in ("ATIS", "Average"):
        assert cells["100", name]["HyperLoader"] == f"{mean(f1s):.4f}"
        assert cells["100", name]["HyperLoader (sd)"] == f"{stdev(f1s):.4f}"
    assert "mean ± standard deviation over 3 seeds (0, 1, 2)" in markdown


def test_single_task_runs_are_merged(table, score):
    cells, _ = table(3, [score(0.1 * index, corpora=[name]) for index, name in enumerate(known_corpora())])
    assert [cells["100", name]["HyperLoader"] for name in DATASETS] == [f"{0.1 * index:.4f}" for index in range(7)]
    assert cells["100", "Average"]["HyperLoader"] == "0.3000"


def test_missing_corpora_stay_empty_are_listed_and_prevent_an_average(table, score):
    cells, markdown = table(3, [score(corpora=["atis", "snips"])])
    assert [name for (_, name), row in cells.items() if row["HyperLoader"]] == ["ATIS", "SNIPS"]
    assert cells["100", "Average"]["HyperLoader"] == cells["100", "Average"]["HyperLoader (difference)"] == ""
    assert "HyperLoader (100 %: MovieTrivia, Movie, Restaurant, mTOP, mTOD)" in markdown


def test_a_missing_seed_is_listed(table, score):
    cells, markdown = table(3, [score(0.4, seed=1), score(0.6, seed=2), score(0.5, corpora=["atis"], method="hyperformer_pp", seed=1)])
    assert cells["100", "ATIS"]["HyperFormer"] == "0.5000" and cells["100", "ATIS"]["HyperFormer (sd)"] == ""
    assert "HyperFormer (100 %: MovieTrivia, Movie, Restaurant, ATIS with seed 2, SNIPS, mTOP, mTOD)" in markdown


def test_a_method_that_the_paper_does_not_have_comes_last(table, score, monkeypatch):
    class Mine(HyperLoader):
        name, title = "mine", "Mine"

    monkeypatch.setitem(methods(), "mine", Mine())
    cells, _ = table(3, [score(method="mine")])
    assert list(cells["100", "ATIS"])[-6:-2] == ["Mine", "Mine (by order)", "Mine (paper)", "Mine (difference)"]
    assert (cells["100", "ATIS"]["Mine"], cells["100", "ATIS"]["Mine (paper)"]) == ("0.5000", "")


def test_without_scores_only_the_papers_numbers_are_there(table):
    cells, markdown = table(3, [])
    assert not any(row[title] for row in cells.values() for title in TITLES)
    assert f"Not run: {', '.join(TITLES)}." in markdown and "nothing was run" in markdown


@pytest.mark.parametrize("change", [{"scale": "mini"}, {"recipe": "other"}, {"decoding": "constrained"}])
def test_scores_of_different_kinds_do_not_share_a_table(table, score, change):
    (key,) = change
    with pytest.raises(RunError, match=f"scores.json: .*{key} {change[key]}.* in a table of .*"):
        table(3, [score(), score(**change)])


def test_two_scores_of_one_cell_are_refused(table, score):
    with pytest.raises(RunError, match="a second score of HyperLoader on MovieTrivia at 100 % with seed 42"):
        table(3, [score(), score()])


def test_incomplete_scores_are_refused(table, tmp_path):
    some = {"format_version": 1, "scale": "demo", "recipe": "paper", "decoding": "free", "method": "hyperloader", "corpora": {"atis": {}}}
    for text in ("{}", "[]", json.dumps(some)):
        (tmp_path / "scores.json").write_text(text)
        with pytest.raises(RunError, match=r"scores.json: not the scores of a run.*; score this run again"):
            table(3, [tmp_path / "scores.json"])


@pytest.mark.parametrize("number, fractions", [(3, ["100"]), (4, ["10", "20"])])
def test_published_averages_are_those_of_the_published_rows(number, fractions):
    published = rows(PUBLISHED / f"table{number}.csv")
    assert [(row["fraction"], row["dataset"]) for row in published] == [(f, name) for f in fractions for name in (*DATASETS, "Average")]
    assert list(published[0])[2:] == TITLES
    for fraction in fractions:
        block = {row["dataset"]: row for row in published if row["fraction"] == fraction}
        for title in TITLES:
            # the paper rounds some averages and cuts others
            assert mean(float(block[name][title]) for name in DATASETS) == pytest.approx(float(block["Average"][title]), abs=1e-4)


def test_published_averages_are_those_that_the_text_names():
    full, low = rows(PUBLISHED / "table3.csv")[-1], rows(PUBLISHED / "table4.csv")[7]
    assert [full[title] for title in TITLES] == ["0.8537", "0.8740", "0.8795", "0.8811", "0.8709"]
    # the text has 0.8161 for Hyperdecoder, its table 0.8162
    assert [low[title] for title in TITLES] == ["0.6795", "0.8117", "0.8262", "0.8331", "0.8162"]


def test_published_methods_and_corpora_are_complete():
    assert [row["title"] for row in rows(PUBLISHED / "methods.csv")] == TITLES
    # the size of the training data at 100 %
    assert sum(get_corpus(name).paper.train for name in paper_corpora()) == 86475


def test_the_best_of_a_row_is_bold_and_ties_are_marked(table, score):
    runs = [score(0.5), score(0.5, method="hyperformer_pp"), score(0.4, method="unipelt_t5"), score(1.0, method="gold_oracle")]
    cells, markdown = table(3, runs)
    atis = cells["100", "ATIS"]
    # a control is no candidate
    assert (atis["best"], atis["best (paper)"]) == ("HyperFormer = HyperLoader", "UniPELT-T5")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines()]
    place = next(number for number, line in enumerate(lines) if "ATIS" in line)
    assert lines[place : place + 2] == [
        ["100 %", "ATIS", "ours", "", "0.4000", "**0.5000=**", "**0.5000=**", "", "1.0000"],
        ["", "", "paper", "0.9446", "**0.9611**", "0.9595", "0.9599", "0.9519", ""],
    ]
    assert cells["100", "Average"]["best (paper)"] == "HyperLoader"


def test_latex_has_the_same_cells(table, score, tmp_path):
    table(3, [score(0.88), score(0.5, seed=1)])
    latex = (tmp_path / "out/table3.tex").read_text(encoding="utf-8")
    assert r"100 \% & ATIS &" in latex and r"\textbf{0.6900} $\pm$ 0.2687 &" in latex
    body = re.search(r"\\midrule\n(.*)\\bottomrule", latex, re.DOTALL).group(1)
    assert all(line.endswith(r" \\") and line.count(" & ") == 7 for line in body.splitlines()) and len(body.splitlines()) == 16
    assert latex.count("{") == latex.count("}") and latex.count(r"\begin{") == latex.count(r"\end{") == 2


def test_a_score_of_zero_says_how_much_was_malformed(table, score):
    _, markdown = table(3, [score(0.0), score(0.5, method="hyperformer_pp")])
    assert len(re.findall(r"\*\*0.5000\*\* +\| +0.0000 \(25 % malformed\) \|", markdown)) == 7


def test_links_lead_there_from_a_page_and_are_words_in_print(table, score, tmp_path):
    table(3, [score()])
    page, latex = ((tmp_path / f"out/table3.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "tex"))
    assert '<a href="comparisons.html" target="_top">comparisons</a>' in page and "Which differ: comparisons." in latex


def test_characters_that_latex_reads_as_commands_are_escaped():
    latex = Sheet("Table 9", "a_b & 5 % of {x} ~ y^2 \\ #$", ["a|b", "<c>"], [["**1_0**", "±"]], "lr", ["50 %"]).latex()
    assert r"\caption{a\_b \& 5 \% of \{x\} \textasciitilde{} y\textasciicircum{}2 \textbackslash{} \#\$}" in latex
    assert "a$|$b & $<$c$>$ \\\\" in latex and r"\textbf{1\_0} & $\pm$ \\" in latex and r"50 \%" in latex


def test_a_page_writes_names_as_they_are_and_percentages_on_one_line():
    page = Sheet("Table 9", "ours at 5 % of it", ["Data", "F1"], [["10 %", "0.5"]], "lr", ["mTOD at 10 % alone.", "lora: 3e-2."]).html()
    assert "<p>Ours at 5\N{NO-BREAK SPACE}% of it</p>" in page and "<td>10\N{NO-BREAK SPACE}%</td>" in page
    assert "<p>mTOD at 10" in page and "<p>lora: 3e-2.</p>" in page


@given(floats(-2, 2) | floats(-6e-5, 6e-5), sampled_from(["", "+"]))
def test_what_rounds_to_zero_has_no_sign(value, sign):
    shown = decimals(value, sign)
    assert float(shown) == pytest.approx(value, abs=5.1e-5)
    assert shown.startswith("-") == (float(shown) < 0) and shown.startswith("+") == (sign == "+" and float(shown) > 0)


def test_every_score_stands_in_the_tidy_table(tmp_path, score):
    write_scores(
        [score(0.5, corpora=["atis", "snips"]), score(0.25, corpora=["mtod"], method="unipelt_bert", align="none")], tmp_path / "s.csv"
    )
    tidy = rows(tmp_path / "s.csv")
    assert list(tidy[0]) == list(TIDY)
    assert [(row["method"], row["corpus"], row["alignment"]) for row in tidy] == [
        ("hyperloader", "atis", "sentinel"), ("hyperloader", "atis", "order"), ("hyperloader", "snips", "sentinel"),
        ("hyperloader", "snips", "order"), ("unipelt_bert", "mtod", "none"), ("unipelt_bert", "mtod", "order"),
    ]  # fmt: skip
    last = {key: tidy[-1][key] for key in ("title", "percent", "seed", "f1", "ci_low", "correct_spans", "sentences", "malformed")}
    assert last == {
        "title": "UniPELT-BERT", "percent": "100", "seed": "42", "f1": "0.2500", "ci_low": "0.1000", "correct_spans": "25",
        "sentences": "100", "malformed": "0.2500",
    }  # fmt: skip


DAMAGED = {
    "": "no column 'fraction'",
    "fraction,dataset,HyperLoader\n100,ATIS\n": ":2: not as many cells",
    "fraction,dataset,HyperLoader\n100,ATIS,.9\n100,SNIPS,much\n": ":3: '100' or 'much' is not a number",
    "\xff": "not a CSV file",
}


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_published_table_is_named(tmp_path, text):
    path = tmp_path / "published.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=rf"published.csv.*{DAMAGED[text]}"):
        write_table(3, [], path, tmp_path / "out.csv")
    with pytest.raises(UserError, match="no such file"):
        write_table(3, [], tmp_path / "absent.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()

"""What runs answered, sentence by sentence: disagreements, confused slot types, and the page of all results."""

import csv
import hashlib
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_results import make_results

from hyperloader.corpora.prepared import load_corpus
from hyperloader.reports.figures.curves import write_curves
from hyperloader.reports.outputs.confusion import confusion, pair_spans
from hyperloader.reports.outputs.disagreements import disagreements, marked
from hyperloader.reports.tables.score_page import write_score_page
from hyperloader.runs.predictions import PredictedSentence
from hyperloader.scoring import score_labels, spans_of

TAGS = st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b", "B-c"]), min_size=1, max_size=8)
PAIRS = st.lists(
    TAGS.flatmap(lambda gold: st.tuples(st.just(gold), st.lists(st.sampled_from([*gold, "O"]), min_size=len(gold), max_size=len(gold)))),
    max_size=5,
)
FIRST, SECOND = "runs/test/hyperloader/all/100/seed1", "runs/test/hyperformer_pp/all/100/seed1"


@pytest.fixture(scope="module")
def results(place, tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("results") / "test", place / "data", {"hyperloader": 0.1, "hyperformer_pp": 0.3})


def sentence(gold, prediction):
    return PredictedSentence(["w"] * len(gold), gold, prediction, None, None, "", False, len(gold))


@given(PAIRS)
def test_every_span_is_confused_once_and_the_diagonal_is_what_is_correct(pairs):
    counted = confusion(sentence(*pair) for pair in pairs)
    labels = score_labels([gold for gold, _ in pairs], [prediction for _, prediction in pairs])
    in_gold, predicted, correct = Counter(), Counter(), Counter()
    for own in counted:
        in_gold[own.gold] += own.same_words + own.other_words
        predicted[own.predicted] += own.same_words + own.other_words
        correct[own.gold] += own.same_words if own.gold == own.predicted else 0
    for label, score in labels.items():
        assert (in_gold[label], predicted[label], correct[label]) == (score.gold_spans, score.predicted_spans, score.correct_spans)


@given(PAIRS)
def test_pairs_share_words_and_nothing_is_left_that_could_be_paired(pairs):
    for gold, prediction in pairs:
        found = list(pair_spans(spans_of(gold), spans_of(prediction)))
        assert all(min(one[2], two[2]) > max(one[1], two[1]) for one, two in found if one and two)
        alone = [[span for pair in found if not all(pair) for span in pair[side : side + 1] if span] for side in (0, 1)]
        assert not any(min(one[2], two[2]) > max(one[1], two[1]) for one in alone[0] for two in alone[1])


@pytest.mark.parametrize(
    "gold, prediction, expected",
    [
        ("B-a I-a O", "B-b I-b O", [("a", "b", 1, 0)]),
        ("B-a I-a O", "B-a O O", [("a", "a", 0, 1)]),
        ("B-a I-a I-a", "B-b B-c I-c", [("", "b", 1, 0), ("a", "c", 0, 1)]),  # the longest overlap
        ("B-a O", "O B-a", [("", "a", 1, 0), ("a", "", 1, 0)]),
        ("B-a B-b", "B-c I-c", [("a", "c", 0, 1), ("b", "", 1, 0)]),  # the first of equal ones
        ("I-a O", "B-a O", [("a", "a", 1, 0)]),  # as the headline reads tags
    ],
)
def test_how_spans_are_paired(gold, prediction, expected):
    assert [tuple(own) for own in confusion([sentence(gold.split(), prediction.split())])] == expected


def test_confusion_is_counted_for_each_run_and_corpus(results, hyperloader, tmp_path):
    status, _, _ = hyperloader("confusion", results / FIRST, results / SECOND, "--output", tmp_path / "confusion.csv")
    rows = list(csv.DictReader((tmp_path / "confusion.csv").read_text().splitlines()))
    assert status == 0 and {(row["title"], row["corpus"]) for row in rows} == {
        (title, corpus) for title in ("HyperLoader", "HyperFormer") for corpus in ("atis", "snips")
    }
    for run, title in ((FIRST, "HyperLoader"), (SECOND, "HyperFormer")):
        scores = json.loads((results / run / "scores.json").read_text())["corpora"]["snips"]["labels"]
        for label, score in scores.items():
            own = [row for row in rows if (row["title"], row["corpus"], row["gold"]) == (title, "snips", label)]
            assert sum(int(row["same_words"]) + int(row["other_words"]) for row in own) == score["gold_spans"]


def test_disagreements_are_those_of_the_predictions(results, hyperloader, tmp_path):
    status, out, _ = hyperloader("disagreements", results / FIRST, results / SECOND, "--corpus", "snips", "--csv", tmp_path / "d.csv")
    rows = list(csv.DictReader((tmp_path / "d.csv").read_text().splitlines()))
    one, two = ([json.loads(line) for line in (results / run / "predictions/snips.jsonl").open()] for run in (FIRST, SECOND))
    expected, counts = [], Counter()
    for number, (a, b) in enumerate(zip(one, two, strict=True)):
        gold, first, second = (spans_of(tags) for tags in (a["gold"], a["prediction"], b["prediction"]))
        counts[first == second, first == gold, second == gold] += 1
        if first != second:
            right = "first" if first == gold else "second" if second == gold else "neither"
            shown = (" ".join(part) for part in (a["tokens"], a["gold"], a["prediction"], b["prediction"]))
            expected.append([str(number), right, *shown, "HyperLoader, 100 %, seed 1", "HyperFormer, 100 %, seed 1"])
    assert status == 0 and [list(row.values()) for row in rows] == expected and expected
    kinds = [(False, True, False), (False, False, True), (False, False, False), (True, True, True), (True, False, False)]
    assert [int(number) for number in re.findall(r"(?:in|right|wrong) (\d+)", out)] == [counts[kind] for kind in kinds]
    assert f"{len(rows)} of 200 sentences of SNIPS" in out
    status, out, _ = hyperloader("disagreements", results / FIRST, results / SECOND, "--corpus", "snips")
    assert status == 0 and out.count("  gold   ") == len(rows)
    status, out, _ = hyperloader("disagreements", results / FIRST, results / FIRST, "--corpus", "snips")
    assert "0 of 200" in out and "gold   " not in out


def test_runs_without_the_corpus_or_on_other_sentences_are_refused(results, hyperloader, tmp_path):
    status, _, err = hyperloader("disagreements", results / FIRST, results / SECOND, "--corpus", "snip")
    assert status == 2 and "did you mean snips?" in err and err.count("\n") == 1
    shutil.copytree(results / SECOND, tmp_path / "other")
    manifest = json.loads((tmp_path / "other/predictions.json").read_text())
    manifest["corpora"] |= {"snips": manifest["corpora"]["atis"]}
    (tmp_path / "other/predictions.json").write_text(json.dumps(manifest))
    shutil.copyfile(tmp_path / "other/predictions/atis.jsonl", tmp_path / "other/predictions/snips.jsonl")
    status, _, err = hyperloader("disagreements", results / FIRST, tmp_path / "other", "--corpus", "snips")
    assert status == 2 and "another test set than that of" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "key, value, told",
    [
        ("recipe", "paper", ["recipe test", "recipe paper"]),
        ("scale", "demo", ["scale test", "scale demo"]),
        ("data", "data-draw7", ["draw data", "draw data-draw7"]),
        ("shots", 5, ["all sentences", "5 sentences"]),
        ("method_settings", {}, ["FOLDER/first", "FOLDER/second"]),
    ],
)
def test_names_of_runs_tell_them_apart(key, value, told, results, hyperloader, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(results / FIRST, tmp_path / name)
    settings = json.loads((tmp_path / "second/settings.json").read_text())
    value = {name: f"results/test/{value}/{name}" for name in settings["data"]} if key == "data" else value
    (tmp_path / "second/settings.json").write_text(json.dumps(settings | {key: value}))
    names = [f"HyperLoader, 100 %, seed 1, {own.replace('FOLDER', str(tmp_path))}" for own in told]
    found = disagreements(tmp_path / "first", tmp_path / "second", "atis")
    assert [found.first, found.second] == names
    runs = tmp_path / "first", tmp_path / "second", "--corpus", "atis"
    assert hyperloader("disagreements", *runs)[1].startswith(f"first:  {names[0]}\nsecond: {names[1]}\n")
    hyperloader("disagreements", *runs, "--html", tmp_path / "d.html")
    assert f"First: {names[0]}. Second: {names[1]}." in (tmp_path / "d.html").read_text()


def test_words_write_to_the_terminal_as_text(results, hyperloader, tmp_path):
    for name, run in (("first", FIRST), ("second", SECOND)):
        shutil.copytree(results / run, tmp_path / name)
        file, manifest = tmp_path / name / "predictions/atis.jsonl", tmp_path / name / "predictions.json"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        changed = [line | {"tokens": [f"\x1b[31m\n{word}\u202e" for word in line["tokens"]]} for line in lines]
        file.write_text("".join(json.dumps(line) + "\n" for line in changed))
        record = json.loads(manifest.read_text())
        record["corpora"]["atis"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(record))
    status, out, _ = hyperloader("disagreements", tmp_path / "first", tmp_path / "second", "--corpus", "atis")
    assert status == 0 and "\\x1b[31m\\n" in out and out.replace("\n", "").isprintable()


def test_words_are_no_markup():
    assert marked(["<b>", "&", "c"], ["B-x<y", "I-x<y", "O"], html=True) == "<mark>&lt;b&gt; &amp; <small>x&lt;y</small></mark> c"
    assert marked(["a", "b", "c"], ["O", "B-x", "I-y"]) == "a [b | x] [c | y]"


class Reader(HTMLParser):
    """Tags that are open, and all addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses = [], []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href") and value]
        if tag not in ("meta", "link", "input", "br", "use", "path", "rect", "image"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href") and value]

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag


@pytest.fixture
def page(results):
    write_curves([results / FIRST, results / SECOND], results / "curves")
    shutil.copyfile(results / "curves.svg", results / "figure2.svg")
    path = results / "scores.html"
    write_score_page([results / FIRST, results / SECOND], path, results, "hyperformer_pp")
    return path


def test_the_page_of_results_is_whole_and_needs_nothing_from_elsewhere(page, results):
    text = page.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert not [address for address in reader.addresses if re.match(r"(\w+:)?//", address)]
    files = [address for address in reader.addresses if not address.startswith("#")]
    assert files and all((results / address).is_file() for address in files)
    assert "<title>HyperLoader, atis+snips, seed 1, validation loss: 1 at the end, 1 at its lowest</title>" in text
    found = {corpus: disagreements(results / FIRST, results / SECOND, corpus).sentences for corpus in ("atis", "snips")}
    assert len(re.findall(r"<tr><td>(?:ATIS|SNIPS)</td><td class=\"r\">\d+</td><td>(?:first|second|neither)</td>", text)) == sum(
        min(50, len(own)) for own in found.values()
    )
    assert all(word in text for word in load_corpus(results / "data/snips").test[found["snips"][0].number].words)


def test_the_page_of_results_shows_errors_alone_as_confusions(page, results):
    text = page.read_text(encoding="utf-8").partition("Confused slot types</h2>")[2].partition("<h2")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    shown = {tuple(row[:4]): tuple(map(int, row[4:])) for row in rows if row}
    expected = {}
    for run, title in ((FIRST, "HyperLoader"), (SECOND, "HyperFormer")):
        for corpus in ("atis", "snips"):
            lines = [json.loads(line) for line in (results / run / f"predictions/{corpus}.jsonl").open()]
            for own in confusion(sentence(line["gold"], line["prediction"]) for line in lines):
                same = 0 if own.gold == own.predicted else own.same_words
                if same + own.other_words:
                    names = (part or "<em>nothing</em>" for part in (own.gold, own.predicted))
                    expected[title, corpus.upper(), *names] = (same, own.other_words, same + own.other_words)
    assert shown == expected and any(gold == predicted for _, _, gold, predicted in shown)


@pytest.mark.slow
def test_tables_sort_and_search_and_figures_tell_in_a_browser(page, browser):
    browser.get(page.as_uri())

    def rows():
        return [row.text for row in browser.find_elements("css selector", "table.sortable")[0].find_elements("css selector", "tbody tr")]

    assert len(rows()) == 4
    whole, *columns = browser.find_element("css selector", ".dt-container").find_elements("css selector", "input[type=search], thead input")
    whole.send_keys("snips hyperloader")
    assert len(rows()) == 1 and rows()[0].startswith("HyperLoader SNIPS")
    whole.clear()
    whole.send_keys("HyperFormer")
    columns[1].send_keys("atis")
    assert len(rows()) == 1 and rows()[0].startswith("HyperFormer ATIS")
    whole.clear()
    whole.send_keys(" ")
    columns[1].clear()
    columns[1].send_keys(" ")
    assert len(rows()) == 4
    browser.find_elements("css selector", ".dtcc-button_order")[4].click()
    f1s = [float(row.split()[5]) for row in rows()]
    assert f1s == sorted(f1s) and len(set(f1s)) > 1
    browser.set_window_size(500, 900)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), "wider than a phone"
    browser.execute_script("document.querySelector('figure g title').parentElement.dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert "loss" in browser.find_element("id", "told").text
    assert browser.get_log("browser") == []

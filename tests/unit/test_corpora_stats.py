import csv
import json

from hyperloader.corpora.adding import add_corpus
from hyperloader.corpora.fetching.download import fetch
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.registry import known_corpora
from hyperloader.reports.tables.data_cards import as_markdown, data_card
from hyperloader.reports.tables.table2 import sheet, table2, write_table2


def manifest(tmp_path, name, title, tags=("O", "B-x"), spans=None, provenance="official"):
    path = tmp_path / name / "manifest.json"
    path.parent.mkdir()
    types = {tag[2:] for tag in tags} - {""}
    content = {
        "format_version": 1, "corpus": name, "title": title, "seed": 1, "checksum": "", "files": {}, "tags": tags,
        "sentences": {"train": 4479, "validation": 500, "test": 890}, "slot_types": len(types),
        "spans": {"train": spans or {}}, "sources": [{"path": "x", "sha256": "0", "provenance": provenance}],
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_ours_the_papers_and_the_difference(tmp_path):
    (row,) = table2([manifest(tmp_path, "atis", "ATIS")])
    assert [row[key] for key in ("train", "train_paper", "train_difference")] == [4479, 4478, 1]
    assert [row[key] for key in ("val_difference", "test_difference", "labels_difference")] == [0, -3, -82]
    assert row["note"] == ""


def test_a_corpus_that_the_paper_lacks_has_empty_cells(tmp_path):
    (row,) = table2([manifest(tmp_path, "conll", "CoNLL")])
    assert row["train"] == 4479 and row["train_paper"] == row["train_difference"] == ""
    assert "4479 (-)" in sheet([row]).markdown()


def test_mtod_is_counted_in_both_ways_that_give_nine(tmp_path):
    tags = ["O", "B-weather/noun", "I-weather/noun", "B-weather/attribute", "B-datetime", "B-timer/noun"]
    spans = {"datetime": 900, "weather/noun": 201, "weather/attribute": 200, "timer/noun": 1}
    (row,) = table2([manifest(tmp_path, "mtod", "mTOD", tags, spans)])
    assert row["note"].startswith("4 slot types; 3 when types are cut at the slash")
    assert "2 when only types with more than 200 spans" in row["note"]


def test_generated_corpora_are_named_as_such(tmp_path):
    (row,) = table2([manifest(tmp_path, "atis", "ATIS", provenance="generated")])
    assert "generated" in row["note"]


def test_rows_stand_in_the_papers_order_and_are_written_in_three_formats(tmp_path):
    folders = [manifest(tmp_path, "mtod", "mTOD").parent, manifest(tmp_path, "atis", "ATIS").parent]
    rows = table2(folders)
    write_table2(rows, tmp_path / "out/table2.csv")
    with open(tmp_path / "out/table2.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["dataset"] for row in written] == ["ATIS", "mTOD"]
    assert written[0]["train_difference"] == "1"
    assert "| ATIS | 4479 (4478) | 500 (500) | 890 (893) | 1 (83) |" in " ".join((tmp_path / "out/table2.md").read_text().split())
    assert r"ATIS & 4479 (4478) & 500 (500) & 890 (893) & 1 (83) \\" in (tmp_path / "out/table2.tex").read_text()


def test_data_cards_count_what_is_repeated_and_leaked(place):
    def words(sentences):
        return [tuple(sentence.words) for sentence in sentences]

    for name in ("atis", "snips"):
        card, corpus = data_card(place / "data" / name), load_corpus(place / "data" / name)
        train, test = words(corpus.train), words(corpus.test)
        assert card.repeated["test"] == sum(own in test[:number] for number, own in enumerate(test))
        assert card.in_train == sum(own in train for own in test)
        assert card.in_validation == sum(own in words(corpus.validation) for own in test)
        assert card.contradicted <= card.in_train and card.seen_spans <= card.spans["test"]
        page = as_markdown([card])
        assert f"| {corpus.title} " in page and f"test {len(test):,} (" in page and f"`{card.frequent[0][0]}`" in page


def test_data_cards_tell_other_tags_from_the_same(tmp_path, monkeypatch):
    """Of three test sentences that train has, one has tags that it never has there."""
    (tmp_path / "train.conll").write_text("a B-x\nb O\n\na O\nb O\n\nc B-y\n\nd O\n\n" + "e O\nf O\n\n" * 20)
    (tmp_path / "test.conll").write_text("a O\nb O\n\nc O\n\na B-x\nb O\n\ng B-z\n\ng B-z\n\na B-x\n")
    monkeypatch.setenv("HYPERLOADER_CORPORA", str(tmp_path / "corpora"))
    add_corpus("own", tmp_path / "train.conll", tmp_path / "test.conll", tmp_path / "test.conll", tmp_path / "corpora")
    known_corpora.cache_clear()
    fetch("own", tmp_path / "raw")
    card = data_card(prepare("own", tmp_path / "raw", tmp_path / "data"))
    known_corpora.cache_clear()
    assert (card.in_train, card.contradicted, card.repeated["test"], card.in_validation) == (3, 1, 2, 6)
    assert (card.spans["test"], card.seen_spans) == (4, 2) and "`z`" not in as_markdown([card]).split("Types only in test**: ")[1]

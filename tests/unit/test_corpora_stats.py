import csv
import json

import pytest

from hyperloader.errors import CorpusError
from hyperloader.reports.tables.table2 import sheet, table2, write_table2

PAPER = "dataset,train,val,test,labels\nATIS,4478,500,893,83\nmTOD,30521,4181,8621,9\n"


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "paper.csv"
    path.write_text(PAPER)
    return path


def manifest(tmp_path, name, title, tags=("O", "B-x"), spans=None, provenance="official"):
    path = tmp_path / name / "manifest.json"
    path.parent.mkdir()
    types = {tag[2:] for tag in tags} - {""}
    content = {
        "format_version": 1, "corpus": name, "title": title, "seed": 1, "checksum": "", "files": {}, "tags": tags,
        "sentences": {"train": 4479, "validation": 500, "test": 890}, "slot_types": len(types),
        "spans": {"train": spans or {}}, "sources": [{"provenance": provenance}],
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_ours_the_papers_and_the_difference(tmp_path, published):
    (row,) = table2([manifest(tmp_path, "atis", "ATIS")], published)
    assert [row[key] for key in ("train", "train_paper", "train_difference")] == [4479, 4478, 1]
    assert [row[key] for key in ("val_difference", "test_difference", "labels_difference")] == [0, -3, -82]
    assert row["note"] == ""


def test_a_corpus_that_the_paper_lacks_has_empty_cells(tmp_path, published):
    (row,) = table2([manifest(tmp_path, "conll", "CoNLL")], published)
    assert row["train"] == 4479 and row["train_paper"] == row["train_difference"] == ""
    assert "4479 (-)" in sheet([row]).markdown()


def test_mtod_is_counted_in_both_ways_that_give_nine(tmp_path, published):
    tags = ["O", "B-weather/noun", "I-weather/noun", "B-weather/attribute", "B-datetime", "B-timer/noun"]
    spans = {"datetime": 900, "weather/noun": 201, "weather/attribute": 200, "timer/noun": 1}
    (row,) = table2([manifest(tmp_path, "mtod", "mTOD", tags, spans)], published)
    assert row["note"].startswith("4 slot types; 3 when types are cut at the slash")
    assert "2 when only types with more than 200 spans" in row["note"]


def test_generated_corpora_are_named_as_such(tmp_path, published):
    (row,) = table2([manifest(tmp_path, "atis", "ATIS", provenance="generated")], published)
    assert "generated" in row["note"]


def test_rows_stand_in_the_papers_order_and_are_written_in_three_formats(tmp_path, published):
    folders = [manifest(tmp_path, "mtod", "mTOD").parent, manifest(tmp_path, "atis", "ATIS").parent]
    rows = table2(folders, published)
    write_table2(rows, tmp_path / "out/table2.csv")
    with open(tmp_path / "out/table2.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["dataset"] for row in written] == ["ATIS", "mTOD"]
    assert written[0]["train_difference"] == "1"
    assert "| ATIS | 4479 (4478) | 500 (500) | 890 (893) | 1 (83) |" in " ".join((tmp_path / "out/table2.md").read_text().split())
    assert r"ATIS & 4479 (4478) & 500 (500) & 890 (893) & 1 (83) \\" in (tmp_path / "out/table2.tex").read_text()


DAMAGED = ["", "\xff", "dataset,train\nATIS,1\n", "dataset,train,val,test,labels\nATIS\n", PAPER.replace("4478", "many")]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_published_table(tmp_path, published, text):
    published.write_bytes(text.encode("latin-1"))
    with pytest.raises(CorpusError, match="not a table of whole numbers"):
        table2([manifest(tmp_path, "atis", "ATIS")], published)


def test_a_missing_published_table(tmp_path):
    with pytest.raises(CorpusError, match=r"paper\.csv: cannot be read"):
        table2([manifest(tmp_path, "atis", "ATIS")], tmp_path / "paper.csv")

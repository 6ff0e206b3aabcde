import csv
import json

from hyperloader.reports.tables.table2 import sheet, table2, write_table2


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

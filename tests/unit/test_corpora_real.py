"""The published corpora: table 2 of the paper and the facts known about the files."""

import os
from pathlib import Path

import pytest

from hyperloader.corpora.fetching.checksum import normalised
from hyperloader.corpora.prepare import load_corpus
from hyperloader.corpora.readers import nested_slots, read_split
from hyperloader.corpora.registry import known_corpora, paper_corpora
from hyperloader.reports.tables.data_cards import as_markdown, data_card
from hyperloader.reports.tables.table2 import table2

pytestmark = pytest.mark.skipif(
    not os.environ.get("HYPERLOADER_MIRROR"), reason="the real corpora are not here: HYPERLOADER_MIRROR names no folder"
)


# train, validation, test; longest sentence; slot types in train and in all; BIO tags without O in train and in all
FACTS = {
    "movietrivia": ((7816, None, 1953), 76, (12, 12), (24, 24)),
    "movie": ((9775, None, 2443), 47, (12, 12), (24, 24)),
    "restaurant": ((7660, None, 1521), 35, (8, 8), (16, 16)),
    "atis": ((4478, 500, 893), 46, (79, 83), (119, 126)),
    "snips": ((13084, 700, 700), 35, (39, 39), (71, 71)),
    "mtop": ((15667, 2235, 4386), 32, (74, 75), (135, 137)),
    "mtod": ((30521, 4181, 8621), 24, (15, 16), (25, 27)),
}


@pytest.fixture(scope="module")
def raw(real_corpora):
    return real_corpora / "raw"


def test_known_sizes(raw):
    known = [(file.path, own) for corpus in known_corpora().values() for file in corpus.files for own in file.accepted if own.size]
    assert len(known) > 20
    for path, checksum in known:
        data = (raw / path).read_bytes()
        assert len(normalised(data) if checksum.normalise else data) == checksum.size


@pytest.fixture(scope="module")
def prepared(real_corpora):
    return real_corpora


@pytest.mark.parametrize("name", FACTS)
def test_sizes_and_labels_of_the_raw_files(raw, name):
    sizes, longest, types, tags = FACTS[name]
    corpus = known_corpora()[name]
    read = {split: read_split(corpus, raw, split) for split in corpus.splits}
    assert tuple(len(read[split]) if split in read else None for split in ("train", "validation", "test")) == sizes
    everything = [sentence for part in read.values() for sentence in part]
    assert max(len(sentence.words) for sentence in everything) == longest
    in_train, in_all = ({tag for s in part for tag in s.tags} - {"O"} for part in (read["train"], everything))
    assert (len(in_train), len(in_all)) == tags
    assert tuple(len({tag[2:] for tag in part}) for part in (in_train, in_all)) == types


def test_table_2_is_the_papers_but_for_the_labels_of_mtod(prepared):
    rows = table2([prepared / name for name in known_corpora()])
    differences = {(row["dataset"], cell): row[f"{cell}_difference"] for row in rows for cell in ("train", "val", "test", "labels")}
    assert {key for key, value in differences.items() if value != 0} == {("mTOD", "labels")}
    note = rows[-1]["note"]
    assert note.startswith("16 slot types; 9 when types are cut at the slash") and "9 when only types with more than 200" in note


def test_fractions_of_all_corpora(prepared):
    whole = sum(len(load_corpus(prepared / name).train) for name in known_corpora())
    assert whole == 86_475
    assert [len(load_corpus(prepared / "atis", percent).train) for percent in (10, 20)] == [448, 896]


def test_stray_inside_tags_of_mtod_are_kept(raw):
    def stray(tags):
        return any(tag.startswith("I-") and before[2:] != tag[2:] for before, tag in zip(("O", *tags), tags, strict=False))

    mtod = known_corpora()["mtod"]
    counts = {split: sum(stray(s.tags) for s in read_split(mtod, raw, split)) for split in mtod.splits}
    assert counts == {"train": 1, "validation": 0, "test": 2}


def test_sentences_without_slots(raw):
    def free(name):
        return [sum(set(s.tags) == {"O"} for s in read_split(known_corpora()[name], raw, split)) for split in known_corpora()[name].splits]

    assert free("mtop") == [1043, 142, 273]
    assert free("mtod") == [2706, 392, 758]
    assert free("movie") == [55, 11]
    assert free("movietrivia") == [44, 13]
    assert free("restaurant") == [87, 4]


def test_nested_slots_of_the_test_set_of_mtop(raw):
    corpus = known_corpora()["mtop"]
    kept = sum(tag.startswith("B-") for sentence in read_split(corpus, raw, "test") for tag in sentence.tags)
    assert (kept, nested_slots(corpus, raw, "test")) == (7551, 709)


def test_the_first_row_of_mtop(raw):
    first = read_split(known_corpora()["mtop"], raw, "train")[0]
    assert first.words == ("Has", "Angelika", "Kratzer", "video", "messaged", "me", "?")
    assert first.tags == ("O", "B-CONTACT", "I-CONTACT", "B-TYPE_CONTENT", "O", "B-RECIPIENT", "O")


def test_the_data_cards_are_those_of_the_files(real_corpora):
    page = (Path(__file__).parents[2] / "docs/corpora.md").read_text(encoding="utf-8")
    assert page.endswith("\n" + as_markdown([data_card(real_corpora / name) for name in paper_corpora()]))

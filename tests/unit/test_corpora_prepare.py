"""Preparation and loading, on generated corpora of all four raw formats."""

import json
import shutil

import datasets
import pytest

from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import load_corpus, prepare
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import CorpusError

FORMATS = ["restaurant", "snips", "mtop", "mtod"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for name in FORMATS:
        generate(name, folder)
    return folder


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in FORMATS:
        prepare(name, raw, folder / name)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", FORMATS)
def test_the_folder_is_a_datasets_folder_with_tokens_and_tags(prepared, name):
    stored = datasets.load_from_disk(prepared / name)
    loaded = load_corpus(prepared / name)
    assert list(stored) == ["train", "validation", "test"]
    for split in stored:
        feature = stored[split].features["tags"].feature
        assert isinstance(feature, datasets.ClassLabel) and tuple(feature.names) == loaded.labels
        sentences = getattr(loaded, split)
        assert [tuple(tokens) for tokens in stored[split]["tokens"]] == [sentence.words for sentence in sentences]
        assert [tuple(feature.int2str(tags)) for tags in stored[split]["tags"]] == [sentence.tags for sentence in sentences]
    assert loaded.labels[0] == "O" and list(loaded.labels[1:]) == sorted(loaded.labels[1:])


@pytest.mark.parametrize("name", ["restaurant", "mtod"])
def test_equal_input_gives_equal_bytes(raw, prepared, tmp_path, name):
    prepare(name, raw, tmp_path / name)
    assert contents(tmp_path / name) == contents(prepared / name)
    prepare(name, raw, tmp_path / name)  # over what is there
    assert contents(tmp_path / name) == contents(prepared / name)


def test_the_seed_moves_sentences_between_train_and_validation(raw, prepared, tmp_path):
    prepare("restaurant", raw, tmp_path / "data", seed=7)
    one, other = load_corpus(prepared / "restaurant"), load_corpus(tmp_path / "data")
    assert sorted(one.train + one.validation) == sorted(other.train + other.validation)
    assert one.validation != other.validation and one.test == other.test
    assert one.checksum != other.checksum


@pytest.mark.parametrize("name", FORMATS)
def test_fractions_are_nested_and_leave_the_test_set_whole(prepared, name):
    whole, twenty, ten = (load_corpus(prepared / name, percent) for percent in (100, 20, 10))
    for split in ("train", "validation"):
        sizes = [len(getattr(part, split)) for part in (ten, twenty, whole)]
        assert sizes[0] == round(sizes[2] * 0.1) and sizes[1] == round(sizes[2] * 0.2)
        # in the order of the whole split, each inside the next
        for smaller, larger in ((ten, twenty), (twenty, whole)):
            remaining = iter(getattr(larger, split))
            assert all(sentence in remaining for sentence in getattr(smaller, split))
    assert whole.test == ten.test
    assert set(ten.train_label_types) <= set(whole.train_label_types)
    assert ten.checksum == whole.checksum
    seen = {tag[2:] for sentence in ten.train for tag in sentence.tags if tag != "O"}
    assert ten.train_label_types == tuple(sorted(seen))


def test_the_manifest_says_what_was_prepared(prepared):
    manifest = json.loads((prepared / "mtod/manifest.json").read_text())
    assert (manifest["corpus"], manifest["title"], manifest["seed"]) == ("mtod", "mTOD", 42)
    assert manifest["sentences"] == {"train": 500, "validation": 60, "test": 200}
    assert manifest["slot_types"] == 7
    assert [source["path"] for source in manifest["sources"]] == [file.path for file in known_corpora()["mtod"].files]
    assert {source["provenance"] for source in manifest["sources"]} == {"generated"}
    assert str(prepared) not in json.dumps(manifest)


@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_raw_file_stops_preparation_and_leaves_nothing(raw, tmp_path, name):
    shutil.copytree(raw, tmp_path / "raw")
    path = tmp_path / "raw" / known_corpora()[name].files[1].path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorpusError, match=f"{path.name}: missing, or not as .* left it.*run: hyperloader corpora generate {name}"):
        prepare(name, tmp_path / "raw", tmp_path / "data" / name)
    assert not (tmp_path / "data").exists()


def test_a_failed_preparation_leaves_the_old_folder(raw, prepared, tmp_path):
    shutil.copytree(prepared / "mtop", tmp_path / "mtop")
    with pytest.raises(CorpusError):
        prepare("mtop", tmp_path, tmp_path / "mtop")
    assert contents(tmp_path / "mtop") == contents(prepared / "mtop")


def test_nothing_fetched(tmp_path):
    with pytest.raises(CorpusError, match="raw files of ATIS are not there; run: hyperloader corpora fetch atis"):
        prepare("atis", tmp_path, tmp_path / "data")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": [{"path": 1}]}', '{"files": []}', "\0"])
def test_a_damaged_raw_manifest(tmp_path, text):
    (tmp_path / "atis.json").write_text(text)
    with pytest.raises(CorpusError, match="delete it and run: hyperloader corpora fetch atis"):
        prepare("atis", tmp_path, tmp_path / "data")


def test_a_folder_of_something_else_is_not_replaced(raw, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CorpusError, match="not a prepared corpus"):
        prepare("mtop", raw, tmp_path)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "older"])
def test_a_damaged_manifest_of_a_prepared_corpus(prepared, tmp_path, damage):
    folder = tmp_path / "mtop"
    shutil.copytree(prepared / "mtop", folder)
    path = folder / "manifest.json"
    text = path.read_text()
    {
        "missing": path.unlink,
        "empty": lambda: path.write_text("{}"),
        "truncated": lambda: path.write_text(text[:99]),
        "older": lambda: path.write_text(text.replace('"format_version": 1', '"format_version": 0')),
    }[damage]()
    with pytest.raises(CorpusError, match=r"manifest\.json.*by hand: hyperloader corpora prepare mtop --raw RAW --folder"):
        load_corpus(folder)


@pytest.mark.parametrize("delete", [True, False])
def test_a_damaged_table(prepared, tmp_path, delete):
    folder = tmp_path / "mtop"
    shutil.copytree(prepared / "mtop", folder)
    (path,) = (folder / "test").glob("*.arrow")
    if delete:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorpusError, match=r"\.arrow: missing or damaged; delete the folder .* prepare mtop --raw RAW"):
        load_corpus(folder)


def test_an_impossible_fraction(prepared):
    with pytest.raises(CorpusError, match="fraction of 0 %"):
        load_corpus(prepared / "mtop", 0)


def test_what_lost_its_manifest_is_replaced_when_told_so(raw, prepared, tmp_path):
    folder = tmp_path / "mtop"
    shutil.copytree(prepared / "mtop", folder)
    (folder / "manifest.json").unlink()
    (folder / "tokenised").mkdir()
    with pytest.raises(CorpusError, match="is there and is not a prepared corpus; choose another --folder, or --replace it"):
        prepare("mtop", raw, folder)
    assert (folder / "tokenised").exists()
    prepare("mtop", raw, folder, replace=True)
    assert contents(folder) == contents(prepared / "mtop")


def test_a_file_is_not_replaced_by_a_folder(raw, tmp_path):
    (tmp_path / "mtop").write_text("years of work")
    with pytest.raises(CorpusError, match="is there and is not a prepared corpus"):
        prepare("mtop", raw, tmp_path / "mtop", replace=True)
    assert (tmp_path / "mtop").read_text() == "years of work"

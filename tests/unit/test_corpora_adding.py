"""`hyperloader corpora add`: from CoNLL files to a corpus that every command knows."""

import hashlib
import os
import re
import shutil

import pytest
import yaml
from typer.testing import CliRunner

from hyperloader.cli.corpora import app
from hyperloader.corpora.fetching.download import fetch
from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.registry import VARIABLE, get_corpus, known_corpora, paper_corpora
from hyperloader.errors import CorpusError, UserError

TRAIN = "".join(f"word{n}\tO\nnew\tB-city\nyork\tI-city\n\n" for n in range(20))
TEST = "word1\tO\nnew\tB-city\nyork\tI-city\n\nstray\tI-time\nrest\tO\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two files, and one of corpora that is searched."""
    (tmp_path / "corpora").mkdir()
    (tmp_path / "train.conll").write_text(TRAIN)
    (tmp_path / "test.conll").write_text(TEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "corpora"))
    known_corpora.cache_clear()
    yield tmp_path
    known_corpora.cache_clear()


def add(*arguments):
    answer = CliRunner().invoke(app, ["add", *arguments])
    known_corpora.cache_clear()
    if answer.exception and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return answer.output


FILES = ("--train", "train.conll", "--test", "test.conll")


def test_word_and_tag_among_other_columns_are_kept_alone(place):
    for name in ("train", "test"):
        (place / f"{name}.conll").write_text("-DOCSTART- NN x O\n\nJohn NNP B-NP I-PER\nleft VBD B-VP O\n\nOslo NNP B-NP B-LOC\n\n" * 9)
    found = add("four", *FILES, "--columns", "1,4")
    assert (place / "corpora/four/train.conll").read_text().startswith("John\tI-PER\nleft\tO\n\nOslo\tB-LOC\n\nJohn")
    assert "train: 9 I- tags that continue no span of their type, as in IOB1; each opens one, as in the CoNLL scorer" in found


def test_two_files_become_a_corpus_that_can_be_fetched_and_prepared(place):
    said = add("mine", *FILES)
    assert "20 train, 2 test sentences" in said and "2 slot types: city, time" in said
    assert "never in train, and so never predicted: time" in said
    assert "test: 1 I- tags that continue no span" in said and "test: 1 sentences are in train as well" in said
    assert list(known_corpora()) == [*paper_corpora(), "mine"] and get_corpus("mine").local
    # what it was made of may go
    for name in ("train", "test"):
        (place / f"{name}.conll").unlink()
    fetch("mine", place / "raw")
    prepared = load_corpus(prepare("mine", place / "raw", place / "data"))
    assert [len(split) for split in (prepared.train, prepared.validation, prepared.test)] == [18, 2, 2]
    assert prepared.test[0].words == ("word1", "new", "york") and prepared.train_label_types == ("city",)


def test_a_validation_file_is_used(place):
    (place / "validation.conll").write_text(TEST)
    add("mine", *FILES, "--validation", "validation.conll")
    fetch("mine", place / "raw")
    assert len(load_corpus(prepare("mine", place / "raw", place / "data")).validation) == 2


def test_a_file_of_it_that_changed_is_refused(place):
    add("mine", *FILES)
    (place / "corpora/mine/test.conll").write_text("other\tO\n")
    with pytest.raises(CorpusError, match=r"mine/test.conll could be had from nowhere: mine/ \(wrong checksum"):
        fetch("mine", place / "raw")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("../mine", *FILES), "'../mine' cannot name a corpus"),
        (("", *FILES), "cannot name a corpus"),
        (("atis", *FILES), "there is a corpus 'atis' already"),
        (("mTOP", *FILES), "there is a corpus 'mtop' already"),
        (("mine", "--train", "gone.conll", "--test", "test.conll"), "gone.conll: no such file"),
        (("mine", "--train", "bad.conll", "--test", "test.conll"), "bad.conll:2: tag 'x'"),
        (("mine", *FILES, "--folder", "train.conll"), "cannot be written"),
        (("all", *FILES), "'all' cannot name a corpus"),
        (("mine", "--train", "few.conll", "--test", "test.conll"), "few.conll: 3 sentences are too few to hold out 0.1 of them"),
    ],
)
def test_wrong_calls_leave_nothing(place, arguments, message):
    (place / "bad.conll").write_text("a\tO\nb\tx\n")
    (place / "few.conll").write_text("a\tO\n\n" * 3)
    before = sorted(place.rglob("*"))
    with pytest.raises(UserError, match=message):
        add(*arguments)
    assert sorted(place.rglob("*")) == before


def test_another_corpus_of_the_same_name_replaces_what_was_made_of_the_former(place):
    add("mine", *FILES)
    assert CliRunner().invoke(app, ["prepare", "mine", "--folder", "data"], catch_exceptions=False).exit_code == 0
    shutil.rmtree(place / "corpora/mine")
    known_corpora.cache_clear()
    (place / "train.conll").write_text(TRAIN.replace("city", "town"))
    add("mine", *FILES)
    with pytest.raises(CorpusError, match="mine/train.conll: not a file that .*corpora/mine/corpus.yaml accepts"):
        prepare("mine", "resources/corpora", "data")
    assert CliRunner().invoke(app, ["prepare", "mine", "--folder", "data"], catch_exceptions=False).exit_code == 0
    assert load_corpus("data").train_label_types == ("town",)


def test_names_that_runs_have_in_their_paths_are_refused_wherever_a_corpus_comes_from(place):
    add("mine", *FILES)
    for name in ("all", "each", "a+b", "a b"):
        (place / "corpora/mine").rename(place / "corpora" / name)
        known_corpora.cache_clear()
        with pytest.raises(CorpusError, match=f"{re.escape(name)}/corpus.yaml: '{re.escape(name)}' cannot name a corpus"):
            known_corpora()
        (place / "corpora" / name).rename(place / "corpora/mine")


def test_a_folder_of_corpora_that_is_named_twice_is_one(place, monkeypatch):
    add("mine", *FILES)
    (place / "link").symlink_to(place / "corpora")
    monkeypatch.setenv(VARIABLE, os.pathsep.join(map(str, (place / "corpora", place / "link"))))
    known_corpora.cache_clear()
    assert "mine" in known_corpora()


def test_raw_files_in_folders_lie_in_the_same_folders_beside_the_description(place):
    add("mine", *FILES)
    folder = place / "corpora/mine"
    for split, text in (("train", TRAIN), ("test", TEST)):
        words, tags = (" ".join(line.split("\t")[column] for line in text.split("\n") if line) for column in (0, 1))
        (folder / split).mkdir()
        for name, line in (("seq.in", words), ("seq.out", tags), ("label", "intent")):
            (folder / split / name).write_text(f"{line}\n" * 12)
    files = sorted(path.relative_to(folder) for path in folder.glob("*/*"))
    sums = {f"mine/{path}": hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in files}
    accepted = [{"path": path, "accepted": [{"sha256": checksum}]} for path, checksum in sums.items()]
    described = {"title": "mine", "raw_format": "slot-gated", "splits": {"train": "mine/train", "test": "mine/test"}, "files": accepted}
    (folder / "corpus.yaml").write_text(yaml.safe_dump(described | {"held_out_validation": 0.25}))
    known_corpora.cache_clear()
    fetch("mine", place / "raw")
    assert len(load_corpus(prepare("mine", place / "raw", place / "data")).train) == 9


def test_twice_the_same_name_is_refused(place):
    add("mine", *FILES)
    with pytest.raises(CorpusError, match="there is a corpus 'mine' already"):
        add("mine", *FILES)


def test_it_has_no_generated_counterpart(place):
    add("mine", *FILES)
    with pytest.raises(CorpusError, match="mine has no generated counterpart; .*movietrivia, "):
        generate("mine", place / "raw")


def test_a_new_raw_format_comes_with_its_reader(place):
    add("mine", *FILES)
    folder = place / "corpora/mine"
    (folder / "corpus.yaml").write_text((folder / "corpus.yaml").read_text().replace("raw_format: conll\n", ""))
    reader = "from hyperloader.text.sentences import Sentence\n\n\ndef read(path):\n    return [Sentence((path.name,), ('O',))] * 12\n"
    (folder / "reader.py").write_text(reader)
    known_corpora.cache_clear()
    fetch("mine", place / "raw")
    assert load_corpus(prepare("mine", place / "raw", place / "data")).test[0].words == ("test.conll",)
    for returned, problem in (
        ("None", "returns no list"),
        ("[(('a',), ('O',))] * 12", "returns no list"),
        ("[Sentence(('a', 'b'), ('O',))] * 12", "sentence 1 of .*: 2 words and 1 tags"),
        ("[Sentence((), ())] * 12", "sentence 1 of .*: 0 words and 0 tags"),
        ("[Sentence(('a b',), ('O',))] * 12", "sentence 1 of .*: token 'a b'"),
        ("[Sentence(('a',), ('S-x',))] * 12", "sentence 1 of .*: tag 'S-x' of the scheme BIOES"),
        ("[Sentence(('a',), (1,))] * 12", "sentence 1 of .*: words and tags are no strings"),
    ):
        (folder / "reader.py").write_text(reader.replace("[Sentence((path.name,), ('O',))] * 12", returned))
        with pytest.raises(CorpusError, match=f"reader.py: .*{problem}"):
            prepare("mine", place / "raw", place / "data")
    (folder / "reader.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(UserError, match="reader.py: cannot be imported .*nothing_of_this_name"):
        prepare("mine", place / "raw", place / "data")

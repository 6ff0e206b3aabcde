"""Encoded sentences kept beside the prepared corpora."""

import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import CorpusError
from hyperloader.formulations.text_to_text import TextToText
from hyperloader.models.backbones import open_backbone
from hyperloader.planning.plan import Plan
from hyperloader.training.tokenised import FOLDER, Tokeniser

TRAINING = Plan.read("config/config.yaml").recipe.training


@pytest.fixture(scope="module")
def corpus(place):
    return load_corpus(place / "data/atis", 20)


@pytest.fixture(scope="module")
def formulation(place, corpus):
    return TextToText(open_backbone(place / "t5").vocabulary, {"atis": corpus.train_label_types})


def as_lists(examples):
    return [(list(example.source), list(example.target)) for example in examples]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_sentences_come_back_as_they_were_encoded(corpus, formulation, split):
    kept = Tokeniser(formulation, TRAINING, "b")(corpus, split)
    expected = formulation.encode("atis", getattr(corpus, split), TRAINING)
    assert as_lists(kept) == as_lists(expected)
    assert [tuple(pair) for pair in kept.lengths] == [(len(example.source), len(example.target)) for example in expected]
    assert isinstance(kept[0].source, np.memmap)


def test_they_are_encoded_once_for_all_that_read_the_same(corpus, formulation):
    tokenise = Tokeniser(formulation, TRAINING, "once")
    first = as_lists(tokenise(corpus, "train"))
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(corpus.folder / FOLDER)}
    # what the sentences are is decided by the files, not by what is in memory
    assert as_lists(Tokeniser(formulation, TRAINING, "once")(replace(corpus, train=[]), "train")) == first
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(corpus.folder / FOLDER)} == before


def test_two_that_encode_at_once_agree_on_the_first(corpus, formulation):
    tokenise, errors = Tokeniser(formulation, TRAINING, "raced"), []
    folders = [os.listdir(corpus.folder / FOLDER)]

    def encode():
        try:
            for _ in range(3):
                as_lists(tokenise(corpus, "validation"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=encode) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(os.listdir(corpus.folder / FOLDER)) == len(folders[0]) + 1


@pytest.mark.parametrize("file", ["source.npy", "source_ends.npy", "target.npy"])
@pytest.mark.parametrize("damage", [lambda data: data[:-8], lambda data: b"", lambda data: data[:40], lambda data: b"x" * len(data), None])
def test_damaged_files_are_named_with_what_to_delete(corpus, formulation, file, damage):
    tokenise = Tokeniser(formulation, TRAINING, f"damaged {file}")
    before = set(os.listdir(corpus.folder / FOLDER))
    expected = as_lists(tokenise(corpus, "validation"))
    (name,) = set(os.listdir(corpus.folder / FOLDER)) - before
    folder = corpus.folder / FOLDER / name
    (folder / file).unlink() if damage is None else (folder / file).write_bytes(damage((folder / file).read_bytes()))
    with pytest.raises(CorpusError, match=f"{name}: damaged .*; delete it: it is made again of "):
        tokenise(corpus, "validation")
    shutil.rmtree(folder)
    assert as_lists(tokenise(corpus, "validation")) == expected
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda corpus, training: (replace(corpus, percent=10, train=corpus.train[:7]), training, "c"),
        lambda corpus, training: (corpus, training.model_copy(update={"target_length": 9}), "c"),
        lambda corpus, training: (corpus, training, "another backbone"),
    ],
    ids=["fraction", "lengths", "backbone"],
)
def test_whatever_decides_the_ids_decides_the_folder(corpus, formulation, change):
    Tokeniser(formulation, TRAINING, "c")(corpus, "train")
    before = set(os.listdir(corpus.folder / FOLDER))
    changed, training, backbone = change(corpus, TRAINING)
    kept = Tokeniser(formulation, training, backbone)(changed, "train")
    assert len(set(os.listdir(corpus.folder / FOLDER)) - before) == 1
    assert as_lists(kept) == as_lists(formulation.encode("atis", changed.train, training))


def test_ids_that_are_cut_for_the_sake_of_another_task_are_kept_apart(place, corpus):
    vocabulary, short = open_backbone(place / "t5").vocabulary, TRAINING.model_copy(update={"source_length": 16})
    for tasks in (("atis",), ("atis", "a_task_of_a_longer_name")):
        formulation = TextToText(vocabulary, dict.fromkeys(tasks, ()), task_prefix=True)
        kept = Tokeniser(formulation, short, "prefixes")(corpus, "train")
        assert as_lists(kept) == as_lists(formulation.encode("atis", corpus.train, short)), tasks

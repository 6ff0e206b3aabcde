"""Encoded sentences kept beside the prepared corpora."""

import os
from dataclasses import replace

import numpy as np
import pytest

from hyperloader.backbones import load_vocabulary
from hyperloader.corpora.prepared import load_corpus
from hyperloader.formulations.text_to_text import TextToText
from hyperloader.plan import Plan
from hyperloader.training.tokenised import FOLDER, Tokeniser

TRAINING = Plan.read("config/config.yaml").recipe.training


@pytest.fixture(scope="module")
def corpus(place):
    return load_corpus(place / "data/atis", 20)


@pytest.fixture(scope="module")
def formulation(place, corpus):
    return TextToText(load_vocabulary(place / "t5"), {"atis": corpus.train_label_types})


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

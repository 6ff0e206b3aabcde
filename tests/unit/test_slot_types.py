"""Slot types of a user's own, in whatever characters, through training, prediction and scores."""

import json

import pytest
import torch
from test_run import run_in
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import CorpusError
from hyperloader.files import sha256, write_json
from hyperloader.formulations.text_to_text import TextToText
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import open_backbone
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.runs.records import ScoresRecord
from hyperloader.scoring import score_run
from hyperloader.text.sentt import to_sbio
from hyperloader.text.t5_vocabulary import UNKNOWN
from hyperloader.training.backbones.making import make_backbone
from hyperloader.training.backbones.vocabularies import write_word_vocabulary

OWN = ["{person}", "<x>", "a~b", "naïve", "\ufb01rst", "%7Bperson%7D", "中文"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The generated ATIS with awkward names for its slot types."""
    folder = tmp_path_factory.mktemp("own")
    generate("atis", folder / "raw")
    files = sorted((folder / "raw").rglob("seq.out"))
    types = sorted({tag[2:] for file in files for tag in file.read_text("utf-8").split() if tag != "O"}, key=len)
    names = dict(zip(types, [*OWN, *(f"my{name}" for name in types[len(OWN) :])], strict=True))
    for file in files:
        lines = file.read_text("utf-8").splitlines()
        renamed = [" ".join(tag if tag == "O" else tag[:2] + names[tag[2:]] for tag in line.split()) for line in lines]
        file.write_text("\n".join(renamed) + "\n", "utf-8")
    manifest = json.loads((folder / "raw" / "atis.json").read_text())
    for entry in manifest["files"]:
        entry["sha256"] = sha256(folder / "raw" / entry["path"])
    write_json(folder / "raw" / "atis.json", manifest)
    prepare("atis", folder / "raw", folder / "atis")
    return folder / "atis"


def test_the_targets_of_a_training_say_all_that_the_gold_does(own, place):
    corpus, vocabulary = load_corpus(own), open_backbone(place / "t5").vocabulary
    assert set(OWN) <= set(corpus.train_label_types)
    formulation = TextToText(vocabulary, {"atis": corpus.train_label_types})
    for sentence in corpus.train:
        labels = to_sbio(sentence.tags)
        target = formulation.encode("atis", [sentence], Long)[0].target
        assert UNKNOWN not in target
        assert vocabulary.read(target, len(labels), set(corpus.train_label_types)) == (labels, False)


class Long:
    source_length = target_length = 4096


def test_a_backbone_of_the_demo_takes_a_corpus_of_ones_own(own, place, tmp_path):
    run = run_in(tmp_path, "run", data={"atis": str(own)}, backbone=str(place / "t5"), percent=100)
    with pytest.raises(CorpusError, match="atis has slot types too long for a target of 24 tokens"):
        train_run(run)
    settings = json.loads((run / "settings.json").read_text())
    run = run_in(tmp_path, "run", **settings | {"training": settings["training"] | {"target_length": 128}})
    train_run(run)
    Tagger.from_pretrained(run, "constrained").predict("a b")
    # as a former version left it, which wrote `<unk>` for what the vocabulary lacks
    config = run / "model" / "config.json"
    former = json.loads(config.read_text())
    del former["backbone_checksum"]
    write_json(config, former)
    with pytest.raises(
        CorpusError, match=r"atis has slot types that the model cannot have learned to write: .*; rename them, or train it again"
    ):
        Tagger.from_pretrained(run)
    former["tasks"]["atis"] = [name for name in former["tasks"]["atis"] if name not in OWN]
    write_json(config, former)
    Tagger.from_pretrained(run).predict("a b")


def test_the_gold_of_a_corpus_of_ones_own_comes_back_whole(own, place, tmp_path):
    run = run_in(tmp_path, "run", method="gold_oracle", method_settings={}, data={"atis": str(own)}, backbone=str(place / "t5"))
    train_run(run)
    predict_run(run)
    score_run(run)
    assert ScoresRecord.read(run / "scores.json").corpora["atis"].headline.f1 == 1.0


def test_a_vocabulary_that_cannot_write_them_is_refused_before_the_training(own, tmp_path):
    torch.manual_seed(0)
    saved = tmp_path / "saved"
    model = T5ForConditionalGeneration(T5Config(d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2, vocab_size=107, pad_token_id=0))
    model.save_pretrained(saved)
    write_word_vocabulary(["O", "I", "a", "b"], saved / "spiece.model")
    (tmp_path / "t5").mkdir()
    backbone = {"source": "directory", "path": str(saved)}
    (tmp_path / "t5" / "settings.json").write_text(json.dumps({"kind": "t5", "backbone": backbone}))
    make_backbone(tmp_path / "t5")
    run = run_in(tmp_path, "run", data={"atis": str(own)})
    with pytest.raises(CorpusError, match=r"atis has slot types that this vocabulary cannot write: .*; rename them, or take a backbone"):
        train_run(run)
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith(".")) == ["settings.json"]

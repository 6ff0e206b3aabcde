"""Sentences that are too long: read in parts in training, validation, test and pre-training, counted, and joined again."""

import json
import logging
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_run import TRAINING, run_in
from transformers import BertConfig, BertModel

from hyperloader.config.settings import PretrainedBackbone, Pretraining, Training
from hyperloader.corpora.fetching.manifests import RawEntry, write_manifest
from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.registry import get_corpus
from hyperloader.files import sha256, write_json
from hyperloader.formulations import Prediction
from hyperloader.formulations.parts import joined, parts, predict_in_parts, whole_or_parts
from hyperloader.formulations.token_classification import TokenClassification
from hyperloader.interop.exporting import export
from hyperloader.methods.loading import load_predictor
from hyperloader.methods.training_run import train_run
from hyperloader.models.task_model import TokenClassifier
from hyperloader.predicting.evaluation import as_text, evaluate
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.runs.predictions import read_predictions
from hyperloader.runs.records import PredictionsManifest
from hyperloader.scoring import score_run
from hyperloader.text.bert_vocabulary import WordPieces, write_word_vocabulary
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import LONGEST
from hyperloader.text.t5_vocabulary import Vocabulary
from hyperloader.training.backbones import bert, t5
from hyperloader.training.backbones.making import make_backbone, t5_pieces
from hyperloader.training.backbones.text import corpora_text

# words: of a sentence that is too long, and of one whose words and sentinels are more than the recipe's 64 tokens
LONG, CUT = 250, 60
# more pieces than a BERT has positions
GIANT = "x-" * 600


def append(raw, split, words, tags):
    for file, line in (("seq.in", words), ("seq.out", tags), ("label", ["none"])):
        with open(raw / "snips" / split / file, "a", encoding="utf-8") as stream:
            stream.write(" ".join(line) + "\n")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A corpus with sentences that are too long, with one that is cut, and with a word that is too long, in each split."""
    folder = tmp_path_factory.mktemp("long")
    generate("snips", folder / "raw")
    corpus = get_corpus("snips")
    for number, split in enumerate(("train", "valid", "test"), 1):
        for _ in range(number):
            words = ["play" if place % 7 else "song." for place in range(LONG)]
            append(folder / "raw", split, words, ["O", "B-track", "I-track", "I-track", "I-track"] * (LONG // 5))
        append(folder / "raw", split, ["play"] * CUT, ["O"] * CUT)
        append(folder / "raw", split, [GIANT, "play"], ["O", "B-track"])
    entries = []
    for file in corpus.files:
        path = folder / "raw" / file.path
        entries.append(RawEntry(file.path, sha256(path), path.stat().st_size, "generated"))
    write_manifest(corpus, folder / "raw", entries)
    return prepare("snips", folder / "raw", folder / "data" / "snips")


def run_of(place, name, data, **changes):
    named = {"data": {"snips": str(data)}, "percent": 100, "training": TRAINING | {"target_length": 64}}
    return run_in(place, name, **named | changes)


@pytest.fixture(scope="module")
def network(place, data):
    run = run_of(place, "long-network", data)
    train_run(run)
    predict_run(run)
    score_run(run)
    return run


def test_a_saved_model_reads_and_writes_as_much_as_in_its_run(network, tmp_path):
    words = ["play"] * LONG
    before = tmp_path / "before"
    shutil.copytree(network, before)
    config = json.loads((before / "model/config.json").read_text())
    former = {name: value for name, value in config.items() if not name.endswith("_length")}
    assert len(former) == len(config) - 2
    write_json(before / "model/config.json", former)
    shutil.copytree(network / "model", tmp_path / "copy")
    for folder, output in ((network, "exported"), (tmp_path / "copy", "again"), (before, "former")):
        export(folder, "hyperloader", tmp_path / output)
    run = load_predictor(network)
    for name in ("copy", "exported", "again", "former"):
        own = load_predictor(tmp_path / name)
        assert (own.readable(words), own.capacity(words)) == (run.readable(words), run.capacity(words)), name


def predictions_of(run):
    manifest = PredictionsManifest.read(run / "predictions.json").corpora["snips"]
    return list(read_predictions(run / "predictions/snips.jsonl", manifest)), manifest


@given(st.lists(st.sampled_from(["a", "B", "c.", "D!"]), max_size=400), st.integers(-1, 120))
def test_no_word_and_no_tag_is_lost(words, capacity):
    sentence = Sentence(tuple(words), tuple(f"B-{number}" for number in range(len(words))))
    for own in (list(parts(sentence, lambda window: capacity)), whole_or_parts(sentence, lambda window: min(capacity, len(window)))):
        assert sum((part.words for part in own), ()) == sentence.words
        assert sum((part.tags for part in own), ()) == sentence.tags
        assert all(1 <= len(part.words) <= LONGEST for part in own) or not words
    assert len(whole_or_parts(sentence, lambda window: capacity)) == 1 or len(words) > LONGEST


def test_what_is_said_of_parts_is_joined():
    first = Prediction(["O", "B-x"], "one", False, ["B-x", "O"], [0.1, 0.2])
    second = Prediction(["I-x"], "two", True, ["O"], [0.3])
    assert joined([first, second]) == Prediction(["O", "B-x", "I-x"], "one two", True, ["B-x", "O", "O"], [0.1, 0.2, 0.3])
    assert joined([first]) is first
    assert joined([first._replace(by_order=None, confidences=None)] * 2) == Prediction(["O", "B-x"] * 2, "one one", False)
    assert joined([]) == Prediction([], "", False)
    # each sentence gets its own parts
    sentences = [Sentence(("w",) * length, ()) for length in (3, 0, 200, 99, 100)]
    answers = predict_in_parts(sentences, len, lambda own: [Prediction(["O"] * len(part.words), "", False) for part in own])
    assert [len(answer.tags) for answer in answers] == [3, 0, 200, 99, 100]


def test_long_test_sentences_are_tagged_as_by_the_tagger_and_counted(network, data):
    predictions, manifest = predictions_of(network)
    gold = load_corpus(data).test
    assert (manifest.sentences, manifest.in_parts, manifest.cut) == (len(gold), 3, 2)
    tagger = Tagger.from_pretrained(network)
    # one that is too long, and one that fits
    for index in (-5, 0):
        own, sentence = predictions[index], gold[index]
        tagged = tagger.tag([list(sentence.words)], task="snips")[0]
        assert (own.tokens, own.gold, own.prediction) == (list(sentence.words), list(sentence.tags), [word["entity"] for word in tagged])
        assert own.confidences == pytest.approx([word["score"] for word in tagged], abs=1e-4)
        assert len(own.by_order) == len(own.confidences) == len(sentence.words)
    entry = json.loads((network / "scores.json").read_text())["corpora"]["snips"]
    assert entry["in_parts"] == 3 and entry["scores"][0]["gold_spans"] == sum(tag.startswith("B") for own in gold for tag in own.tags)


def test_long_sentences_are_trained_on_in_parts_and_counted_before_training(network, place, data, caplog):
    record = json.loads((network / "run.json").read_text())
    assert record["long_sentences"] == {"snips": {"train": {"in_parts": 1, "cut": 2}, "validation": {"in_parts": 2, "cut": 2}}}
    with caplog.at_level(logging.INFO, logger="hyperloader"):
        train_run(run_of(place, "long-again", data))
    messages = caplog.messages
    told = messages.index("snips, train: 1 sentences are too long and read in parts, 2 are cut")
    # the ids are those of the run before
    assert told < next(number for number, message in enumerate(messages) if message.startswith("step "))


def test_sentences_that_fit_are_not_mentioned(place):
    run = run_in(place, "short")
    train_run(run)
    assert json.loads((run / "run.json").read_text())["long_sentences"] == {}


@pytest.mark.parametrize("control", ["gold_oracle", "gazetteer", "all_outside"])
def test_controls_take_long_sentences_too(place, data, control):
    run = run_of(place, f"long-{control}", data, method=control, method_settings={})
    train_run(run)
    predict_run(run)
    score_run(run)
    predictions, manifest = predictions_of(run)
    assert manifest.in_parts == 3
    if control == "gold_oracle":
        # parts end after the words with a full stop, where no span does but every fifth
        assert 0.9 < json.loads((run / "scores.json").read_text())["corpora"]["snips"]["scores"][0]["f1"] < 1
        assert all(own.prediction == own.gold for own in predictions if len(own.tokens) <= LONGEST)


def test_a_file_with_long_sentences_is_evaluated(network, data, tmp_path, caplog):
    file = tmp_path / "long.conll"
    word = load_corpus(data).test[0].words[0]
    sentences = [[word] * length for length in (100, 99, 1, 31, 32)]
    file.write_text("\n".join("".join(f"{word}\tO\n" for word in words) for words in sentences))
    with caplog.at_level(logging.INFO, logger="hyperloader"):
        report = evaluate(network, str(file), task="snips", output=tmp_path / "kept.jsonl")
    assert (report.sentences, report.in_parts) == (5, 1)
    # as published, shorter ones are cut where the recipe's 64 tokens end: those of 31 words, 32 sentinels and </s>
    assert caplog.messages[-1] == f"{file}: 1 sentences are too long and tagged in parts, 2 are cut"
    assert "5 sentences, 1 of them tagged in parts, " in as_text(report)
    kept = [json.loads(line) for line in (tmp_path / "kept.jsonl").read_text().splitlines()]
    assert [own["tokens"] for own in kept] == sentences


@pytest.mark.parametrize("method", ["hyperloader", "gazetteer"])
def test_a_predictor_takes_sentences_of_any_length(network, place, data, method):
    if method == "hyperloader":
        run = network
    else:
        run = run_of(place, "long-predictor", data, method=method, method_settings={})
        train_run(run)
    predictor = load_predictor(run)
    lengths = [0, 1, 98, 99, 100, 1000, 0]
    predictions = predictor.predict("snips", [Sentence(("play",) * length, ()) for length in lengths])
    assert [len(prediction.tags) for prediction in predictions] == lengths
    assert predictor.predict("snips", []) == []


def test_nothing_is_longer_than_a_bert_has_positions(tmp_path):
    write_word_vocabulary(["a", "b"], tmp_path / "vocab.txt")
    word_pieces, tasks = WordPieces(tmp_path / "vocab.txt"), {"only": ("x",)}
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16}
    model = TokenClassifier(BertModel(BertConfig(vocab_size=word_pieces.size, **sizes), add_pooling_layer=False), tasks).eval()
    formulation = TokenClassification(word_pieces, tasks, positions=16)
    training = Training(**TRAINING | {"source_length": 600})
    words = ["a"] * 50
    assert formulation.capacity([GIANT, "a"], training) == formulation.readable([GIANT, "a"], training) == 0
    (giant,) = formulation.predict(model, "only", [[GIANT]], training)
    assert (giant.tags, giant.confidences, giant.malformed) == (["O"], [0], True)
    assert formulation.capacity(words, training) == formulation.readable(words, training) == 14
    (prediction,) = formulation.predict(model, "only", [words], training)
    assert prediction.malformed and prediction.tags[14:] == ["O"] * 36 and prediction.confidences[14:] == [0] * 36
    (example, empty) = formulation.encode("only", [Sentence(tuple(words), ("O",) * 50), Sentence((), ())], training)
    assert (len(example.source), example.cut, empty.cut) == (16, True, False)
    with torch.no_grad():
        model(task="only", **formulation.collate("only", [example, empty]).inputs)


SIZES = {
    "t5": {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_heads": 2},
    "bert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
}


@pytest.mark.parametrize("kind", SIZES)
def test_backbones_are_pretrained_on_text_with_long_sentences(data, tmp_path, kind, request):
    if kind == "t5":
        # its vocabulary is that part of T5's own which the text needs
        request.getfixturevalue("mirror")
    assert max(len(sentence.words) for sentence in corpora_text([load_corpus(data)], seed=1)) == LONGEST
    budget = {"steps": 1, "batch_size": 2}
    backbone = {"source": "pretrained", "text": "corpora", "architecture": SIZES[kind], "pretraining": budget}
    (tmp_path / "settings.json").write_text(json.dumps({"kind": kind, "backbone": backbone, "data": {"snips": str(data)}}))
    make_backbone(tmp_path)
    assert (tmp_path / "manifest.json").is_file()


def test_a_word_that_is_too_long_for_pretraining_is_cut_or_left_out(mirror, tmp_path):
    sentences = [Sentence((GIANT, "play"), ("O", "B-x")), Sentence(("play", "a"), ("O", "B-x"))]
    budget = Pretraining(steps=1, batch_size=4)
    batch_of = t5.batches(sentences, Vocabulary(t5_pieces(str(mirror))), budget, seed=1)
    batches = [batch_of(step) for step in range(64)]
    assert max(batch.inputs["input_ids"].shape[1] for batch in batches) == t5.LENGTH == max(batch.labels.shape[1] for batch in batches)
    write_word_vocabulary(["play", "a", "x"], tmp_path / "vocab.txt")
    formulation = TokenClassification(WordPieces(tmp_path / "vocab.txt"), {bert.GUESSING: (), bert.TAGGING: ("x",)})
    backbone = PretrainedBackbone(source="pretrained", text="corpora", architecture=SIZES["bert"], pretraining=budget)
    batch_of = bert.batches(sentences, formulation, backbone, t5.training_of(budget))
    assert {batch_of(step).inputs["input_ids"].shape for step in range(32)} == {(4, 4)}

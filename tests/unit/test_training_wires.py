"""What a training is given: which split, at which fraction, in which order, from which seed; by corpora that say where they are from."""

import json
import shutil
import signal
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from marked_corpora import first_words, mark
from safetensors.torch import load_file
from tiny_runs import SIZES, TRAINING, write_settings

from hyperloader.config.settings import Training
from hyperloader.corpora.generated.generate import DemoLanguage, demo_label_names
from hyperloader.corpora.prepared import load_corpus, read_prepared_manifest
from hyperloader.corpora.splits import subset
from hyperloader.errors import RunError
from hyperloader.files import sha256, write_json
from hyperloader.formulations import formulation_of
from hyperloader.formulations.decoding import GreedyDecoder
from hyperloader.formulations.text_to_text import TextToText
from hyperloader.methods.loading import load_predictor
from hyperloader.methods.registry import get_method
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import open_backbone
from hyperloader.models.task_model import TaskModel
from hyperloader.predicting.evaluation import evaluate
from hyperloader.predicting.prediction import predict_run
from hyperloader.text.sentences import Sentence
from hyperloader.training.backbones.vocabularies import write_word_vocabulary
from hyperloader.training.data import training_batches, validation_batches
from hyperloader.training.sampler import task_probabilities
from hyperloader.training.tokenised import Tokeniser

SPLITS = ("train", "validation", "test")
SHARE = {"atis": {"train": 24, "validation": 12, "test": 10}, "snips": {"train": 12, "validation": 8, "test": 6}}


class Marked(NamedTuple):
    """Two such corpora.

    Attributes:
        folders: of each.
        sentences: of each and each split.
    """

    folders: dict[str, Path]
    sentences: dict[str, dict[str, list[Sentence]]]

    def part(self, name, split, percent=100.0):
        """First word and slot type of each sentence of a fraction."""
        sentences = self.sentences[name][split]
        return {(sentences[index].words[0], sentences[index].tags[0][2:]) for index in subset(len(sentences), percent, seed=42)}


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    folder, words, types = tmp_path_factory.mktemp("marked"), first_words(), iter(demo_label_names())
    sentences = {}
    for name, sizes in SHARE.items():
        # more than a fraction of train has room for
        own = {split: [next(types) for _ in range({"train": 9, "validation": 3, "test": 3}[split])] for split in SPLITS}
        sentences[name] = mark(name, folder, sizes, own, words)
    return Marked({name: folder / name for name in SHARE}, sentences)


@pytest.fixture
def shown(monkeypatch, place):
    """All that models are given from now on: whether in training, for which task, and first word and slot type of each sentence."""
    rows, vocabulary, states = [], open_backbone(place / "t5").vocabulary, TaskModel.states

    def watched(self, task, **inputs):
        # after the start token and the first sentinel
        pairs = zip(inputs["input_ids"].tolist(), inputs["decoder_input_ids"].tolist(), strict=True)
        rows.append((self.training, task, [(vocabulary.label(source[1:2]), vocabulary.label(target[2:3])) for source, target in pairs]))
        return states(self, task, **inputs)

    monkeypatch.setattr(TaskModel, "states", watched)
    return rows


def trained(run, marked, place, names=("atis", "snips"), **changes):
    """Train; its `run.json`."""
    write_settings(run, {name: marked.folders[name] for name in names}, place / "t5", **changes)
    train_run(run)
    return json.loads((run / "run.json").read_text())


@pytest.mark.parametrize(("percent", "names"), [(50, ("snips", "atis")), (100, ("atis", "snips"))])
def test_every_split_goes_where_it_belongs(marked, place, shown, tmp_path, percent, names):
    record = trained(tmp_path, marked, place, names, training={"steps": 24, "evaluate_every": 12}, percent=percent)
    seen = {
        (name, training): Counter(pair for mode, task, pairs in shown if (mode, task) == (training, name) for pair in pairs)
        for name in names
        for training in (True, False)
    }
    known = {}
    for name, sizes in SHARE.items():
        train, validation = (marked.part(name, split, percent) for split in ("train", "validation"))
        assert len(train) == sizes["train"] * percent // 100 and len(validation) == sizes["validation"] * percent // 100
        # nearly all, since sentences come by chance
        assert set(seen[name, True]) <= train and len(seen[name, True]) > 0.6 * len(train)
        # each sentence once in each of two evaluations
        assert seen[name, False] == dict.fromkeys(validation, 2)
        known[name] = sorted({slot_type for _, slot_type in train})
    tasks = json.loads((tmp_path / "model/config.json").read_text())["tasks"]
    assert tasks == known and list(tasks) == list(names)
    assert record["steps"] == 24
    # some types are in the rest of the training sentences only
    assert (len(known["atis"]) < 9) == (percent < 100)


@pytest.mark.parametrize("seed", [42, 7])
def test_fractions_are_drawn_by_the_seed_of_the_preparation(tmp_path, seed):
    sentences = mark("atis", tmp_path, SHARE["atis"], dict.fromkeys(SPLITS, demo_label_names()[:2]), first_words(), seed)
    corpus = load_corpus(tmp_path / "atis", 25)
    for split in ("train", "validation"):
        assert getattr(corpus, split) == [sentences[split][index] for index in subset(SHARE["atis"][split], 25, seed)]
    assert corpus.test == sentences["test"]
    assert (corpus.train == [sentences["train"][index] for index in subset(24, 25, 42)]) == (seed == 42)


@pytest.mark.parametrize("decoding", ["free", "constrained"])
def test_predictions_are_of_the_whole_test_set(marked, place, tmp_path, decoding):
    trained(tmp_path, marked, place, percent=50, training={"steps": 1, "evaluate_every": 1})
    predict_run(tmp_path, decoding)
    manifest = json.loads((tmp_path / "predictions.json").read_text())
    assert manifest["decoding"] == decoding
    for name, sizes in SHARE.items():
        lines = [json.loads(line) for line in (tmp_path / f"predictions/{name}.jsonl").read_text().splitlines()]
        assert [(tuple(line["tokens"]), tuple(line["gold"])) for line in lines] == marked.sentences[name]["test"]
        assert manifest["corpora"][name]["sentences"] == sizes["test"]
        # an output of a free model that has learned nothing is as it comes
        assert any(line["malformed"] for line in lines) == (decoding == "free")


def corpora(marked, percent=100.0):
    return {name: load_corpus(folder, percent) for name, folder in marked.folders.items()}


def given(marked, place, training, percent=100.0):
    """What of the corpora becomes batches."""
    loaded, settings = corpora(marked, percent), Training(**(TRAINING | training))
    formulation = formulation_of(open_backbone(place / "t5"), {name: corpus.train_label_types for name, corpus in loaded.items()})
    return list(loaded.values()), Tokeniser(formulation, settings, "any"), settings


@pytest.mark.parametrize("temperature", [1, 2, 1e6])
def test_tasks_are_drawn_at_the_temperature_of_the_recipe(marked, place, temperature):
    batch_of = training_batches(*given(marked, place, {"temperature": temperature, "batch_size": 1}), seed=3)
    share = sum(batch_of(step).task == "atis" for step in range(1024)) / 1024
    # 2/3 at 1, half without bound; a standard error is 0.016
    assert share == pytest.approx(task_probabilities([24, 12], temperature)[0], abs=0.05)


def test_sentences_of_a_batch_are_those_of_its_task(marked, place):
    vocabulary = open_backbone(place / "t5").vocabulary
    batch_of = training_batches(*given(marked, place, {"batch_size": 3}), seed=3)
    for step in range(30):
        batch = batch_of(step)
        assert batch.inputs["input_ids"].shape[0] == 3
        for source, target in zip(batch.inputs["input_ids"].tolist(), batch.labels.tolist(), strict=True):
            pair = vocabulary.label(source[1:2]), vocabulary.label(target[1:2])
            assert pair in marked.part(batch.task, "train")


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_validation_is_whole_or_a_part_drawn_by_the_seed(marked, place, limit):
    vocabulary = open_backbone(place / "t5").vocabulary

    def words(seed):
        batches = validation_batches(*given(marked, place, {"evaluation_batches": limit, "batch_size": 3}), seed=seed)
        assert list(batches) == ["atis", "snips"] and all(batch.task == name for name, own in batches.items() for batch in own)
        return {
            name: sorted(vocabulary.label(row[1:2]) for batch in own for row in batch.inputs["input_ids"].tolist())
            for name, own in batches.items()
        }

    first = words(1)
    for name, sizes in SHARE.items():
        known = {word for word, _ in marked.part(name, "validation")}
        assert len(set(first[name])) == len(first[name]) == (sizes["validation"] if limit is None else limit * 3)
        assert set(first[name]) <= known
    assert words(1) == first and (words(2) == first) == (limit is None)


@pytest.mark.parametrize(("parts", "largest"), [(1, 12), (4, 8)])
def test_what_lowers_the_memory_of_a_step_lowers_that_of_a_validation(marked, place, parts, largest):
    batches = validation_batches(*given(marked, place, {"batch_size": 4, "gradient_accumulation_steps": parts}), seed=1)
    assert max(len(batch.labels) for own in batches.values() for batch in own) == largest


def test_too_little_memory_for_the_f1_of_a_validation_is_told_in_a_line(marked, place, tmp_path, monkeypatch):
    monkeypatch.setattr(TextToText, "predict", lambda *given: torch.empty(2**60))
    with pytest.raises(RunError, match=r"too little memory for tagging \d+ validation sentences of atis on cpu; select by the loss"):
        trained(tmp_path, marked, place, training={"selection": "best_f1", "steps": 1})


def test_a_budget_in_epochs_counts_the_sentences_of_the_fraction(marked, place, tmp_path):
    def steps(name, **training):
        record = trained(tmp_path / name, marked, place, percent=50, training={"batch_size": 4, "steps": 100} | training)
        return record["steps"], [point["step"] for point in record["curve"]]

    # 12 and 6 sentences
    assert steps("one", epochs=1) == (5, [5])
    assert steps("two", epochs=2) == (10, [5, 10])
    assert steps("few", epochs=2, steps=7) == (7, [5, 7])


STILL = {"learning_rate": 1e-30, "weight_decay": 0.0, "evaluate_every": 1, "steps": 3, "warmup_steps": 0, "schedule": "constant"}


def test_the_seed_decides_the_initial_weights(marked, place, tmp_path):
    """At this learning rate they are what is saved."""

    def weights(name, seed):
        trained(tmp_path / name, marked, place, seed=seed, training=STILL | {"steps": 1})
        return load_file(tmp_path / name / "model/model.safetensors")

    def drawn(seed):
        torch.manual_seed(seed)
        tasks, method = dict.fromkeys(SHARE, ()), get_method("hyperloader")
        return method.build(open_backbone(place / "t5").model(), tasks, method.settings(SIZES["hyperloader"])).trainable_state()

    for name, seed in (("one", 1), ("same", 1), ("two", 2)):
        own, expected = weights(name, seed), drawn(seed)
        assert own.keys() == expected.keys()
        for key, tensor in own.items():
            torch.testing.assert_close(tensor, expected[key].detach(), rtol=0, atol=1e-12)
    assert not torch.equal(drawn(1)["hypernetwork.task_embeddings.weight"], drawn(2)["hypernetwork.task_embeddings.weight"])


def losses(record, which="loss"):
    return [point[which] for point in record["curve"]]


def test_the_seed_decides_batches_and_validation_sentences(marked, place, tmp_path):
    """Without initial weights that are drawn, without dropout, and with weights that stay as they are."""
    records = [
        trained(tmp_path / name, marked, place, method="full_finetuning", seed=seed, training=STILL | {"evaluation_batches": 1})
        for name, seed in (("one", 1), ("same", 1), ("two", 2))
    ]
    for which in ("loss", "validation_loss"):
        one, same, two = (losses(record, which) for record in records)
        assert one == same and not set(one) & set(two), which
    # other sentences at each step, the same at each evaluation
    assert len(set(losses(records[0]))) == 3 and len(set(losses(records[0], "validation_loss"))) == 1


def backbone_with(place, folder, change):
    """A copy of the backbone in which `change` has edited the files of the model's folder, as if it was made so."""
    shutil.copytree(place / "t5", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(folder / manifest["path"])
    sums = {name: sha256(folder / manifest["path"] / Path(name).name) for name in manifest["sha256"]}
    write_json(folder / "manifest.json", manifest | {"sha256": sums})
    return folder


def with_dropout(folder):
    write_json(folder / "config.json", json.loads((folder / "config.json").read_text()) | {"dropout_rate": 0.3})


def with_other_ids(folder):
    """The words of the vocabulary in another order."""
    words = [*reversed([*DemoLanguage().words(), *demo_label_names()]), "O", "I"]
    write_word_vocabulary(words, folder / "spiece.model")


def test_the_seed_decides_dropout(marked, place, tmp_path):
    """With a single sentence, so that nothing else is drawn."""
    backbone = backbone_with(place, tmp_path / "dropout", with_dropout)
    curves = []
    for number, seed in enumerate((1, 1, 2)):
        run = tmp_path / str(number)
        one = {"percent": 1, "seed": seed, "method": "full_finetuning", "training": STILL}
        write_settings(run, {"atis": marked.folders["atis"]}, backbone, **one)
        train_run(run)
        record = json.loads((run / "run.json").read_text())
        curves.append(losses(record))
        # evaluations are without it
        assert len(set(losses(record, "validation_loss"))) == 1
    one, same, two = curves
    assert one == same and not set(one) & set(two) and len(set(one)) == 3


def test_the_record_says_what_was_trained(marked, place, tmp_path):
    record = trained(tmp_path, marked, place, percent=50, seed=7, training={"selection": "best"})
    assert record["settings"] == json.loads((tmp_path / "settings.json").read_text()) | {"training": record["settings"]["training"]}
    assert TRAINING.items() - {("selection", "last")} <= record["settings"]["training"].items()
    assert len(record["checksums"].pop("code")) == 64
    assert record["checksums"] == {
        "backbone": open_backbone(place / "t5").checksum,
        "data": {name: read_prepared_manifest(folder).checksum for name, folder in marked.folders.items()},
        "known": None,
    }
    weights = load_file(tmp_path / "model/model.safetensors")
    counts = record["parameters"]
    assert counts["trainable"] == sum(tensor.numel() for tensor in weights.values())
    # all of the backbone but for its layer norms is frozen
    frozen = {name: tensor for name, tensor in open_backbone(place / "t5").model().named_parameters() if f"backbone.{name}" not in weights}
    assert counts["total"] == counts["trainable"] + sum(tensor.numel() for tensor in frozen.values())
    # the encoder's embeddings of cross-attention
    assert counts["trainable"] - counts["live"] == 2 * SIZES["hyperloader"]["position_dim"]
    validation = losses(record, "validation_loss")
    assert record["best_step"] == record["curve"][validation.index(min(validation))]["step"]
    assert (record["processes"], record["threads"]) == (1, torch.get_num_threads())
    config = json.loads((tmp_path / "model/config.json").read_text())
    # with the defaults of what the run's settings leave out
    settings = get_method("hyperloader").settings(SIZES["hyperloader"]).model_dump()
    assert (config["method"], config["settings"], config["backbone"]) == ("hyperloader", settings, str(place / "t5"))
    assert (config["source_length"], config["target_length"]) == (TRAINING["source_length"], TRAINING["target_length"])


def test_the_f1_that_selects_is_that_of_the_validation_sentences(marked, place, tmp_path):
    record = trained(tmp_path, marked, place, training={"selection": "best_f1", "steps": 24, "evaluate_every": 8})
    f1s = losses(record, "validation_f1")
    assert record["best_step"] == record["curve"][f1s.index(max(f1s))]["step"]
    own = [evaluate(tmp_path, name, "validation").headline.f1 for name in ("atis", "snips")]
    assert max(f1s) == pytest.approx(sum(own) / 2)


def trained_inputs(patch):
    """Where the task and the first four ids of each sentence come that a model is trained on."""
    states, begun = TaskModel.states, set()
    patch.setattr(
        TaskModel,
        "states",
        lambda self, task, **own: begun.update((task, *ids[:4]) for ids in own["input_ids"].tolist()) or states(self, task, **own),
    )
    return begun


def decoded_inputs(patch):
    """Where the ids of each sentence come that is tagged."""
    decode, seen = GreedyDecoder.decode, []
    patch.setattr(GreedyDecoder, "decode", lambda self, model, sources, *rest: seen.extend(sources) or decode(self, model, sources, *rest))
    return seen


def test_a_task_prefix_is_read_in_training_and_prediction(marked, place, tmp_path, monkeypatch):
    backbone = open_backbone(place / "t5")
    tasks = {"atis": (), "snips": ()}
    plain, told = formulation_of(backbone, tasks), formulation_of(backbone, tasks, settings={"task_prefix": True})
    sentence = load_corpus(marked.folders["atis"]).train[0]
    lengths = Training(**TRAINING)
    (bare,) = plain.encode("atis", [sentence], lengths)
    for task in tasks:
        (example,) = told.encode(task, [sentence], lengths)
        assert list(example.source) == [*backbone.vocabulary.pieces(f"{task}:"), *bare.source] and example.target == bare.target
    cut = lengths.model_copy(update={"source_length": len(bare.source) + len(told.prefix("snips")) - 1})
    (example,) = told.encode("snips", [sentence], cut)
    assert len(example.source) <= cut.source_length and example.cut
    run = tmp_path / "run"
    settings = {"method": "full_finetuning", "method_settings": {"task_prefix": True}}
    with monkeypatch.context() as patch:
        begun = trained_inputs(patch)
        trained(run, marked, place, training={"steps": 4, "evaluate_every": 2}, **settings)
    assert begun == {(task, *told.prefix(task)[:4]) for task in tasks}
    predictor = load_predictor(run)
    seen = decoded_inputs(monkeypatch)
    predictor.predict("atis", [sentence])
    assert seen == [[*backbone.vocabulary.pieces("atis:"), *bare.source]]


@pytest.mark.skipif(find_spec("peft") is None, reason="needs the library peft")
@pytest.mark.parametrize(("named", "number"), [({"virtual_tokens": 3}, 3), ({}, 100)])
def test_virtual_tokens_are_read_in_training_and_prediction(marked, place, tmp_path, monkeypatch, named, number):
    words = open_backbone(place / "t5").config.vocab_size
    prompt = [*range(words, words + number)]
    with monkeypatch.context() as patch:
        begun = trained_inputs(patch)
        settings = {"method": "prompt_tuning", "method_settings": named}
        record = trained(tmp_path / "run", marked, place, training={"steps": 4, "evaluate_every": 2}, **settings)
    # after them comes the sentence
    assert {ids[1 : 1 + number] for ids in begun} == {tuple(prompt[:4])}
    assert all(0 < own < words for ids in begun for own in ids[1 + number :])
    assert record["packages"]["peft"] == version("peft")
    assert record["parameters"]["trainable"] == number * open_backbone(place / "t5").config.d_model
    seen = decoded_inputs(monkeypatch)
    load_predictor(tmp_path / "run").predict("atis", [load_corpus(marked.folders["atis"]).train[0]])
    assert [source[:number] for source in seen] == [prompt] and 0 < seen[0][number] < words


def test_a_control_learns_of_the_fraction_only(marked, tmp_path):
    write_settings(tmp_path, marked.folders, None, "gazetteer", percent=50)
    train_run(tmp_path)
    learned = json.loads((tmp_path / "model/learned.json").read_text())["corpora"]
    assert {name: {(phrase[0], slot_type) for phrase, slot_type in own} for name, own in learned.items()} == {
        name: marked.part(name, "train", 50) for name in SHARE
    }
    predict_run(tmp_path)
    lines = [json.loads(line) for name in SHARE for line in (tmp_path / f"predictions/{name}.jsonl").read_text().splitlines()]
    assert len(lines) == 16 and {tag for line in lines for tag in line["prediction"]} == {"O"}


def test_sentences_are_encoded_anew_for_another_vocabulary(marked, place, tmp_path, monkeypatch):
    backbone, seen, states = backbone_with(place, tmp_path / "other", with_other_ids), [], TaskModel.states

    def watched(self, task, **inputs):
        seen.extend((task, row[1:2]) for row in inputs["input_ids"].tolist())
        return states(self, task, **inputs)

    monkeypatch.setattr(TaskModel, "states", watched)
    for folder in (place / "t5", backbone):
        seen.clear()
        write_settings(tmp_path / "run", marked.folders, folder)
        train_run(tmp_path / "run")
        words = {name: {word for split in SPLITS[:2] for word, _ in marked.part(name, split)} for name in SHARE}
        vocabulary = open_backbone(folder).vocabulary
        assert seen and all(vocabulary.label(ids) in words[task] for task, ids in seen)


@pytest.mark.parametrize("what", ["settings", "data", "backbone"])
def test_a_checkpoint_of_something_else_is_not_gone_on_from(place, tmp_path, monkeypatch, what):
    def prepared(first):
        words = first_words()
        for _ in range(first):
            next(words)
        mark("atis", tmp_path / "data", {"train": 8, "validation": 4, "test": 1}, dict.fromkeys(SPLITS, demo_label_names()[:2]), words)

    def write(run, seed=1):
        return write_settings(run, {"atis": tmp_path / "data/atis"}, tmp_path / "t5", seed=seed)

    prepared(0)
    backbone_with(place, tmp_path / "t5", lambda folder: None)
    passes, states = [], TaskModel.states

    def stopped(self, task, **inputs):
        passes.append(self.training)
        if sum(passes) == 4:
            signal.raise_signal(signal.SIGTERM)
        return states(self, task, **inputs)

    with monkeypatch.context() as patch, pytest.raises(RunError, match="after step 4 of 6, with a checkpoint"):
        patch.setattr(TaskModel, "states", stopped)
        train_run(write(tmp_path / "run"))
    seed = 2 if what == "settings" else 1
    if what == "data":
        prepared(20)
    if what == "backbone":
        shutil.rmtree(tmp_path / "t5")
        backbone_with(place, tmp_path / "t5", with_dropout)
    curves = []
    for name in ("run", "fresh"):
        train_run(write(tmp_path / name, seed))
        curves.append(json.loads((tmp_path / name / "run.json").read_text())["curve"])
    assert curves[0] == curves[1]
    weights = [(tmp_path / name / "model/model.safetensors").read_bytes() for name in ("run", "fresh")]
    assert weights[0] == weights[1]

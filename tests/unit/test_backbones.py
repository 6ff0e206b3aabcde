"""Backbones: pre-trained here, from a directory, from the hub; and what is said when one cannot be had."""

import json

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.config.settings import Pretraining
from hyperloader.corpora.generated.generate import DemoLanguage, auxiliary_sentences, demo_label_names
from hyperloader.errors import BackboneError, UserError
from hyperloader.models.backbones import open_backbone
from hyperloader.training.backbones.making import make_backbone, t5_pieces
from hyperloader.training.backbones.t5 import batches
from hyperloader.training.backbones.text import with_word_classes
from hyperloader.training.backbones.vocabularies import write_word_vocabulary
from hyperloader.training.backbones.word_classes import word_classes

TINY = {
    "source": "pretrained",
    "text": "generated",
    "architecture": {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_heads": 2},
    "pretraining": {"steps": 3, "batch_size": 4},
}


def settings(folder, backbone, kind="t5"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps({"kind": kind, "backbone": backbone}))
    return folder


def test_pretraining_twice_gives_the_same_bytes(tmp_path):
    folders = [settings(tmp_path / name, TINY) for name in "ab"]
    for folder in folders:
        make_backbone(folder)
    first, second = ((folder / "manifest.json").read_bytes() for folder in folders)
    assert first == second
    assert open_backbone(folders[0]).checksum == open_backbone(folders[1]).checksum
    assert not (folders[0] / "checkpoints").exists()
    vocabulary, model = open_backbone(folders[0]).vocabulary, open_backbone(folders[0]).model()
    assert model.config.vocab_size == vocabulary.size
    language = DemoLanguage(42)
    for word in (*language.words(), *demo_label_names(), "O", "I"):
        assert len(vocabulary.pieces(word)) == 1, word


def test_embeddings_of_labels_to_come_stay_apart(tmp_path):
    tiny = TINY | {"pretraining": {"steps": 40, "batch_size": 4}}
    folder = settings(tmp_path / "t5", tiny)
    make_backbone(folder)
    vocabulary, embeddings = open_backbone(folder).vocabulary, open_backbone(folder).model().shared.weight
    ids = [vocabulary.pieces(label)[0] for label in demo_label_names()]
    cosines = torch.nn.functional.cosine_similarity(embeddings[ids][:, None], embeddings[ids][None], dim=-1)
    assert abs(cosines[~torch.eye(len(ids), dtype=bool)].mean().item()) < 0.05


def test_a_directory_is_used_in_place(tmp_path):
    model = T5ForConditionalGeneration(T5Config(d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2, vocab_size=110))
    model.save_pretrained(tmp_path / "mine")
    folder = settings(tmp_path / "backbone", {"source": "directory", "path": str(tmp_path / "mine")})
    with pytest.raises(BackboneError, match="mine: has no spiece.model"):
        make_backbone(folder)
    write_word_vocabulary(["a", "b"], tmp_path / "mine" / "spiece.model")
    make_backbone(folder)
    assert torch.equal(open_backbone(folder).model().shared.weight, model.shared.weight)
    assert not (folder / "model").exists()


def test_a_directory_that_is_none(tmp_path):
    folder = settings(tmp_path / "backbone", {"source": "directory", "path": str(tmp_path / "nowhere")})
    with pytest.raises(BackboneError, match="nowhere.*save_pretrained layout"):
        make_backbone(folder)


def test_without_the_hub_the_error_names_what_is_missing_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = settings(tmp_path / "backbone", {"source": "hub", "name": "google-t5/t5-base"})
    with pytest.raises(BackboneError, match="weights of google-t5/t5-base.*results/demo/table4.csv") as caught:
        make_backbone(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "manifest.json").exists() and not (folder / "model").exists()


def test_a_vocabulary_that_is_not_t5s_is_refused(tmp_path):
    (tmp_path / "tokenizers" / "t5").mkdir(parents=True)
    (tmp_path / "tokenizers" / "t5" / "spiece.model").write_bytes(b"something else")
    with pytest.raises(BackboneError, match="checksum differs"):
        t5_pieces(str(tmp_path))


def test_an_unmade_or_damaged_backbone(tmp_path):
    with pytest.raises(UserError, match="hyperloader backbone"):
        open_backbone(tmp_path).model()
    folder = settings(tmp_path / "t5", TINY)
    make_backbone(folder)
    weights = folder / "model" / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:1000], whole[:-1] + bytes([whole[-1] ^ 1])):
        weights.write_bytes(damaged)
        with pytest.raises(BackboneError, match="model.safetensors: missing, or not the file of the manifest; make it: hyperloader"):
            open_backbone(folder).model()
    weights.unlink()
    with pytest.raises(BackboneError, match="model.safetensors: missing"):
        open_backbone(folder).model()


def test_a_directory_whose_weights_are_damaged(tmp_path):
    model = T5ForConditionalGeneration(T5Config(d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2, vocab_size=110))
    model.save_pretrained(tmp_path / "mine")
    write_word_vocabulary(["a", "b"], tmp_path / "mine" / "spiece.model")
    weights = tmp_path / "mine" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    folder = settings(tmp_path / "backbone", {"source": "directory", "path": str(tmp_path / "mine")})
    make_backbone(folder)
    with pytest.raises(BackboneError, match="cannot be loaded"):
        open_backbone(folder).model()


def test_pretraining_batches_hide_words_or_tag(tmp_path):
    language = DemoLanguage(1)
    sentences = list(auxiliary_sentences(language, 50, 1))
    write_word_vocabulary(["O", "I", *language.words()], tmp_path / "spiece.model")
    from hyperloader.text.sentences import Sentence
    from hyperloader.text.t5_vocabulary import Vocabulary

    vocabulary = Vocabulary(tmp_path / "spiece.model")
    sentences = [Sentence(*sentence) for sentence in sentences]
    rewriting = batches(sentences, vocabulary, Pretraining(steps=1, batch_size=8, tagging=0), 3)(0)
    for source, target in zip(rewriting.inputs["input_ids"], rewriting.labels, strict=True):
        source, target = [i for i in source.tolist() if i > 1], [i for i in target.tolist() if i > 1]
        assert len(source) < len(target) and set(source) <= set(target)
    tagging = batches(sentences, vocabulary, Pretraining(steps=1, batch_size=8, tagging=1), 3)(0)
    names = {vocabulary.pieces(name)[0] for name in (*language.class_names.values(), "O", "I")}
    assert {i for i in tagging.labels.flatten().tolist() if 1 < i < vocabulary.size - 100} <= names


def test_words_that_keep_the_same_company_share_a_class():
    generator = np.random.default_rng(0)
    cities, days = ["rome", "oslo", "lima"], ["monday", "friday", "sunday"]
    others = [f"w{number}" for number in range(40)]
    sentences = [f"fly to {city} now".split() for city in cities] * 60 + [f"leave on {day} please".split() for day in days] * 60
    # noise gives the matrix of neighbours its full rank, as any real text has
    sentences += [generator.choice(others, 6).tolist() for _ in range(300)]
    classes = word_classes(sentences, classes=12, dimensions=12, rare=2, seed=0)
    assert classes == word_classes(sentences, classes=12, dimensions=12, rare=2, seed=0)
    assert len({classes[city] for city in cities}) == len({classes[day] for day in days}) == 1
    assert classes["rome"] != classes["monday"]


def test_word_classes_are_tagged_as_spans():
    sentences = ["a b c d".split()] * 10 + ["d c b a".split()] * 10
    tagged = with_word_classes([words * 2 for words in sentences] + [[f"w{i}", f"v{i % 7}"] * 3 for i in range(200)], seed=0)
    for sentence in tagged:
        for before, tag in zip(["O", *sentence.tags], sentence.tags, strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:]

"""Backbones: pre-trained here, from a directory, from the hub; and what is said when one cannot be had."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, BertTokenizerFast, T5Config, T5ForConditionalGeneration, T5TokenizerFast

from hyperloader.config.settings import Pretraining
from hyperloader.corpora.generated.generate import DemoLanguage, auxiliary_sentences, demo_label_names
from hyperloader.errors import BackboneError, UserError
from hyperloader.models.backbones import open_backbone
from hyperloader.text.bert_vocabulary import SPECIAL, WordPieces
from hyperloader.text.sentences import Sentence
from hyperloader.text.t5_vocabulary import UNKNOWN, Vocabulary
from hyperloader.training.backbones.making import make_backbone, t5_pieces
from hyperloader.training.backbones.t5 import batches
from hyperloader.training.backbones.text import with_word_classes
from hyperloader.training.backbones.vocabularies import write_trained_vocabulary, write_word_vocabulary
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
    # and it can write the slot types of any corpus
    assert all(vocabulary.writes(label) for label in ("fromloc.city_name", "{person}", "naïve", "中文", "%7B", "<extra_id_3>"))


def test_embeddings_of_labels_to_come_stay_apart(tmp_path):
    tiny = TINY | {"pretraining": {"steps": 40, "batch_size": 4}}
    folder = settings(tmp_path / "t5", tiny)
    make_backbone(folder)
    vocabulary, embeddings = open_backbone(folder).vocabulary, open_backbone(folder).model().shared.weight
    ids = [vocabulary.pieces(label)[0] for label in demo_label_names()]
    cosines = torch.nn.functional.cosine_similarity(embeddings[ids][:, None], embeddings[ids][None], dim=-1)
    assert abs(cosines[~torch.eye(len(ids), dtype=bool)].mean().item()) < 0.05


def test_a_vocabulary_of_a_text_with_its_labels_whole(tmp_path):
    sentences = [sentence.words for sentence in auxiliary_sentences(DemoLanguage(), 300, 1)]
    labels = ["O", "I", "fromloc.city_name", "{person}"]
    for name in "ab":
        write_trained_vocabulary(sentences, labels, 600, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    vocabulary = Vocabulary(tmp_path / "a")
    assert vocabulary.size <= 3 + 600 + len(labels) + 100
    assert [vocabulary.label_pieces(label) for label in labels] == [(3,), (4,), (5,), (6,)]
    pieces = [vocabulary.pieces(word) for words in sentences for word in words]
    assert UNKNOWN not in {piece for own in pieces for piece in own} and len(pieces) < sum(map(len, pieces)) < 2 * len(pieces)
    # and labels that it was not told of
    assert all(vocabulary.writes(label) for label in ("toloc.city_name", "naïve", "中文", "%7B", "<extra_id_3>"))


def test_a_vocabulary_of_too_few_pieces_for_the_characters(tmp_path):
    with pytest.raises(BackboneError, match="no vocabulary of 50 pieces can be .*required_chars. 50 vs 9.*; raise 'pieces'") as caught:
        write_trained_vocabulary([["show", "flights"]] * 9, ["O"], 50, tmp_path / "few")
    assert "\n" not in str(caught.value) and not (tmp_path / "few").exists()


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
    monkeypatch.delenv("HYPERLOADER_MIRROR", raising=False)
    line = "spiece.model of google-t5/t5-base can be had neither .*: HF_HUB_OFFLINE is set; unset it, or let HYPERLOADER_MIRROR"
    with pytest.raises(BackboneError, match=line):
        t5_pieces()


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


SIZES = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_heads": 2}


@pytest.fixture
def mine(tmp_path):
    """A T5 as another library saved it."""
    torch.manual_seed(0)
    T5ForConditionalGeneration(T5Config(**SIZES, vocab_size=110)).save_pretrained(tmp_path / "mine")
    write_word_vocabulary(["a", "b"], tmp_path / "mine" / "spiece.model")
    return tmp_path / "mine"


def backbone_of(folder, kind="t5"):
    return settings(folder.parent / "backbone", {"source": "directory", "path": str(folder)}, kind)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (torch.full((16, 8), torch.nan), "'decoder.block.0.layer.0.SelfAttention.o.weight' holds NaN or infinity; get the model again"),
        (torch.full((16, 8), -torch.inf), "'decoder.block.0.layer.0.SelfAttention.o.weight' holds NaN or infinity"),
        (torch.ones(16, 8).to(torch.float8_e4m3fn), "is of type float8_e4m3fn, no floating-point numbers of 16 bits or more"),
        (torch.ones(16, 8, dtype=torch.int64), "cannot be loaded .*floating point"),
    ],
)
def test_weights_that_are_no_numbers(mine, value, problem):
    path = mine / "model.safetensors"
    save_file(load_file(path) | {"decoder.block.0.layer.0.SelfAttention.o.weight": value}, path, {"format": "pt"})
    folder = backbone_of(mine)
    make_backbone(folder)
    with pytest.raises(BackboneError, match=problem) as caught:
        open_backbone(folder).model()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [[], "text", {"vocab_size": "many"}, {"d_model": None}, {"num_layers": "two"}, {"num_heads": 0}, {"dropout_rate": "x"}]
)
def test_a_configuration_of_no_model(mine, change):
    content = json.loads((mine / "config.json").read_text()) | change if isinstance(change, dict) else change
    (mine / "config.json").write_text(json.dumps(content))
    folder = backbone_of(mine)
    make_backbone(folder)
    backbone = open_backbone(folder)
    with pytest.raises(BackboneError, match="config.json: .*is no number|cannot be loaded") as caught:
        _ = backbone.vocabulary, backbone.config, backbone.model()
    assert "\n" not in str(caught.value)


def test_weights_in_several_files(mine):
    whole = backbone_of(mine)
    make_backbone(whole)
    expected, checksum = open_backbone(whole).model().state_dict(), open_backbone(whole).checksum
    (mine / "model.safetensors").unlink()
    T5ForConditionalGeneration(T5Config(**SIZES, vocab_size=110)).save_pretrained(mine, max_shard_size="8KB")
    shards = sorted(path.name for path in mine.glob("model-*.safetensors"))
    assert len(shards) > 1 and not (mine / "model.safetensors").exists()
    for path in mine.glob("model-*.safetensors"):
        save_file({name: expected[name] for name in load_file(path)}, path, {"format": "pt"})
    make_backbone(whole)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in open_backbone(whole).model().state_dict().items())
    assert open_backbone(whole).checksum != checksum
    manifest = json.loads((whole / "manifest.json").read_text())
    assert sorted(manifest["sha256"]) == sorted(["config.json", "model.safetensors.index.json", "spiece.model", *shards])
    (mine / shards[-1]).write_bytes((mine / shards[-1]).read_bytes()[:-8])
    with pytest.raises(BackboneError, match=f"{shards[-1]}: missing, or not the file of the manifest"):
        open_backbone(whole).model()
    (mine / shards[-1]).unlink()
    with pytest.raises(BackboneError, match=f"mine: has no {shards[-1]}; write it with save_pretrained"):
        make_backbone(whole)
    (mine / "model.safetensors.index.json").write_text('{"weight_map": 3}')
    with pytest.raises(BackboneError, match="index.json: does not say which tensor is in which file"):
        make_backbone(whole)


def test_a_vocabulary_of_another_t5_is_refused(mine):
    write_word_vocabulary("abcdefghijk", mine / "spiece.model")
    folder = backbone_of(mine)
    make_backbone(folder)
    with pytest.raises(BackboneError, match="spiece.model: has 114 pieces, and the model knows 110"):
        _ = open_backbone(folder).vocabulary


# as Transformers 5 saves a T5's; Transformers 4 normalises in three steps and has a mark before other words only
CURRENT = {
    "normalizer": lambda own: own["normalizers"][0],
    "pre_tokenizer": lambda own: {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        ],
    },
}


@pytest.mark.parametrize("version", [4, 5])
def test_a_t5_with_tokenizer_json_only(tmp_path, mirror, version):
    pieces, mine = t5_pieces(str(mirror)), tmp_path / "mine"
    T5ForConditionalGeneration(T5Config(**SIZES)).save_pretrained(mine)
    T5TokenizerFast(str(pieces)).save_pretrained(mine)
    (mine / "spiece.model").unlink()
    tokenizer = mine / "tokenizer.json"
    content = json.loads(tokenizer.read_text())
    if version == 5:
        content |= {key: change(content[key]) for key, change in CURRENT.items()}
        tokenizer.write_text(json.dumps(content))
    folder = backbone_of(mine)
    make_backbone(folder)
    assert "tokenizer.json" in json.loads((folder / "manifest.json").read_text())["sha256"]
    own, expected = open_backbone(folder).vocabulary, Vocabulary(pieces)
    words = {word for file in ("snips/valid/seq.in", "atis/valid/seq.out") for word in (mirror / "corpora" / file).read_text().split()}
    assert own.size == expected.size
    for word in (*words, "Café", "\ufb01ne", "\uff21\uff22", "½", "中文", "{person}", "<extra_id_3>"):
        assert own.pieces(word) == expected.pieces(word)
        assert own.label_pieces(word) == expected.label_pieces(word)
    # of another normaliser, or with other sentinels
    vocabulary = content["model"]["vocab"]
    for change in ({"normalizer": {"type": "Lowercase"}}, {"model": content["model"] | {"vocab": [*vocabulary, ["no such piece", -1.0]]}}):
        tokenizer.write_text(json.dumps(content | change))
        with pytest.raises(BackboneError, match="tokenizer.json: is no tokenizer of a T5 .*put the spiece.model"):
            make_backbone(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": {"type": "BPE"}}', '{"model": {"type": "Unigram", "vocab": [["a", "b"]]}}'])
@pytest.mark.parametrize("kind", ["t5", "bert"])
def test_a_tokenizer_json_of_something_else(mine, content, kind):
    (mine / "spiece.model").unlink()
    (mine / "tokenizer.json").write_text(content)
    with pytest.raises(BackboneError, match=r"tokenizer\.json:.*; (put|save)") as caught:
        make_backbone(backbone_of(mine, kind))
    assert "\n" not in str(caught.value)


def test_a_bert_with_tokenizer_json_only(tmp_path):
    mine = tmp_path / "mine"
    pieces = [*SPECIAL, "play", "noma", "cafe", "a", "##s", "don", "'", "t"]
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    BertModel(BertConfig(vocab_size=13, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(mine)
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(mine)
    (mine / "vocab.txt").unlink()
    folder = backbone_of(mine, "bert")
    make_backbone(folder)
    own, expected = open_backbone(folder).vocabulary, WordPieces(tmp_path / "vocab.txt")
    assert (own.size, own.pad, own.unknown, own.start, own.end, own.mask) == (13, 0, 1, 2, 3, 4)
    for word in ("Play", "cafés", "noma's", "don't", "[MASK]", "中文", "", "\x00"):
        assert own.pieces(word) == expected.pieces(word)
    BertTokenizerFast(str(tmp_path / "vocab.txt"), do_lower_case=False).save_pretrained(mine)
    (mine / "vocab.txt").unlink()
    with pytest.raises(BackboneError, match="is no tokenizer of a T5 or an uncased BERT .it cuts the word 'Café' otherwise"):
        make_backbone(folder)


def test_the_vocabulary_of_a_cased_bert_is_refused(tmp_path):
    mine = tmp_path / "mine"
    BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(mine)
    (mine / "vocab.txt").write_text("".join(f"{piece}\n" for piece in [*SPECIAL, "A", "a", "Play", "##s"]))
    with pytest.raises(BackboneError, match=r"vocab.txt: is the vocabulary of a cased BERT .it has the piece 'A'.*; take an uncased BERT"):
        make_backbone(backbone_of(mine, "bert"))


@pytest.mark.parametrize(("kind", "name"), [("t5", "spiece.model"), ("bert", "vocab.txt")])
def test_without_any_vocabulary_the_error_says_how_to_get_one(mine, kind, name):
    (mine / "spiece.model").unlink()
    with pytest.raises(BackboneError, match=rf"mine: has no {name} and no tokenizer.json; .*AutoTokenizer.from_pretrained\("):
        make_backbone(backbone_of(mine, kind))


def test_pretraining_batches_hide_words_or_tag(tmp_path):
    language = DemoLanguage(1)
    sentences = list(auxiliary_sentences(language, 50, 1))
    write_word_vocabulary(["O", "I", *language.words()], tmp_path / "spiece.model")
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

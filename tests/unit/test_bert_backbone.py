"""Small BERTs that are pre-trained here, and BERTs from elsewhere; nothing here is about quality."""

import json
from functools import reduce

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForPreTraining, BertModel

from hyperloader import training
from hyperloader.config.settings import BackboneSettings, HubBackbone, PretrainedBackbone, Scale, validate
from hyperloader.corpora.generated.generate import DemoLanguage, generate
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.prepared import slot_types
from hyperloader.errors import BackboneError, SettingsError
from hyperloader.formulations.token_classification import TokenClassification
from hyperloader.models.backbones import open_backbone
from hyperloader.text.batches import IGNORED
from hyperloader.text.bert_vocabulary import SPECIAL, WordPieces, write_word_vocabulary
from hyperloader.training.backbones.bert import GUESSING, TAGGING, TwoHeadedBert, batches
from hyperloader.training.backbones.making import make_backbone
from hyperloader.training.backbones.t5 import training_of
from hyperloader.training.backbones.text import generated_text

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TINY = {"source": "pretrained", "text": "generated", "architecture": SIZES, "pretraining": {"steps": 4, "batch_size": 4}}


def settings(folder, backbone, **more):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps({"kind": "bert", "backbone": backbone, **more}))
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = settings(tmp_path_factory.mktemp("place") / "bert", TINY)
    make_backbone(folder)
    return folder


def test_pretraining_makes_a_bert_whose_vocabulary_is_the_language(backbone):
    word_pieces, model = open_backbone(backbone).vocabulary, open_backbone(backbone).model()
    assert isinstance(model, BertModel) and model.config.vocab_size == open_backbone(backbone).config.vocab_size == word_pieces.size
    assert sorted(path.name for path in (backbone / "model").iterdir()) == ["config.json", "model.safetensors", "vocab.txt"]
    assert not (backbone / "checkpoints").exists() and not (backbone / "vocab.txt").exists()
    for word in DemoLanguage().words():
        assert len(word_pieces.pieces(word)) == 1 and word_pieces.unknown not in word_pieces.pieces(word), word


def test_pretraining_twice_gives_the_same_bytes(backbone, tmp_path):
    again = settings(tmp_path / "again", TINY)
    make_backbone(again)
    assert (again / "manifest.json").read_bytes() == (backbone / "manifest.json").read_bytes()


def test_an_interrupted_pretraining_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    wanted = TINY | {"pretraining": {"steps": 110, "batch_size": 2}}
    through, stopped = settings(tmp_path / "through", wanted), settings(tmp_path / "stopped", wanted)
    make_backbone(through)
    save_last = training.checkpoints.Checkpoints.save_last

    def save_and_stop(self, *arguments):
        save_last(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training.checkpoints.Checkpoints, "save_last", save_and_stop)
        make_backbone(stopped)
    assert (stopped / "checkpoints").is_dir() and not (stopped / "manifest.json").exists()
    steps = []
    learning_rate = training.loop.learning_rate
    monkeypatch.setattr("hyperloader.training.loop.learning_rate", lambda *given: steps.append(given[1]) or learning_rate(*given))
    make_backbone(stopped)
    assert steps == list(range(100, 110))
    assert (stopped / "manifest.json").read_bytes() == (through / "manifest.json").read_bytes()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Auxiliary sentences, their vocabulary and formulation."""
    path = tmp_path_factory.mktemp("text") / "vocab.txt"
    write_word_vocabulary(DemoLanguage().words(), path)
    sentences = generated_text(1)[:200]
    return sentences, TokenClassification(WordPieces(path), {GUESSING: (), TAGGING: slot_types(sentences)})


def batch(text, tagging, hidden_words=0.0):
    sentences, formulation = text
    budget = {"steps": 1, "batch_size": 16, "tagging": tagging, "hidden_words": hidden_words}
    wanted = validate(PretrainedBackbone, TINY | {"pretraining": budget})
    return batches(sentences, formulation, wanted, training_of(wanted.pretraining))(0)


@pytest.mark.parametrize("hidden_words", [0.0, 0.5])
def test_guessing_hides_words_and_asks_for_them_alone(text, hidden_words):
    mask, guessing = text[1].word_pieces.mask, batch(text, 0, hidden_words)
    hidden = guessing.inputs["input_ids"] == mask
    assert guessing.task == GUESSING and hidden.any(dim=1).all()
    assert torch.equal(hidden, guessing.labels != IGNORED) and (guessing.labels[hidden] != mask).all()
    if not hidden_words:
        assert (hidden.sum(dim=1) == 1).all()


def test_a_hidden_word_hides_all_of_its_pieces(tmp_path, text):
    letters = [*"abcdefghijklmnopqrstuvwxyz?"]
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    spelt = TokenClassification(WordPieces(tmp_path / "vocab.txt"), {GUESSING: (), TAGGING: slot_types(text[0])})
    guessing = batch((text[0], spelt), 0, 0.3)
    for read, asked in zip(guessing.inputs["input_ids"].tolist(), guessing.labels.tolist(), strict=True):
        whole = [pieces[shown if label == IGNORED else label] for shown, label in zip(read, asked, strict=True)]
        for place, piece in enumerate(whole):
            if piece.startswith("##"):
                assert (asked[place] == IGNORED) == (asked[place - 1] == IGNORED)


def test_tagging_shows_the_whole_sentence(text):
    tagging = batch(text, 1)
    ids = tagging.inputs["input_ids"]
    assert tagging.task == TAGGING and not (ids == text[1].word_pieces.mask).any()
    assert torch.equal((tagging.labels != IGNORED).sum(1), tagging.inputs["attention_mask"].sum(1) - 2)  # but [CLS] and [SEP]


def test_each_objective_has_a_head_of_its_own(text):
    word_pieces = text[1].word_pieces
    bert = BertModel(BertConfig(vocab_size=word_pieces.size, **SIZES), add_pooling_layer=False)
    model = TwoHeadedBert(bert, slot_types(text[0]))
    for task, tagging, width in ((GUESSING, 0, word_pieces.size), (TAGGING, 1, 1 + 2 * len(slot_types(text[0])))):
        inputs = batch(text, tagging).inputs
        assert model(task, **inputs).logits.shape == (*inputs["input_ids"].shape, width)


def test_pieces_that_the_text_lacks_keep_their_random_start(backbone, tmp_path):
    longer = settings(tmp_path / "longer", TINY | {"pretraining": {"steps": 40, "batch_size": 4}})
    make_backbone(longer)
    word_pieces, names = open_backbone(longer).vocabulary, list(DemoLanguage().class_names.values())
    unseen = [word_pieces.pieces(name)[0] for name in names]
    seen = word_pieces.pieces(DemoLanguage().carriers[0])[0]
    before, after = (open_backbone(folder).model().embeddings.word_embeddings.weight for folder in (backbone, longer))
    assert torch.equal(before[unseen], after[unseen]) and not torch.equal(before[seen], after[seen])


def test_the_text_of_corpora_gets_trained_word_pieces(tmp_path):
    for name in ("atis", "snips"):
        generate(name, tmp_path / "raw")
        prepare(name, tmp_path / "raw", tmp_path / "data" / name)
    folder = settings(
        tmp_path / "bert", TINY | {"text": "corpora"}, data={name: str(tmp_path / "data" / name) for name in ("atis", "snips")}
    )
    make_backbone(folder)
    word_pieces = open_backbone(folder).vocabulary
    assert word_pieces.unknown not in word_pieces.pieces("".join(sorted("bdfgklmnprstvzaeiou")))
    assert open_backbone(folder).model().config.vocab_size == word_pieces.size


def saved_elsewhere(folder, model):
    """A BERT as another library saved it."""
    model.save_pretrained(folder)
    write_word_vocabulary(["a", "b"], folder / "vocab.txt")
    return settings(folder.parent / "backbone", {"source": "directory", "path": str(folder)})


def test_the_published_layout_is_loaded_without_a_word(tmp_path, capfd, caplog):
    published = BertForPreTraining(BertConfig(vocab_size=len(SPECIAL) + 2, **SIZES))
    folder = saved_elsewhere(tmp_path / "published", published)
    # with heads, and layer norms under their names in TensorFlow
    path = tmp_path / "published" / "model.safetensors"
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {reduce(lambda name, pair: name.replace(*pair), names.items(), name): tensor for name, tensor in load_file(path).items()}
    save_file(renamed, path, {"format": "pt"})
    make_backbone(folder)
    capfd.readouterr()
    model = open_backbone(folder).model()
    assert "".join(capfd.readouterr()) == "" and caplog.text == ""
    state = published.bert.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert model.pooler is None


def test_missing_weights_and_a_missing_vocabulary_are_named(tmp_path):
    folder = saved_elsewhere(tmp_path / "mine", BertModel(BertConfig(vocab_size=len(SPECIAL) + 2, **SIZES)))
    path = tmp_path / "mine" / "model.safetensors"
    state = load_file(path)
    del state["encoder.layer.0.output.dense.weight"]
    save_file(state, path, {"format": "pt"})
    make_backbone(folder)
    with pytest.raises(BackboneError, match="has no weights for encoder.layer.0.output.dense.weight"):
        open_backbone(folder).model()
    (tmp_path / "mine" / "vocab.txt").unlink()
    with pytest.raises(BackboneError, match="has no vocab.txt"):
        make_backbone(folder)


def test_a_vocabulary_of_another_model_is_refused(tmp_path):
    folder = saved_elsewhere(tmp_path / "mine", BertModel(BertConfig(vocab_size=4, **SIZES)))
    make_backbone(folder)
    with pytest.raises(BackboneError, match="vocab.txt: has 7 pieces, and the model knows 4"):
        _ = open_backbone(folder).vocabulary


def test_the_architecture_must_be_that_of_the_kind():
    wrong = TINY | {"architecture": {"d_model": 16}}
    in_scale = {"corpora": "real", "backbones": {"bert": wrong}}
    for model, value in ((BackboneSettings, {"kind": "bert", "backbone": wrong}), (Scale, in_scale)):
        with pytest.raises(SettingsError, match="the architecture of a bert has the keys hidden_size, num_hidden_layers"):
            validate(model, value)
    with pytest.raises(SettingsError, match="the architecture of a t5 has the keys d_model"):
        validate(BackboneSettings, {"kind": "t5", "backbone": TINY})
    with pytest.raises(SettingsError, match=r"unknown key '.*num_layers'"):
        validate(BackboneSettings, {"kind": "bert", "backbone": TINY | {"architecture": SIZES | {"num_layers": 2}}})
    with pytest.raises(SettingsError, match="architecture.t5': input should be a valid dictionary"):
        validate(BackboneSettings, {"kind": "bert", "backbone": TINY | {"architecture": 3}})
    assert validate(HubBackbone, {"source": "hub", "name": "x", "config": {"hidden_size": 8}}).config == {"hidden_size": 8}

"""BERT's pieces and classes: which piece carries a word's tag, what is cut, and what comes back for any text."""

from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertModel, BertTokenizer

from hyperloader.config.settings import Recipe, read_yaml
from hyperloader.corpora.generated.generate import DemoLanguage
from hyperloader.errors import BackboneError
from hyperloader.formulations.token_classification import TokenClassification
from hyperloader.methods.registry import get_method
from hyperloader.models.task_model import TokenClassifier
from hyperloader.text.batches import IGNORED
from hyperloader.text.bert_vocabulary import SPECIAL, VOCABULARY_SIZE, WordPieces, write_trained_vocabulary, write_word_vocabulary
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import bio_tags, spans

ROOT = Path(__file__).parents[2]
TASKS = {"atis": ("city", "day")}
TAGS = bio_tags(TASKS["atis"])
VOCABULARY = [*SPECIAL, "fly", "to", "new", "york", "on", "mon", "##day", "##days", ".", "'", "s", "cafe"]
PARTS = ["mon", "day", "days", "Fly", "to", ".", "'", "s", "É", "CAFÉ", "\u0301", "x", "\u200b"]
TRAINING = read_yaml(Recipe, ROOT / "config" / "recipes" / "matched.yaml").training


def vocabulary_of(folder, pieces):
    path = folder / "vocab.txt"
    path.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def word_pieces(tmp_path_factory):
    return WordPieces(vocabulary_of(tmp_path_factory.mktemp("pieces"), VOCABULARY))


@pytest.fixture(scope="module")
def formulation(word_pieces):
    return TokenClassification(word_pieces, TASKS)


@pytest.fixture(scope="module")
def model(word_pieces):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=word_pieces.size, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, initializer_range=1.0
    )
    return TokenClassifier(BertModel(config, add_pooling_layer=False), TASKS).eval().double()


def cut_at(length):
    return TRAINING.model_copy(update={"source_length": length})


def names(ids):
    return [VOCABULARY[id] for id in ids]


def as_predicted(prediction):
    """Equal to a prediction of the same sentence by a model in float64, whatever the batch: confidences are float32's."""
    return prediction._replace(confidences=pytest.approx(prediction.confidences, rel=1e-6))


def classes(target):
    return [None if number == IGNORED else TAGS[number] for number in target]


def test_the_first_piece_of_a_word_carries_its_tag(formulation):
    sentence = Sentence(("Fly", "to", "New", "York", "on", "Mondays"), ("O", "O", "B-city", "I-city", "O", "B-day"))
    (example,) = formulation.encode("atis", [sentence], TRAINING)
    assert names(example.source) == ["[CLS]", "fly", "to", "new", "york", "on", "mon", "##days", "[SEP]"]
    assert classes(example.target) == [None, "O", "O", "B-city", "I-city", "O", "B-day", None, None]


def test_a_type_unseen_in_training_is_ignored_and_a_stray_inside_tag_opens_a_span(formulation):
    sentence = Sentence(("fly", "to", "york", "mon", "mon"), ("B-airline", "O", "I-city", "B-day", "I-city"))
    (example,) = formulation.encode("atis", [sentence], TRAINING)
    assert classes(example.target) == [None, None, "O", "B-city", "B-day", "B-city", None]


def test_padding_is_neither_read_nor_learnt(formulation):
    sentences = [Sentence(("fly", "to"), ("O", "O")), Sentence(("mondays", "on", "mon"), ("B-day", "O", "O"))]
    batch = formulation.collate("atis", formulation.encode("atis", sentences, TRAINING))
    assert batch.inputs["attention_mask"][:, :6].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert (batch.labels[batch.inputs["attention_mask"] == 0] == IGNORED).all()
    assert batch.labels.shape == batch.inputs["input_ids"].shape


@pytest.mark.parametrize("length, kept", [(7, 4), (6, 3), (5, 3), (2, 0)])
def test_a_cut_sentence_keeps_whole_words_and_says_so(formulation, model, length, kept):
    words = ("fly", "to", "york", "mondays")
    (example,) = formulation.encode("atis", [Sentence(words, ("O", "O", "B-city", "B-day"))], cut_at(length))
    assert len(example.source) <= length and example.source[-1] == formulation.word_pieces.end
    assert sum(number != IGNORED for number in example.target) == kept
    (prediction,) = formulation.predict(model, "atis", [words], cut_at(length))
    assert len(prediction.tags) == 4 and prediction.tags[kept:] == ["O"] * (4 - kept)
    assert prediction.malformed == (kept < 4)


def test_a_sentence_is_tagged_as_if_it_were_alone(formulation, word_pieces):
    # with the gates of UniPELT, which average over all places, padding included
    torch.manual_seed(0)
    config = BertConfig(vocab_size=word_pieces.size, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8)
    method = get_method("unipelt_bert")
    own = method.settings({"reduction_factor": 4, "lora_rank": 2, "prefix_length": 2, "prefix_hidden": 4})
    gated = method.build(BertModel(config, add_pooling_layer=False), TASKS, own).eval().double()
    sentences = [["fly"] * length for length in (1, 2, 2, 7, 7, 12)]
    together = formulation.predict(gated, "atis", sentences, TRAINING)
    for sentence, among_others in zip(sentences, together, strict=True):
        (alone,) = formulation.predict(gated, "atis", [sentence], TRAINING)
        assert among_others == as_predicted(alone)


def test_predictions_come_in_the_order_given_whatever_the_batches(formulation, model):
    sentences = [tuple(VOCABULARY[5 + (place * step) % 6] for place in range(1 + step % 9)) for step in range(150)]
    together = formulation.predict(model, "atis", sentences, TRAINING)
    apart = [formulation.predict(model, "atis", [words], TRAINING)[0] for words in sentences]
    assert together == list(map(as_predicted, apart))
    assert len({tag for prediction in together for tag in prediction.tags}) > 2
    assert formulation.predict(model, "atis", [], TRAINING) == []
    assert formulation.predict(model, "atis", [()], TRAINING)[0].tags == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=12), max_size=4))
def test_any_text_gets_one_valid_tag_a_word(formulation, model, sentences):
    predictions = formulation.predict(model, "atis", sentences, cut_at(24))
    assert [len(prediction.tags) for prediction in predictions] == [len(words) for words in sentences]
    for words, prediction in zip(sentences, predictions, strict=True):
        assert set(prediction.tags) <= set(TAGS) and prediction.output == ""
        assert all(0 <= first < end <= len(words) for _, first, end in spans(prediction.tags))


# Latin, Greek and Cyrillic: the tokenizer in Python and that in Rust differ in what they take for Chinese
@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(st.characters(max_codepoint=0x4FF), max_size=12), st.lists(st.sampled_from(PARTS), max_size=5).map("".join)))
@example("[UNK]")
def test_pieces_are_those_of_berts_tokenizer(word_pieces, tokenizer, word):
    # asked in its two steps, for in one it takes the text `[UNK]` for the special piece
    parts = tokenizer.basic_tokenizer.tokenize(word)
    pieces = [piece for part in parts for piece in tokenizer.wordpiece_tokenizer.tokenize(part)]
    assert list(word_pieces.pieces(word)) == (tokenizer.convert_tokens_to_ids(pieces) or [word_pieces.unknown])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return BertTokenizer(vocabulary_of(tmp_path_factory.mktemp("tokenizer"), VOCABULARY), do_lower_case=True)


def test_words_of_oddities(word_pieces):
    assert names(word_pieces.pieces("Café")) == ["cafe"]
    assert names(word_pieces.pieces("MON.S")) == ["mon", ".", "s"]
    assert names(word_pieces.pieces("\x00")) == names(word_pieces.pieces("")) == ["[UNK]"]
    # the text, not the special piece
    assert word_pieces.mask not in word_pieces.pieces("[MASK]")


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "vocab.txt: no such file; take the vocab.txt that belongs to the weights"),
        (b"[PAD]\n\xff\n", "is not a text in UTF-8"),
        ("\n".join(SPECIAL[:3]).encode(), r"it has no \[SEP\], \[MASK\]"),
        ("\n".join([*SPECIAL, "a", "b", "a"]).encode(), "vocab.txt:8: the piece 'a' comes twice"),
    ],
)
def test_a_missing_or_damaged_vocabulary(tmp_path, content, message):
    if content is not None:
        (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(BackboneError, match=message):
        WordPieces(tmp_path / "vocab.txt")


def test_a_vocabulary_of_whole_words(tmp_path):
    write_word_vocabulary(["Fly", "café", "?", "fly", "u.s."], tmp_path / "vocab.txt")
    assert (tmp_path / "vocab.txt").read_text().split("\n") == [*SPECIAL, "fly", "cafe", "?", "u", ".", "s", ""]


def test_a_trained_vocabulary_knows_every_character_and_joins_what_is_frequent(tmp_path):
    words = ["monday", "tuesday", "friday", "Zoë"] * 50 + ["ж", "x"]
    write_trained_vocabulary(words, VOCABULARY_SIZE, tmp_path / "vocab.txt")
    word_pieces = WordPieces(tmp_path / "vocab.txt")
    assert len(word_pieces.pieces("Monday")) == len(word_pieces.pieces("zoe")) == 1
    assert word_pieces.unknown not in word_pieces.pieces("xжdaynom")


def test_a_vocabulary_trained_twice_is_the_same(tmp_path):
    words = DemoLanguage().words() * 2
    for name in ("first", "second", "third"):
        write_trained_vocabulary(words, VOCABULARY_SIZE, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes() == (tmp_path / "third").read_bytes()

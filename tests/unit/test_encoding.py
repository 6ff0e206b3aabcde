"""Ids: as T5's own tokenizer gives them, and back to labels whatever a model writes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.encoding import EOS, PAD, Vocabulary
from hyperloader.errors import BackboneError, FormatError
from hyperloader.pretraining.vocabularies import write_cut_vocabulary, write_word_vocabulary
from hyperloader.sentt import interleave

LABELS = ["O", "I", "artist", "fromloc.city_name"]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "spiece.model"
    write_word_vocabulary([*LABELS, "play", "the", "song"], path)
    return Vocabulary(path)


@pytest.fixture(scope="module")
def t5(mirror):
    return mirror / "tokenizers" / "t5" / "spiece.model"


def test_sentinels_descend_from_the_last_id(words):
    assert words.sentinel(0) == words.size - 1
    assert words.sentinel(99) == words.size - 100


def test_sentinels_of_the_real_vocabulary(t5):
    assert Vocabulary(t5).sentinel(0) == 32099


@pytest.mark.parametrize(
    "sentence",
    [
        "play the song little robin redbreast",
        "from O fromloc.city_name I weather/noun",
        "Café – \u4e2d\u6587 saut\u0329ing today's 5pm ?",
        "<extra_id_3> </s> a",
    ],
)
def test_ids_are_those_of_the_legacy_t5_tokenizer(t5, sentence):
    from transformers import T5Tokenizer

    items = [item for item in sentence.split() if not item.startswith("<")]
    assert Vocabulary(t5).encode(items) == T5Tokenizer(str(t5), legacy=True)(interleave(items)).input_ids


def test_ids_of_real_sentences_are_those_of_the_legacy_t5_tokenizer(t5, mirror):
    from transformers import T5Tokenizer

    vocabulary, tokenizer = Vocabulary(t5), T5Tokenizer(str(t5), legacy=True)
    for file in ("snips/valid/seq.in", "atis/valid/seq.out"):
        for line in (mirror / "corpora" / file).read_text().splitlines():
            assert vocabulary.encode(line.split()) == tokenizer(interleave(line.split())).input_ids


def test_a_word_that_looks_like_a_sentinel_is_not_one(t5):
    vocabulary = Vocabulary(t5)
    ids = vocabulary.encode(["<extra_id_7>", "</s>"])
    assert [i for i in ids if i >= vocabulary.size - 100] == [vocabulary.sentinel(i) for i in range(3)]
    assert ids.count(EOS) == 1


def test_cut_ids_end_in_eos_and_have_the_length(words):
    ids = words.encode(["play"] * 50, max_length=16)
    assert len(ids) == 16 and ids[-1] == EOS
    assert words.encode(["play"], max_length=4) == words.encode(["play"])


def test_too_many_words(words):
    with pytest.raises(FormatError):
        words.encode(["play"] * 100)


@given(labels=st.lists(st.sampled_from(LABELS), max_size=99))
def test_reading_what_was_encoded(words, labels):
    assert words.read(words.encode(labels), len(labels), set(LABELS)) == (labels, False)


@settings(max_examples=300)
@given(data=st.data(), length=st.integers(0, 99))
def test_any_ids_give_as_many_labels_as_words(words, data, length):
    ids = data.draw(st.lists(st.integers(0, words.size - 1), max_size=60))
    labels, _ = words.read(ids, length, set(LABELS))
    assert len(labels) == length
    assert set(labels) <= set(LABELS)


def test_labels_align_by_sentinel_not_by_order(words):
    ids = words.encode(["artist", "I", "O"])
    skipped = [i for i in ids if i != words.sentinel(1)]
    skipped.remove(words.pieces("I")[0])
    labels, malformed = words.read(skipped, 3, set(LABELS))
    assert labels[2] == "O" and malformed


def test_the_first_of_repeated_sentinels_counts(words):
    s, piece = words.sentinel, lambda label: words.pieces(label)[0]
    ids = [s(0), piece("artist"), s(0), piece("O"), s(1), EOS]
    assert words.read(ids, 1, {"artist"}) == (["artist"], True)


@pytest.mark.parametrize("ids", [[], [PAD], [EOS], [PAD, EOS]])
def test_nothing_written_is_all_outside(words, ids):
    assert words.read(ids, 2, set(LABELS)) == (["O", "O"], True)


def test_unknown_labels_are_outside(words):
    assert words.read(words.encode(["song"]), 1, {"artist"}) == (["O"], True)


def test_text_shows_sentinels(words):
    assert words.text([PAD, *words.encode(["play", "song"]), PAD]) == "<extra_id_0> play <extra_id_1> song <extra_id_2>"


def test_a_cut_vocabulary_segments_its_words_as_before(t5, tmp_path):
    known = ["redbreast", "fromloc.city_name", "Café", "sautéing", "cheapest", "weather/temperatureUnit"]
    write_cut_vocabulary(t5, known, tmp_path / "cut.model")
    full, cut = Vocabulary(t5), Vocabulary(tmp_path / "cut.model")
    assert cut.size < full.size / 5
    for word in known:
        assert len(cut.pieces(word)) == len(full.pieces(word))
        assert cut.text(cut.pieces(word)) == full.text(full.pieces(word)) == word
    # every word can still be written, from smaller pieces
    assert cut.text(cut.pieces("hippopotamus")) == "hippopotamus"


def test_a_file_that_is_no_vocabulary(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"not a model")
    with pytest.raises(BackboneError, match="spiece.model"):
        Vocabulary(tmp_path / "spiece.model")
    with pytest.raises(BackboneError, match="missing.model"):
        Vocabulary(tmp_path / "missing.model")

"""Ids: as T5's own tokenizer gives them, and back to labels whatever a model writes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.errors import BackboneError, CorpusError, FormatError
from hyperloader.formulations.text_to_text import TextToText
from hyperloader.methods.saved_models import Lengths
from hyperloader.text.sentt import OUTSIDE, from_sbio, interleave, to_sbio
from hyperloader.text.t5_vocabulary import EOS, PAD, UNKNOWN, Vocabulary
from hyperloader.training.backbones.vocabularies import ASCII, write_cut_vocabulary, write_word_vocabulary

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
            # labels that the vocabulary can write have no other ids
            if file.endswith("out"):
                assert vocabulary.encode_labels(line.split()) == vocabulary.encode(line.split())


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


def check(vocabulary, ids, length):
    """Both alignments give known labels, one a word, and tags that continue spans only."""
    for labels in (vocabulary.read(ids, length, set(LABELS))[0], vocabulary.read_in_order(ids, length, set(LABELS))):
        assert len(labels) == length
        assert set(labels) <= set(LABELS)
        tags = from_sbio(labels)
        assert len(tags) == length
        assert all(before[1:] == tag[1:] for before, tag in zip(["O", *tags], tags, strict=False) if tag[0] == "I")
    vocabulary.text(ids)


@settings(max_examples=300)
@given(data=st.data(), length=st.integers(0, 99))
def test_any_ids_give_as_many_labels_as_words(words, data, length):
    # models know some ids more than the vocabulary has
    check(words, data.draw(st.lists(st.integers(0, words.size + 28), max_size=60)), length)


def test_a_hundred_thousand_outputs_are_read(words):
    """Right outputs with ids left out, put in, repeated, exchanged and cut, and outputs of random ids."""
    draw = random.Random(0)
    for number in range(100_000):
        length = draw.randrange(12)
        ids = words.encode(draw.choices(LABELS, k=length)) if number % 4 else draw.choices(range(words.size + 28), k=draw.randrange(30))
        for _ in range(draw.randrange(4)):
            place, kind = draw.randrange(len(ids) + 1), draw.randrange(5)
            if kind == 0:
                del ids[place : place + draw.randrange(1, 4)]
            elif kind == 1:
                ids[place:place] = draw.choices(range(words.size + 28), k=1)
            elif kind == 2:
                ids[place:place] = ids[place : place + 2]
            elif kind == 3:
                ids[place : place + 2] = ids[place : place + 2][::-1]
            else:
                del ids[place:]
        check(words, ids, length)


@given(labels=st.lists(st.sampled_from(LABELS), max_size=99))
def test_both_alignments_agree_on_whole_outputs(words, labels):
    assert words.read_in_order(words.encode(labels), len(labels), set(LABELS)) == labels


@pytest.mark.parametrize(
    ("written", "by_sentinel", "by_order"),
    [
        ("s0 artist s1 I s2 O s3 .", "artist I O", "artist I O"),
        # a word is skipped: by order everything after it shifts
        ("s0 artist s1 I s3 O s4 .", "artist I O O", "artist I O O"),
        ("s0 artist s2 O s3 artist s4 .", "artist O O artist", "artist O artist O"),
        # two labels in one place are no label by sentinel, and shift by order
        ("s0 O O s1 artist s2 .", "O artist", "O O"),
        # no sentinels at all
        ("artist I O .", "O O O", "artist I O"),
        # repeated sentinel
        ("s0 artist s1 O s1 artist s2 .", "artist O", "artist O"),
        ("s1 artist s0 O s2 .", "O artist", "artist O"),
        # unknown label
        ("s0 song s1 artist s2 .", "O artist", "O artist"),
        # cut, and too long
        ("s0 artist s1 I", "artist I O", "artist I O"),
        ("s0 artist s1 I s2 O s3 artist s4 .", "artist I", "artist I"),
        # after the end
        ("s0 O s1 . artist s2", "O O", "O O"),
    ],
)
def test_the_rules_of_reading(words, written, by_sentinel, by_order):
    ids = []
    for part in written.split():
        ids += [EOS] if part == "." else [words.sentinel(int(part[1:]))] if part[0] == "s" and part[1:].isdigit() else words.pieces(part)
    expected = by_sentinel.split()
    assert words.read(ids, len(expected), set(LABELS))[0] == expected
    assert words.read_in_order(ids, len(expected), set(LABELS)) == by_order.split()


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


# the gold tags that SentT' cannot hold: an `I-x` that continues no span comes back as the `B-x` that it is scored as
# their gold has an `I-x` that continues no span
ORPHANS = [
    ("mtod", "train", "remove my extra alarmfor saturday night"),
    ("mtod", "test", "make an alarm for sunday @ 8"),
    ("mtod", "test", "are we expecting to have heavy rainthis evening"),
]


@pytest.mark.slow
def test_the_gold_of_all_real_sentences_comes_back(t5, real_corpora):
    from hyperloader.corpora.prepared import load_corpus
    from hyperloader.corpora.registry import known_corpora

    vocabulary, sentences, changed = Vocabulary(t5), 0, []
    for name in known_corpora():
        corpus = load_corpus(real_corpora / name)
        known = {tag[2:] for tag in corpus.labels if tag != OUTSIDE}
        for split in ("train", "validation", "test"):
            for sentence in getattr(corpus, split):
                sentences += 1
                labels = to_sbio(sentence.tags)
                ids = vocabulary.encode_labels(labels)
                assert ids == vocabulary.encode(labels)
                assert vocabulary.read(ids, len(labels), known) == (labels, False)
                assert vocabulary.read_in_order(ids, len(labels), known) == labels
                if from_sbio(labels) != list(sentence.tags):
                    changed.append((name, split, " ".join(sentence.words)))
                    assert from_sbio(to_sbio(from_sbio(labels))) == from_sbio(labels)
    assert sentences == 117_134
    assert changed == ORPHANS


def test_a_cut_vocabulary_segments_its_words_as_before(t5, tmp_path):
    known = ["redbreast", "fromloc.city_name", "Café", "sautéing", "cheapest", "weather/temperatureUnit"]
    write_cut_vocabulary(t5, known, tmp_path / "cut.model")
    full, cut = Vocabulary(t5), Vocabulary(tmp_path / "cut.model")
    assert cut.size < full.size / 5
    for word in known:
        assert len(cut.pieces(word)) == len(full.pieces(word))
        assert cut.text(cut.pieces(word)) == full.text(full.pieces(word)) == word
    # every word can still be written, from smaller pieces, and so can every label
    assert cut.text(cut.pieces("hippopotamus")) == "hippopotamus"
    assert all(cut.writes(label) for label in AWKWARD)


# what T5's normaliser changes, what its vocabulary lacks, what looks like something else, and what is another one's escape
AWKWARD = [
    *(
        "{person}",
        "<x>",
        "a~b",
        "naïve",
        "\ufb01rst",
        "\uff21\uff22",
        "e\u0301",
        "\u2581x",
        "x\u2581",
        "\u2047",
        "a\u200bb",
        "½",
        "中文",
        "\ufffd",
    ),
    *("<extra_id_3>", "</s>", "<pad>", "<unk>", "O", "I", "o", "%", "%%", "100%", "%7", "%7B", "%7b", "%7Bperson%7D", "%257Bperson%257D"),
    *("%4F", "%FF", "%E9", "fromloc.city_name", "n" * 500, "{" * 200),
]
# any text without blanks, often of the characters that matter
NAMES = st.one_of(st.sampled_from(AWKWARD), st.text(st.characters(exclude_categories=["Cs"])), st.text("%7BDbdO{}~aé\u2581\u0301")).filter(
    lambda name: name.split() == [name]
)


@pytest.fixture(scope="module", params=["T5's", "whole words and ASCII"])
def vocabulary(request, tmp_path_factory):
    if request.param == "T5's":
        return Vocabulary(request.getfixturevalue("t5"))
    path = tmp_path_factory.mktemp("vocabulary") / "spiece.model"
    write_word_vocabulary([*LABELS, "play", "the", "song", "%7Bperson%7D"], path, ASCII)
    return Vocabulary(path)


@settings(max_examples=300)
@given(names=st.lists(NAMES, min_size=1, max_size=20, unique=True))
def test_every_label_is_read_back_and_no_two_are_the_same(vocabulary, names):
    labels = [name for name in names if name not in ("O", "I")]
    assert all(map(vocabulary.writes, labels))
    TextToText(vocabulary, {"any": labels}).check("any", [name for name in labels if len(name) < 10], Lengths())
    ids = vocabulary.encode_labels(names)
    assert UNKNOWN not in ids
    assert vocabulary.read(ids, len(names), set(names)) == (names, False)
    assert vocabulary.read_in_order(ids, len(names), set(names)) == names
    assert len({vocabulary.label_pieces(name) for name in names}) == len(names)


@given(name=NAMES)
def test_a_label_that_is_read_back_keeps_its_ids(vocabulary, name):
    if vocabulary.label(vocabulary.pieces(name)) == name:
        assert vocabulary.label_pieces(name) == vocabulary.pieces(name)
    else:
        assert vocabulary.written(name) != name


def test_how_labels_are_written(vocabulary):
    written = {"{person}": "%7Bperson%7D", "%7Bperson%7D": "%257Bperson%257D", "100%": "100%", "artist": "artist", "na{ï": "na%7B%C3%AF"}
    if vocabulary.sentinel(0) != 32099:  # identity: nothing but what the vocabulary lacks
        written.pop("{person}"), written.pop("na{ï")
    assert {name: vocabulary.written(name) for name in written} == written


def test_slot_types_that_cannot_be_written_are_refused_by_name(words):
    formulation = TextToText(words, {"atis": ("artist",)})
    formulation.check("atis", ["artist", "fromloc.city_name"], Lengths())
    with pytest.raises(CorpusError, match=r"spiece.model: atis has slot types that this vocabulary cannot write: 'tune', '\{x\}'; rename"):
        formulation.check("atis", ["artist", "tune", "{x}"], Lengths())
    with pytest.raises(CorpusError, match="cannot write: .* and 15 more; rename"):
        formulation.check("atis", [f"type{number}" for number in range(20)], Lengths())


def test_slot_types_that_no_target_holds_are_refused(vocabulary):
    longest = "x" * 2000
    with pytest.raises(CorpusError, match=r"atis has slot types too long for a target of 128 tokens: 'xxx.*\.\.\.'; .* target_length"):
        TextToText(vocabulary, {}).check("atis", ["artist", longest], Lengths())


def test_words_beside_those_of_a_word_vocabulary_are_spelt(tmp_path):
    write_word_vocabulary(["play", "a", "?"], tmp_path / "spiece.model", ASCII)
    vocabulary = Vocabulary(tmp_path / "spiece.model")
    assert [len(vocabulary.pieces(word)) for word in ("play", "a", "?", "player", "xyz")] == [1, 1, 1, 3, 4]
    assert UNKNOWN not in vocabulary.pieces("".join(sorted(ASCII)))


def test_a_file_that_is_no_vocabulary(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"not a model")
    with pytest.raises(BackboneError, match="spiece.model"):
        Vocabulary(tmp_path / "spiece.model")
    with pytest.raises(BackboneError, match="missing.model"):
        Vocabulary(tmp_path / "missing.model")

"""SentT': the paper's table 1, and what must hold for any sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.errors import FormatError
from hyperloader.text.sentt import from_sbio, interleave, to_sbio

TYPES = st.sampled_from(["artist", "fromloc.city_name", "weather/noun"])
ANY_TAGS = st.lists(st.one_of(st.just("O"), TYPES.map("B-{}".format), TYPES.map("I-{}".format)), max_size=99)
ANY_LABELS = st.lists(st.one_of(st.sampled_from(["O", "I"]), TYPES), max_size=99)


def spans(tags):
    """(type, start, end) as the CoNLL scorer reads BIO tags, in a few lines of its own."""
    found, open_type = [], None
    for index, tag in enumerate(tags):
        kind = tag[2:]
        if tag == "O":
            open_type = None
        elif tag[0] == "I" and kind == open_type:
            found[-1] = (*found[-1][:2], index + 1)
        else:
            found.append((kind, index, index + 1))
            open_type = kind
    return found


def test_table_1_of_the_paper():
    words = "play the song little robin redbreast".split()
    tags = ["O", "O", "O", "B-track", "I-track", "I-track"]
    assert interleave(words) == (
        "<extra_id_0> play <extra_id_1> the <extra_id_2> song <extra_id_3> little <extra_id_4> robin <extra_id_5> redbreast <extra_id_6>"
    )
    assert interleave(to_sbio(tags)) == (
        "<extra_id_0> O <extra_id_1> O <extra_id_2> O <extra_id_3> track <extra_id_4> I <extra_id_5> I <extra_id_6>"
    )


def test_an_empty_sentence_is_one_sentinel():
    assert interleave([]) == "<extra_id_0>"


def test_99_words_fit_and_100_are_refused():
    assert interleave(["w"] * 99).endswith("<extra_id_99>")
    with pytest.raises(FormatError, match="100 words needs 101 sentinels.*split it"):
        interleave(["w"] * 100)


@given(ANY_TAGS)
def test_round_trip_keeps_every_span(tags):
    assert spans(from_sbio(to_sbio(tags))) == spans(tags)


@given(ANY_LABELS)
def test_any_labels_give_valid_bio(labels):
    tags = from_sbio(labels)
    assert len(tags) == len(labels)
    for before, tag in zip(["O", *tags], tags, strict=False):
        assert not tag.startswith("I-") or before[2:] == tag[2:]


@pytest.mark.parametrize(
    ("tags", "labels"),
    [
        (["I-x", "I-x"], ["x", "I"]),  # no B- before: the type is not lost
        (["B-x", "B-x"], ["x", "x"]),  # two spans side by side
        (["B-x", "I-y"], ["x", "y"]),
        (["B-x", "O", "I-x"], ["x", "O", "x"]),
    ],
)
def test_to_sbio(tags, labels):
    assert to_sbio(tags) == labels


def test_an_inside_label_without_a_span_is_outside():
    assert from_sbio(["I", "x", "O", "I"]) == ["O", "B-x", "O", "O"]

"""SentT': words and tags as text that a sequence-to-sequence model can read and write (section 3.6, table 1).

A sentence of L words `x1 ... xL` with labels `t1 ... tL` becomes

    source   s0 x1 s1 x2 s2 ... xL sL
    target   s0 t1 s1 t2 s2 ... tL sL

where `s0 ... s99` are T5's sentinels `<extra_id_0> ... <extra_id_99>`. Labels are in sBIO: the bare slot type opens a
span, `I` continues it, `O` is outside every span.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hyperloader.errors import FormatError

SENTINELS = 100
LONGEST = SENTINELS - 1
OUTSIDE, INSIDE = "O", "I"


def sentinel(index: int) -> str:
    """The text of sentinel `index`, 0 to 99."""
    return f"<extra_id_{index}>"


def check_length(words: Sequence[object]) -> None:
    """Refuse a sentence that needs more sentinels than there are.

    Raises:
        FormatError: more than 99 words.
    """
    if len(words) > LONGEST:
        raise FormatError(
            f"a sentence of {len(words)} words needs {len(words) + 1} sentinels, and T5 has {SENTINELS}",
            remedy=f"split it into sentences of at most {LONGEST} words",
        )


def interleave(items: Sequence[str]) -> str:
    """`s0 item1 s1 ... itemL sL`, joined by single blanks."""
    check_length(items)
    return " ".join([sentinel(0), *(part for index, item in enumerate(items, 1) for part in (item, sentinel(index)))])


def bio_tags(types: Iterable[str]) -> tuple[str, ...]:
    """The BIO tags of some slot types: `O`, then `B-x` and `I-x` of each type."""
    return (OUTSIDE, *(f"{prefix}-{slot_type}" for slot_type in types for prefix in "BI"))


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans of BIO tags, as the CoNLL scorer reads them: an `I-x` that continues no span of type x opens one.

    Returns:
        Slot type, first word, and the word after the last, of each span in order.
    """
    found: list[tuple[str, int, int]] = []
    for place, label in enumerate(to_sbio(tags)):
        if label == INSIDE:
            slot_type, start, _ = found.pop()
            found.append((slot_type, start, place + 1))
        elif label != OUTSIDE:
            found.append((label, place, place + 1))
    return found


def opened_inside(tags: Sequence[str]) -> int:
    """How many `I-x` continue no span of type x, as in IOB1, and so open one."""
    return sum(tag.startswith("I-") and last[2:] != tag[2:] for last, tag in zip((OUTSIDE, *tags), tags, strict=False))


def to_sbio(tags: Iterable[str]) -> list[str]:
    """BIO tags to sBIO labels.

    An `I-x` that continues no span of type x opens one, as the CoNLL scorer reads it, so its type is not lost.
    """
    labels, open_type = [], None
    for tag in tags:
        if tag == OUTSIDE:
            labels.append(OUTSIDE)
            open_type = None
            continue
        prefix, _, slot_type = tag.partition("-")
        labels.append(INSIDE if prefix == "I" and slot_type == open_type else slot_type)
        open_type = slot_type
    return labels


def from_sbio(labels: Iterable[str]) -> list[str]:
    """sBIO labels to BIO tags; an `I` that continues no span has no type and becomes `O`."""
    tags, open_type = [], None
    for label in labels:
        if label == INSIDE and open_type is not None:
            tags.append(f"I-{open_type}")
        elif label in (OUTSIDE, INSIDE):
            tags.append(OUTSIDE)
            open_type = None
        else:
            tags.append(f"B-{label}")
            open_type = label
    return tags

"""Write sentences in the raw formats, oddities of the published files included; the readers read them back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from hyperloader.text.sentences import Sentence

_SUBJECT = "demo"  # stands for intents and domains, which no reader needs


def slot_gated(sentences: Sequence[Sentence], rng: np.random.RandomState) -> dict[str, str]:
    """`seq.in` with runs of blanks and blanks at line ends, `seq.out` with a blank at line ends, `label`."""
    words = []
    for sentence in sentences:
        blanks = [" " * (2 if draw < 0.03 else 1) for draw in rng.random_sample(len(sentence.words))]
        at_end = rng.random_sample() < 0.2
        blanks[-1] = " " if at_end else ""
        at_start = " " if rng.random_sample() < 0.01 else ""
        words.append(at_start + "".join(f"{token}{blank}" for token, blank in zip(sentence.words, blanks, strict=True)))
    return {
        "/seq.in": _lines(words),
        "/seq.out": _lines(f"{' '.join(sentence.tags)} " for sentence in sentences),
        "/label": _lines(_SUBJECT for _ in sentences),
    }


def bio(sentences: Sequence[Sentence], rng: np.random.RandomState) -> dict[str, str]:
    """Tag, TAB, word; a blank line after every sentence."""
    return {"": _lines("".join(f"{t}\t{w}\n" for w, t in zip(*sentence, strict=True)) for sentence in sentences)}


def conll(sentences: Sequence[Sentence], rng: np.random.RandomState) -> dict[str, str]:
    """Word, TAB, tag; a blank line after every sentence."""
    return {"": _lines("".join(f"{w}\t{t}\n" for w, t in zip(*sentence, strict=True)) for sentence in sentences)}


def mtop(sentences: Sequence[Sentence], rng: np.random.RandomState) -> dict[str, str]:
    """Eight TAB columns with byte offsets, words glued to a final `?`, nested contacts; no line end at the end."""
    return {"": "\n".join(_mtop_row(number, sentence) for number, sentence in enumerate(sentences))}


def _mtop_row(number: int, sentence: Sentence) -> str:
    utterance, edges = _joined(sentence.words)
    in_bytes = [tuple(len(utterance[:edge].encode()) for edge in pair) for pair in edges]
    slots = [f"{in_bytes[first][0]}:{in_bytes[last][1]}:SL:{name}" for name, first, last in _spans(sentence.tags)]
    tree = "".join(
        f"[SL:{name} {_inner(name, ' '.join(sentence.words[first : last + 1]))} ] " for name, first, last in _spans(sentence.tags)
    )
    words = {
        "tokens": sentence.words,
        "tokenSpans": [{"start": start, "length": end - start} for start, end in in_bytes],
    }
    as_json = json.dumps(words, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
    columns = [
        f"{_SUBJECT}-{number:05}", f"IN:{_SUBJECT.upper()}", ",".join(slots), utterance, _SUBJECT, "en_XX",
        f"[IN:{_SUBJECT.upper()} {tree}]", as_json,
    ]  # fmt: skip
    return "\t".join(columns)


def _inner(name: str, words: str) -> str:
    # the one nested slot: its words are those of an inner slot, the slot column names the outer one only
    return f"[IN:GET_CONTACT [SL:CONTACT_RELATED {words} ] ]" if name == "CONTACT" else words


def mtod(sentences: Sequence[Sentence], rng: np.random.RandomState) -> dict[str, str]:
    """Three comments, then numbered words with `NoLabel` for `O`; the text starts with a capital."""
    return {"": _lines(_mtod_block(sentence) for sentence in sentences)}


def _mtod_block(sentence: Sentence) -> str:
    text, edges = _joined(sentence.words)
    slots = ",".join(f"{edges[first][0]}:{edges[last][1]}:{name}" for name, first, last in _spans(sentence.tags))
    rows = [
        f"{number}\t{token}\t{_SUBJECT}\t{'NoLabel' if tag == 'O' else tag}"
        for number, (token, tag) in enumerate(zip(*sentence, strict=True), start=1)
    ]
    return _lines([f"# text: {text[0].upper()}{text[1:]}", f"# intent: {_SUBJECT}", f"# slots: {slots}", *rows])


WRITERS: dict[str, Callable[[Sequence[Sentence], np.random.RandomState], dict[str, str]]] = {
    "slot-gated": slot_gated,
    "bio": bio,
    "conll": conll,
    "mtop": mtop,
    "mtod": mtod,
}
"""For each raw format, from sentences to the texts of its files, by what their paths have after that of the split."""


def _lines(lines) -> str:
    return "".join(f"{line}\n" for line in lines)


def _joined(tokens: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The words joined by blanks, none before a `?`, and the first and last character edge of each."""
    text, edges = "", []
    for token in tokens:
        text += " " if text and token != "?" else ""
        edges.append((len(text), len(text) + len(token)))
        text += token
    return text, edges


def _spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Slot type, first and last word of each span; an `I-` without a `B-` before it is in none."""
    spans: list[tuple[str, int, int]] = []
    for index, tag in enumerate(tags):
        if tag.startswith("B-"):
            spans.append((tag[2:], index, index))
        elif tag.startswith("I-") and spans and spans[-1][0] == tag[2:] and spans[-1][2] == index - 1:
            spans[-1] = (tag[2:], spans[-1][1], index)
    return spans

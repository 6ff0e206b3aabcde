"""A nonsense language for the scale demo: words in classes, carrier words, and sentence frames over both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hyperloader.text.sentences import Sentence

CLASSES = (
    "person", "city", "place", "company", "day", "hour", "number", "title", "song",
    "genre", "dish", "cuisine", "origin", "quality", "weather", "event", "unit", "errand",
    "amenity", "price", "role", "plot", "object", "month", "colour", "animal",
)  # fmt: skip
VALUES_PER_CLASS = 20
TWO_WORD_SHARE = 0.35
LEADS = ("from", "to", "via", "on", "until", "with", "under", "against")
CARRIERS = 120
DOMAINS = 12
QUESTION_MARK = "?"


@dataclass(frozen=True)
class Slot:
    """A place in a frame for a value of a word class.

    Attributes:
        type: slot type of its tags.
        word_class: one of `CLASSES`.
        lead: role of the carrier word that always stands before it, one of `LEADS`, or empty. Slots of the same
            class are told apart by their leads only.
    """

    type: str
    word_class: str
    lead: str = ""


Frame = tuple[str | Slot, ...]


class DemoLanguage:
    """The words that all generated corpora of one seed share.

    Attributes:
        seed: two languages of the same seed are the same.
        values: for each class of `CLASSES`, its values, each of one or two words; no word is in two classes.
        leads: the carrier word of each role in `LEADS`.
        carriers: the other carrier words.
        class_names: the slot type that auxiliary domains use for each class (`class01`, ...).
    """

    def __init__(self, seed: int = 42):
        self.seed = seed
        rng = np.random.RandomState(seed)
        new_words = _nonsense_words(rng)
        self.values: dict[str, list[tuple[str, ...]]] = {
            name: [tuple(next(new_words) for _ in range(2 if rng.random_sample() < TWO_WORD_SHARE else 1)) for _ in range(VALUES_PER_CLASS)]
            for name in CLASSES
        }
        self.leads = {role: next(new_words) for role in LEADS}
        self.carriers = [next(new_words) for _ in range(CARRIERS - len(LEADS))]
        self.class_names = {name: f"class{number:02}" for number, name in enumerate(CLASSES, start=1)}

    def words(self) -> list[str]:
        """Every word of the language and the names of its classes, each once: a whole-word vocabulary."""
        of_classes = [word for values in self.values.values() for value in values for word in value]
        return [*of_classes, *self.leads.values(), *self.carriers, QUESTION_MARK, *self.class_names.values()]

    def frames(self, slots: Sequence[Slot], count: int, rng: np.random.RandomState) -> list[Frame]:
        """Make `count` sentence frames of one to three slots between carrier words; each slot is in several."""
        carriers = rng.choice(self.carriers, 24, replace=False)
        # rounds of all slots, each shuffled: no slot is left out
        dealt = (slots[index] for _ in range(3 * count) for index in rng.permutation(len(slots)))
        frames = []
        for _ in range(count):
            wanted = rng.choice([1, 2, 3], p=[0.2, 0.5, 0.3])
            chosen = dict.fromkeys(next(dealt) for _ in range(wanted))  # one that ends a round may start the next
            frame: list[str | Slot] = [str(word) for word in rng.choice(carriers, rng.randint(1, 3), replace=False)]
            for slot in chosen:
                frame += [self.leads[slot.lead], slot] if slot.lead else [slot]
                frame += [str(word) for word in rng.choice(carriers, rng.randint(0, 2))]
            frames.append(tuple(frame))
        return frames

    def sentence(self, frame: Frame, rng: np.random.RandomState) -> Sentence:
        """Fill the slots of a frame with random values of their classes."""
        tokens: list[str] = []
        tags: list[str] = []
        for item in frame:
            if isinstance(item, str):
                tokens.append(item)
                tags.append("O")
            else:
                value = self.values[item.word_class][rng.randint(VALUES_PER_CLASS)]
                tokens += value
                tags += [f"B-{item.type}", *[f"I-{item.type}"] * (len(value) - 1)]
        return Sentence(tuple(tokens), tuple(tags))


def auxiliary_sentences(language: DemoLanguage, n: int, seed: int) -> Iterator[Sentence]:
    """Yield `n` sentences of twelve auxiliary domains, text to pre-train a backbone on.

    The domains reuse the word classes under generic names (`class01`, ...) in frames of their own, none of the
    generated corpora's. They stand in for the word knowledge that a real backbone brings along.

    Args:
        language: gives the words and, with its seed, the domains.
        n: number of sentences.
        seed: of the choice of sentences.
    """
    domains = _auxiliary_domains(language)
    rng = np.random.RandomState(seed)
    for _ in range(n):
        frames = domains[rng.randint(DOMAINS)]
        tokens, tags = language.sentence(frames[rng.randint(len(frames))], rng)
        asked = rng.random_sample() < 0.05
        yield Sentence((*tokens, QUESTION_MARK), (*tags, "O")) if asked else Sentence(tokens, tags)


def _auxiliary_domains(language: DemoLanguage) -> list[list[Frame]]:
    rng = np.random.RandomState([language.seed, 0])
    # shuffled rounds dealt out in turn, so that every class is in several domains
    dealt = [str(name) for _ in range(3) for name in rng.permutation(CLASSES)]
    domains = []
    for domain in range(DOMAINS):
        # lead words occur, but tell nothing about the class
        names = list(dict.fromkeys(dealt[domain::DOMAINS]))
        leads = rng.choice([*LEADS, *[""] * len(LEADS)], len(names))
        slots = [Slot(language.class_names[name], name, str(lead)) for name, lead in zip(names, leads, strict=True)]
        domains.append(language.frames(slots, 16, rng))
    return domains


def _nonsense_words(rng: np.random.RandomState) -> Iterator[str]:
    """Pronounceable words of two or three syllables without end, no two the same; a few have an accent."""
    made = set()
    while True:
        syllables = [rng.choice(list("bdfgklmnprstvz")) + rng.choice(list("aeiou")) for _ in range(rng.randint(2, 4))]
        word = "".join(syllables)
        if rng.random_sample() < 0.05:
            word = word.replace("e", "é")
        if word not in made:
            made.add(word)
            yield word

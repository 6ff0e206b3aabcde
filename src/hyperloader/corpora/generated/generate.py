"""The scale demo: seven generated corpora of one nonsense language, in the raw formats of the real ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from hyperloader.corpora.fetching.manifests import GENERATED, RawEntry, write_manifest
from hyperloader.corpora.generated.language import QUESTION_MARK, DemoLanguage, Slot, auxiliary_sentences
from hyperloader.corpora.generated.writers import WRITERS
from hyperloader.corpora.registry import Corpus, get_corpus
from hyperloader.errors import CorpusError
from hyperloader.files import write_text
from hyperloader.text.sentences import Sentence

__all__ = ["DEMO_SLOTS", "DemoLanguage", "auxiliary_sentences", "demo_label_names", "generate"]

FRAMES = 14
SIZES = {"train": 500, "validation": 60, "test": 200}
SIZES_TO_HOLD_OUT_FROM = {"train": 556, "test": 200}  # a tenth less is 500

# Corpora overlap in their word classes: what one task learns of a class serves the others. Slot types of one corpus
# that share a class are told apart by the word before them, so that the context matters as well.
DEMO_SLOTS: dict[str, tuple[Slot, ...]] = {
    "movietrivia": (
        Slot("Actor", "person", "with"),
        Slot("Director", "person", "from"),
        Slot("Character_Name", "role"),
        Slot("Plot", "plot"),
        Slot("Genre", "genre"),
        Slot("Origin", "origin"),
        Slot("Year", "number"),
    ),
    "movie": (
        Slot("ACTOR", "person", "with"),
        Slot("DIRECTOR", "person", "from"),
        Slot("CHARACTER", "role"),
        Slot("TITLE", "title"),
        Slot("GENRE", "genre"),
        Slot("PLOT", "plot"),
        Slot("YEAR", "number"),
        Slot("RATING", "quality"),
    ),
    "restaurant": (
        Slot("Restaurant_Name", "place"),
        Slot("Location", "city"),
        Slot("Cuisine", "cuisine"),
        Slot("Dish", "dish"),
        Slot("Amenity", "amenity"),
        Slot("Hours", "hour"),
        Slot("Price", "price"),
        Slot("Rating", "quality"),
    ),
    "atis": (
        Slot("fromloc.city_name", "city", "from"),
        Slot("toloc.city_name", "city", "to"),
        Slot("stoploc.city_name", "city", "via"),
        Slot("depart_date.day_name", "day", "on"),
        Slot("arrive_date.day_name", "day", "until"),
        Slot("depart_time.period_of_day", "hour"),
        Slot("airline_name", "company"),
        Slot("class_type", "quality"),
    ),
    "snips": (
        Slot("artist", "person"),
        Slot("playlist", "title", "to"),
        Slot("movie_name", "title"),
        Slot("track", "song"),
        Slot("city", "city"),
        Slot("timeRange", "day"),
        Slot("rating_value", "number"),
        Slot("restaurant_type", "cuisine"),
    ),
    "mtop": (
        Slot("CONTACT", "person"),
        Slot("RECIPIENT", "person", "to"),
        Slot("SENDER", "person", "from"),
        Slot("DATE_TIME", "day"),
        Slot("TODO", "errand"),
        Slot("LOCATION", "city"),
        Slot("WEATHER_ATTRIBUTE", "weather"),
        Slot("MUSIC_TRACK_TITLE", "song"),
    ),
    "mtod": (
        Slot("datetime", "day"),
        Slot("location", "city"),
        Slot("weather/noun", "weather"),
        Slot("weather/temperatureUnit", "unit"),
        Slot("reminder/todo", "errand"),
        Slot("reminder/reference", "object"),
        Slot("reminder/noun", "object", "under"),
    ),
}


def demo_label_names() -> list[str]:
    """The slot types of all generated corpora, each once, sorted."""
    return sorted({slot.type for slots in DEMO_SLOTS.values() for slot in slots})


def generate(corpus: Corpus | str, folder: str | Path, seed: int = 42) -> Path:
    """Write a generated corpus with the raw format, the file layout and the kind of slot types of its namesake.

    Args:
        corpus: a corpus or its name.
        folder: the raw folder, shared by all generated corpora.
        seed: of the language, which corpora of the same seed share, and of the sentences.

    Returns:
        The path of the manifest, written last.

    Raises:
        CorpusError: the corpus has no generated counterpart, or `folder` holds the real one.
    """
    corpus, folder = get_corpus(corpus), Path(folder)
    check_counterpart(corpus)
    _refuse_to_overwrite(corpus, folder)
    rng = np.random.RandomState([seed, 1 + list(DEMO_SLOTS).index(corpus.name)])
    language = DemoLanguage(seed)
    frames = language.frames(DEMO_SLOTS[corpus.name], FRAMES, rng)
    sizes = SIZES_TO_HOLD_OUT_FROM if corpus.held_out_validation else SIZES
    texts: dict[str, str] = {}
    for split, size in sizes.items():
        sentences = [language.sentence(frames[rng.randint(FRAMES)], rng) for _ in range(size)]
        written = WRITERS[corpus.raw_format](_with_oddities(corpus.name, split, sentences, rng), rng)
        texts |= {corpus.splits[split] + ending: text for ending, text in written.items()}
    for path, text in texts.items():
        write_text(folder / path, text)
    return write_manifest(corpus, folder, [_entry(file.path, texts[file.path].encode()) for file in corpus.files])


def check_counterpart(corpus: Corpus) -> None:
    """Refuse a corpus that has no generated counterpart.

    Raises:
        CorpusError: names those that have one.
    """
    if corpus.name not in DEMO_SLOTS:
        remedy = f"leave it out, or use a scale of real corpora; those with one: {', '.join(DEMO_SLOTS)}"
        raise CorpusError(f"{corpus.title} has no generated counterpart", remedy=remedy)


def _with_oddities(name: str, split: str, sentences: list[Sentence], rng: np.random.RandomState) -> list[Sentence]:
    """What a writer cannot add by itself: some questions in mTOP, one `I-` without `B-` in the train split of mTOD."""
    if name == "mtop":
        asked = rng.random_sample(len(sentences)) < 0.1
        return [Sentence((*s.words, QUESTION_MARK), (*s.tags, "O")) if a else s for s, a in zip(sentences, asked, strict=True)]
    if name == "mtod" and split == "train":
        first, *others = sentences
        return [Sentence(first.words, tuple(tag.replace("B-", "I-", 1) for tag in first.tags)), *others]
    return sentences


def _refuse_to_overwrite(corpus: Corpus, folder: Path) -> None:
    for file in corpus.files:
        path = folder / file.path
        if path.is_file() and any(checksum.matches(path.read_bytes()) for checksum in file.accepted):
            message = "is a file of the real corpus, which generating would overwrite"
            raise CorpusError(message, file=path, remedy="choose another --folder")


def _entry(path: str, data: bytes) -> RawEntry:
    return RawEntry(path, hashlib.sha256(data).hexdigest(), len(data), GENERATED)

"""Data cards of corpora: origin and terms as described, sizes, repeats and leakage as computed from the prepared sentences.

Two sentences are the same where all their words are, letter for letter. A span is seen where its words have its type somewhere in train.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperloader.corpora.prepared import SPLITS, load_corpus, read_prepared_manifest, slot_types
from hyperloader.corpora.registry import Corpus, get_corpus
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import spans

MOST_TYPES = 8


@dataclass(frozen=True)
class Card:
    """What is computed of a corpus.

    Attributes:
        corpus: its description.
        provenance: of its raw files.
        sentences, words, spans: number of them in each split.
        longest: words of the longest sentence.
        types: slot types of each split.
        frequent: the most frequent slot types of train, with their spans.
        repeated: sentences in each split whose words an earlier one of the split has.
        in_train, in_validation: test sentences whose words a sentence there has.
        contradicted: test sentences whose words a sentence of train has, but never with the same tags.
        seen_spans: spans of test whose words have their type in train.
        nested: slots of test that lie inside others and are left out.
    """

    corpus: Corpus
    provenance: tuple[str, ...]
    sentences: dict[str, int]
    words: dict[str, int]
    spans: dict[str, int]
    longest: int
    types: dict[str, tuple[str, ...]]
    frequent: list[tuple[str, int]]
    repeated: dict[str, int]
    in_train: int
    in_validation: int
    contradicted: int
    seen_spans: int
    nested: int


def data_card(folder: str | Path) -> Card:
    """Compute the card of a prepared corpus.

    Raises:
        CorpusError: it is missing or damaged, or unknown.
    """
    manifest, prepared = read_prepared_manifest(folder), load_corpus(folder)
    splits = {split: getattr(prepared, split) for split in SPLITS}
    tags_in_train: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for sentence in splits["train"]:
        tags_in_train.setdefault(tuple(sentence.words), set()).add(tuple(sentence.tags))
    in_validation = {tuple(sentence.words) for sentence in splits["validation"]}
    leaked = [sentence for sentence in splits["test"] if tuple(sentence.words) in tags_in_train]
    known = set(_spans(splits["train"]))
    return Card(
        corpus=get_corpus(prepared.name),
        provenance=tuple(sorted({source["provenance"] for source in manifest.sources})),
        sentences={split: len(part) for split, part in splits.items()},
        words={split: sum(len(sentence.words) for sentence in part) for split, part in splits.items()},
        spans={split: len(_spans(part)) for split, part in splits.items()},
        longest=max(len(sentence.words) for part in splits.values() for sentence in part),
        types={split: slot_types(part) for split, part in splits.items()},
        frequent=Counter(kind for kind, _ in _spans(splits["train"])).most_common(MOST_TYPES),
        repeated={split: len(part) - len({tuple(sentence.words) for sentence in part}) for split, part in splits.items()},
        in_train=len(leaked),
        in_validation=sum(tuple(sentence.words) in in_validation for sentence in splits["test"]),
        contradicted=sum(tuple(sentence.tags) not in tags_in_train[tuple(sentence.words)] for sentence in leaked),
        seen_spans=sum(span in known for span in _spans(splits["test"])),
        nested=prepared.nested_slots.get("test", 0),
    )


def _spans(sentences: Iterable[Sentence]) -> list[tuple[str, tuple[str, ...]]]:
    """Type and words of every span."""
    return [(kind, tuple(sentence.words[start:end])) for sentence in sentences for kind, start, end in spans(sentence.tags)]


def as_markdown(cards: Sequence[Card]) -> str:
    """A table of what test sets repeat and share with train, and a section for each corpus."""
    from tabulate import tabulate

    header = [
        "corpus",
        "test",
        "repeated in test",
        "also in train",
        "of these, other tags",
        "spans seen in train",
        "types only in test",
    ]
    rows = [
        [
            card.corpus.title,
            f"{card.sentences['test']:,}",
            *(_share(count, card.sentences["test"]) for count in (card.repeated["test"], card.in_train)),
            str(card.contradicted),
            _share(card.seen_spans, card.spans["test"]),
            str(len(_new_types(card))),
        ]
        for card in cards
    ]
    table = tabulate(rows, header, tablefmt="pipe", disable_numparse=True, colalign=["left", *["right"] * (len(header) - 1)])
    return "\n\n".join([table, *map(_section, cards)]) + "\n"


def _section(card: Card) -> str:
    corpus = card.corpus
    held_out = f" Validation is {corpus.held_out_validation:.0%} of the published train." if corpus.held_out_validation else ""
    numbers = [f"{name} {card.sentences[name]:,} ({card.words[name]:,} words, {card.spans[name]:,} spans)" for name in SPLITS]
    types, new = sorted({kind for own in card.types.values() for kind in own}), _new_types(card)
    repeats = [f"{split} {_share(card.repeated[split], card.sentences[split])}" for split in SPLITS]
    means = f"{card.words['test'] / max(card.sentences['test'], 1):.1f} words to a test sentence, at most {card.longest} in any"
    travel = "may be passed on" if corpus.redistributable else "are not passed on by `hyperloader bundle`"
    lines = {
        "Task": corpus.task_kind,
        "Source": f"{corpus.citation}; <{corpus.homepage}>; files: {', '.join(card.provenance)}",
        "Terms": f"{corpus.licence}; its sentences {travel}",
        "Labels": f"{len(types)} slot types; {corpus.label_convention}. Most frequent in train: "
        + ", ".join(f"`{kind}` {count:,}" for kind, count in card.frequent),
        "Left out": f"of the test slots {_share(card.nested, card.nested + card.spans['test'])}, which lie inside others",
        "Sentences": f"{', '.join(numbers)}; {means}.{held_out}",
        "Repeats": f"sentences whose words an earlier one of the split has: {', '.join(repeats)}",
        "Leakage": f"of the test sentences {_share(card.in_train, card.sentences['test'])} are in train word for word, "
        f"{card.contradicted} of these with other tags there only; {_share(card.in_validation, card.sentences['test'])} are in validation. "
        f"Of the test spans {_share(card.seen_spans, card.spans['test'])} have words that have the same type somewhere in train",
        "Types only in test": ", ".join(f"`{kind}`" for kind in new) or "none",
    }
    lines = {name: text for name, text in lines.items() if name != "Left out" or card.nested}
    return "\n".join([f"## {corpus.title}", "", *(f"* **{name}**: {text}" for name, text in lines.items())])


def _new_types(card: Card) -> list[str]:
    return sorted({*card.types["test"]} - {*card.types["train"], *card.types["validation"]})


def _share(count: int, of: int) -> str:
    return f"{count:,} ({100 * count / max(of, 1):.1f} %)"

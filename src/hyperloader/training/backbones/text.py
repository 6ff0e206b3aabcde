"""The text that small backbones are pre-trained on: sentences with auxiliary tags."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from hyperloader.corpora.generated.generate import DemoLanguage, auxiliary_sentences
from hyperloader.corpora.prepared import PreparedCorpus
from hyperloader.formulations.parts import whole_or_parts
from hyperloader.text.sentences import Sentence
from hyperloader.training.backbones.word_classes import word_classes

GENERATED_SENTENCES = 20_000
CLASSES, DIMENSIONS, RARE, FUNCTION_WORDS = 80, 64, 3, 60


def generated_text(seed: int) -> list[Sentence]:
    """Sentences in the language of the generated corpora, which is the same whatever the seed."""
    return list(auxiliary_sentences(DemoLanguage(), GENERATED_SENTENCES, seed))


def corpora_text(corpora: Sequence[PreparedCorpus], seed: int) -> list[Sentence]:
    """The training text of the corpora, tagged with unsupervised word classes; their own tags are not used."""
    sentences = (part for corpus in corpora for sentence in corpus.train for part in whole_or_parts(sentence, capacity=len))
    return with_word_classes([sentence.words for sentence in sentences], seed)


def with_word_classes(sentences: Sequence[Sequence[str]], seed: int) -> list[Sentence]:
    """Tag plain text with unsupervised word classes, in the shape that slots have.

    A class is named after its most frequent word. The most frequent words of all are outside; neighbours of one class form
    a span.
    """
    classes = word_classes(sentences, classes=CLASSES, dimensions=DIMENSIONS, rare=RARE, seed=seed)
    counts = Counter(word for sentence in sentences for word in sentence)
    by_frequency = sorted(counts, key=lambda word: (-counts[word], word))
    frequent = set(by_frequency[:FUNCTION_WORDS])
    names: dict[int, str] = {}
    for word in by_frequency[FUNCTION_WORDS:]:
        # a bare `O` or `I` would read as a tag
        if word in classes and word not in ("O", "I"):
            names.setdefault(classes[word], word)
    tagged = []
    for words in sentences:
        tags, before = [], None
        for word in words:
            own = None if word in frequent else names.get(classes.get(word))
            tags.append("O" if own is None else f"{'I' if own == before else 'B'}-{own}")
            before = own
        tagged.append(Sentence(tuple(words), tuple(tags)))
    return tagged


def checksum(sentences: Sequence[Sentence]) -> str:
    """A checksum of tagged sentences."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(repr((sentence.words, sentence.tags)).encode())
    return digest.hexdigest()

"""Sentences that are too long for a model, in parts: texts to tag, test sentences, and those that are trained on (docs/tagging.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hyperloader.formulations import Prediction
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import LONGEST

# of sentences in several scripts
SENTENCE_ENDS = tuple(".!?…。！？؟।")

# how many of some words, from the first on, a model can read and answer as one sentence
Capacity = Callable[[Sequence[str]], int]


def parts(sentence: Sentence, capacity: Capacity) -> Iterator[Sentence]:
    """As many words at a time as fit, up to the end of a sentence where there is one; a single word is a part however long it is."""
    words, start = sentence.words, 0
    while start < len(words):
        window = words[start : start + LONGEST]
        end = max(1, capacity(window))
        if start + end < len(words):
            end = next((cut for cut in range(end, 0, -1) if window[cut - 1].endswith(SENTENCE_ENDS)), end)
        yield Sentence(window[:end], sentence.tags[start : start + end])
        start += end


def too_long(sentence: Sentence) -> bool:
    """Whether a sentence of a corpus has more words than T5 has sentinels for; shorter ones are read whole, as published, or cut."""
    return len(sentence.words) > LONGEST


def whole_or_parts(sentence: Sentence, capacity: Capacity) -> list[Sentence]:
    """A sentence of a corpus as what it is read as: itself, or the parts of one that is too long."""
    return list(parts(sentence, capacity)) if too_long(sentence) else [sentence]


def joined(predictions: Sequence[Prediction]) -> Prediction:
    """What is predicted for a sentence, from what is predicted for its parts; malformed if one of these is."""
    if len(predictions) == 1:
        return predictions[0]
    tags, outputs, malformed, by_order, confidences = zip(*predictions, strict=True) if predictions else ((), (), (), (None,), (None,))
    return Prediction(_chained(tags), " ".join(outputs), any(malformed), _chained(by_order), _chained(confidences))


def predict_in_parts(
    sentences: Sequence[Sentence], capacity: Capacity, predict: Callable[[list[Sentence]], list[Prediction]]
) -> list[Prediction]:
    """Predictions for sentences of a corpus, from `predict`, which takes none that is too long."""
    read = [whole_or_parts(sentence, capacity) for sentence in sentences]
    predictions = iter(predict([part for own in read for part in own]))
    return [joined([next(predictions) for _ in own]) for own in read]


def _chained(values: Sequence[list | None]) -> list | None:
    return None if None in values else [item for own in values for item in own]

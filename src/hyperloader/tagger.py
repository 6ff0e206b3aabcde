"""The trained tagger as a Python object: text in, spans out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hyperloader.corpora.readers import Sentence
from hyperloader.errors import RunError
from hyperloader.prediction import Predictor, load_predictor
from hyperloader.sentt import spans


class Tagger:
    """Finds the slots of a task in sentences.

    >>> tagger = Tagger.from_pretrained("results/demo/runs/matched/hyperloader/all/100/seed42")
    >>> tagger.predict(["play the song little robin redbreast"], task="snips")
    """

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    @classmethod
    def from_pretrained(cls, run: str | Path) -> Tagger:
        """Load a trained run.

        Raises:
            UserError: the run is missing, untrained or damaged.
        """
        return cls(load_predictor(run))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return self._predictor.tasks

    def predict(self, texts: Sequence[str], task: str | None = None) -> list[list[dict]]:
        """Spans of each text, which is split at white space.

        Args:
            texts: sentences of at most 99 words.
            task: which corpus' slots to look for; not needed when the model knows only one.

        Returns:
            For each text its spans in order: `entity_group`, `word`, and `start` and `end` in characters of the text.

        Raises:
            RunError: unknown task; names the known ones.
            FormatError: a text has more than 99 words.
        """
        if task is None and len(self.tasks) == 1:
            task = self.tasks[0]
        if task not in self.tasks:
            raise RunError("which task?" if task is None else f"unknown task '{task}'", remedy=f"known tasks: {', '.join(self.tasks)}")
        places = [[(match.group(), match.start(), match.end()) for match in re.finditer(r"\S+", text)] for text in texts]
        sentences = [Sentence(tuple(word for word, _, _ in place), ()) for place in places]
        predictions = self._predictor.predict(task, sentences)
        return [_spans(text, place, prediction.tags) for text, place, prediction in zip(texts, places, predictions, strict=True)]


def _spans(text: str, places: list[tuple[str, int, int]], tags: list[str]) -> list[dict]:
    found = []
    for slot_type, first, end in spans(tags):
        start, stop = places[first][1], places[end - 1][2]
        found.append({"entity_group": slot_type, "word": text[start:stop], "start": start, "end": stop})
    return found

"""The trained tagger as a Python object: text in, spans out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hyperloader.backbones import load_vocabulary
from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import RunError
from hyperloader.prediction import device, generate
from hyperloader.saved_models import from_pretrained
from hyperloader.sentt import from_sbio
from hyperloader.settings import RunSettings, read_settings
from hyperloader.training.run import MODEL, SETTINGS


class Tagger:
    """Finds the slots of a task in sentences.

    >>> tagger = Tagger.from_pretrained("results/demo/runs/matched/hyperloader/all/100/seed42")
    >>> tagger.predict(["play the song little robin redbreast"], task="snips")
    """

    def __init__(self, model, vocabulary, settings: RunSettings):
        self._model, self._vocabulary, self._settings = model, vocabulary, settings
        self._known: dict[str, set[str]] = {}

    @classmethod
    def from_pretrained(cls, run: str | Path) -> Tagger:
        """Load a trained run.

        Raises:
            UserError: the run is missing, untrained or damaged.
        """
        run = Path(run)
        settings = read_settings(RunSettings, run / SETTINGS)
        return cls(from_pretrained(run / MODEL).to(device()), load_vocabulary(settings.backbone), settings)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return self._model.tasks

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
        if task not in self._known:
            self._known[task] = set(load_corpus(self._settings.data[task], self._settings.percent).train_label_types)
        places = [[(match.group(), match.start(), match.end()) for match in re.finditer(r"\S+", text)] for text in texts]
        words = [[word for word, _, _ in place] for place in places]
        training = self._settings.training
        outputs = generate(
            self._model, self._vocabulary, task, words, source_length=training.source_length, target_length=training.target_length
        )
        spans = []
        for text, place, ids in zip(texts, places, outputs, strict=True):
            labels, _ = self._vocabulary.read(ids, len(place), self._known[task])
            spans.append(_spans(text, place, from_sbio(labels)))
        return spans


def _spans(text: str, places: list[tuple[str, int, int]], tags: list[str]) -> list[dict]:
    spans: list[dict] = []
    for (_, start, end), tag in zip(places, tags, strict=True):
        if tag.startswith("B-"):
            spans.append({"entity_group": tag[2:], "word": text[start:end], "start": start, "end": end})
        elif tag.startswith("I-"):
            spans[-1]["end"] = end
            spans[-1]["word"] = text[spans[-1]["start"] : end]
    return spans

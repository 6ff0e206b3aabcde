"""The trained tagger as a Python object: text in, spans out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hyperloader.errors import RunError
from hyperloader.formulations import Formulation, formulation_of
from hyperloader.methods import get_method
from hyperloader.prediction import device
from hyperloader.saved_models import from_pretrained
from hyperloader.settings import RunSettings, Training, read_settings
from hyperloader.task_model import TaskModel
from hyperloader.training.run import MODEL, SETTINGS


class Tagger:
    """Finds the slots of a task in sentences.

    >>> tagger = Tagger.from_pretrained("results/demo/runs/matched/hyperloader/all/100/seed42")
    >>> tagger.predict(["play the song little robin redbreast"], task="snips")
    """

    def __init__(self, model: TaskModel, formulation: Formulation, training: Training):
        self._model, self._formulation, self._training = model, formulation, training

    @classmethod
    def from_pretrained(cls, run: str | Path) -> Tagger:
        """Load a trained run.

        Raises:
            UserError: the run is missing, untrained or damaged.
        """
        run = Path(run)
        settings = read_settings(RunSettings, run / SETTINGS)
        model = from_pretrained(run / MODEL).to(device())
        return cls(model, formulation_of(get_method(settings.method).backbone, settings.backbone, model.tasks), settings.training)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self._model.tasks)

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
        words = [[word for word, _, _ in place] for place in places]
        predictions = self._formulation.predict(self._model, task, words, self._training)
        return [_spans(text, place, prediction.tags) for text, place, prediction in zip(texts, places, predictions, strict=True)]


def _spans(text: str, places: list[tuple[str, int, int]], tags: list[str]) -> list[dict]:
    spans: list[dict] = []
    for (_, start, end), tag in zip(places, tags, strict=True):
        if tag.startswith("B-"):
            spans.append({"entity_group": tag[2:], "word": text[start:end], "start": start, "end": end})
        elif tag.startswith("I-"):
            spans[-1]["end"] = end
            spans[-1]["word"] = text[spans[-1]["start"] : end]
    return spans

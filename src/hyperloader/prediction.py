"""Predictions of a run on its test sets, kept as JSON lines so that scoring can be repeated without predicting."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hyperloader.controls import Control, load_learned
from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.readers import Sentence
from hyperloader.errors import RunError
from hyperloader.files import replacing, sha256, write_json
from hyperloader.formulations import Prediction
from hyperloader.methods import get_method
from hyperloader.settings import RunSettings, read_settings
from hyperloader.training.run import MODEL, SETTINGS

log = logging.getLogger(__name__)

MANIFEST = "predictions.json"


class Predictor(Protocol):
    """A trained run that tags sentences."""

    tasks: tuple[str, ...]

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        """Tag sentences of one of the tasks."""


class NetworkPredictor:
    """A trained network, on the first GPU or the CPU."""

    def __init__(self, folder: Path, settings: RunSettings):
        # seconds of imports, which a control does without
        import torch

        from hyperloader.formulations import formulation_of
        from hyperloader.saved_models import from_pretrained

        self._model = from_pretrained(folder).to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        self._formulation = formulation_of(get_method(settings.method).backbone, settings.backbone, self._model.tasks)
        self._training = settings.training
        self.tasks = tuple(self._model.tasks)

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        return self._formulation.predict(self._model, task, [sentence.tokens for sentence in sentences], self._training)


class ControlPredictor:
    """A control and what it learned."""

    def __init__(self, folder: Path, settings: RunSettings):
        control, learned = get_method(settings.method), load_learned(folder)
        self._tag = {task: control.tagger(own, settings.backbone) for task, own in learned.items()}
        self.tasks = tuple(learned)

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        return [self._tag[task](sentence) for sentence in sentences]


def load_predictor(run: str | Path) -> Predictor:
    """Load a trained run.

    Raises:
        UserError: the run is missing, untrained or damaged.
    """
    run = Path(run)
    settings = read_settings(RunSettings, run / SETTINGS)
    if not (run / MODEL).is_dir():
        raise RunError("the run has no model", file=run, remedy=f"train it: hyperloader train {run}")
    kind = ControlPredictor if isinstance(get_method(settings.method), Control) else NetworkPredictor
    return kind(run / MODEL, settings)


def predict_run(run: str | Path) -> None:
    """Predict the test sets of a run; writes `predictions/<corpus>.jsonl`, then `predictions.json`."""
    run = Path(run)
    settings = read_settings(RunSettings, run / SETTINGS)
    predictor = load_predictor(run)
    files = {}
    for name, path in settings.data.items():
        test = load_corpus(path).test
        started = time.perf_counter()
        predictions = predictor.predict(name, test)
        seconds = time.perf_counter() - started
        target = run / "predictions" / f"{name}.jsonl"
        with replacing(target) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
            for sentence, prediction in zip(test, predictions, strict=True):
                line = {
                    "tokens": sentence.tokens,
                    "gold": sentence.tags,
                    "prediction": prediction.tags,
                    "output": prediction.output,
                    "malformed": prediction.malformed,
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        files[name] = {
            "file": f"predictions/{name}.jsonl",
            "sentences": len(predictions),
            "sha256": sha256(target),
            "seconds": round(seconds, 1),
        }
        log.info("%s: %d sentences in %.1f s", name, len(predictions), seconds)
    write_json(run / MANIFEST, {"decoding": "free", "corpora": files})

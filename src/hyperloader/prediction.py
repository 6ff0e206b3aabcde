"""Predictions of a run on its test sets, kept as JSON lines so that scoring can be repeated without predicting."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import torch

from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import RunError
from hyperloader.files import replacing, sha256, write_json
from hyperloader.formulations import formulation_of
from hyperloader.methods import get_method
from hyperloader.saved_models import from_pretrained
from hyperloader.settings import RunSettings, read_settings
from hyperloader.training.run import MODEL, SETTINGS

log = logging.getLogger(__name__)

MANIFEST = "predictions.json"


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def predict_run(folder: str | Path) -> None:
    """Predict the test sets of a run; writes `predictions/<corpus>.jsonl`, then `predictions.json`."""
    folder = Path(folder)
    settings = read_settings(RunSettings, folder / SETTINGS)
    if not (folder / MODEL).is_dir():
        raise RunError("the run has no model", file=folder, remedy=f"train it: hyperloader train {folder}")
    model = from_pretrained(folder / MODEL).to(device())
    formulation = formulation_of(get_method(settings.method).backbone, settings.backbone, model.tasks)
    files = {}
    for name, path in settings.data.items():
        test = load_corpus(path).test
        started = time.perf_counter()
        predictions = formulation.predict(model, name, [sentence.tokens for sentence in test], settings.training)
        seconds = time.perf_counter() - started
        target = folder / "predictions" / f"{name}.jsonl"
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
    write_json(folder / MANIFEST, {"decoding": "free", "corpora": files})

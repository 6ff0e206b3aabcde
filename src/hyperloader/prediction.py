"""Predictions of a run on its test sets, kept as JSON lines so that scoring can be repeated without predicting."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from hyperloader.backbones import load_vocabulary
from hyperloader.corpora.prepared import load_corpus, slot_types
from hyperloader.encoding import PAD, Vocabulary
from hyperloader.errors import RunError
from hyperloader.files import replacing, sha256, write_json
from hyperloader.saved_models import from_pretrained
from hyperloader.sentt import from_sbio
from hyperloader.settings import RunSettings, read_settings
from hyperloader.task_model import TaskModel
from hyperloader.training.batches import pad
from hyperloader.training.run import MODEL, SETTINGS

log = logging.getLogger(__name__)

MANIFEST = "predictions.json"
BATCH_SIZE = 64


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def generate(
    model: TaskModel, vocabulary: Vocabulary, task: str, sentences: Sequence[Sequence[str]], *, source_length: int, target_length: int
) -> list[list[int]]:
    """Greedy decoding of sentences, in batches of similar length.

    Args:
        model: in evaluation mode.
        vocabulary: of its backbone.
        task: one of the model's tasks.
        sentences: words of each sentence, at most 99.
        source_length: longest input in ids; longer ones are cut.
        target_length: most ids that are generated.

    Returns:
        Generated ids of each sentence, without the start token, with padding at the end.
    """
    sources = [vocabulary.encode(words, source_length) for words in sentences]
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    outputs: list[list[int]] = [[] for _ in sources]
    for start in range(0, len(order), BATCH_SIZE):
        chosen = order[start : start + BATCH_SIZE]
        input_ids = pad([sources[index] for index in chosen], PAD).to(model.backbone.device)
        generated = model.generate(
            task, input_ids=input_ids, attention_mask=(input_ids != PAD).long(), max_new_tokens=target_length, do_sample=False, num_beams=1
        )
        for index, row in zip(chosen, generated.tolist(), strict=True):
            outputs[index] = row[1:]
    return outputs


def predict_run(folder: str | Path) -> None:
    """Predict the test sets of a run; writes `predictions/<corpus>.jsonl`, then `predictions.json`."""
    folder = Path(folder)
    settings = read_settings(RunSettings, folder / SETTINGS)
    if not (folder / MODEL).is_dir():
        raise RunError("the run has no model", file=folder, remedy=f"train it: hyperloader train {folder}")
    model, vocabulary = from_pretrained(folder / MODEL).to(device()), load_vocabulary(settings.backbone)
    files = {}
    for name, path in settings.data.items():
        corpus = load_corpus(path)
        known = set(slot_types([*corpus.train, *corpus.validation, *corpus.test]))
        started = time.perf_counter()
        outputs = generate(
            model,
            vocabulary,
            name,
            [sentence.tokens for sentence in corpus.test],
            source_length=settings.training.source_length,
            target_length=settings.training.target_length,
        )
        seconds = time.perf_counter() - started
        target = folder / "predictions" / f"{name}.jsonl"
        with replacing(target) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
            for sentence, ids in zip(corpus.test, outputs, strict=True):
                labels, malformed = vocabulary.read(ids, len(sentence.tokens), known)
                line = {
                    "tokens": sentence.tokens,
                    "gold": sentence.tags,
                    "prediction": from_sbio(labels),
                    "output": vocabulary.text(ids),
                    "malformed": malformed,
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        files[name] = {
            "file": f"predictions/{name}.jsonl",
            "sentences": len(outputs),
            "sha256": sha256(target),
            "seconds": round(seconds, 1),
        }
        log.info("%s: %d sentences in %.1f s", name, len(outputs), seconds)
    write_json(folder / MANIFEST, {"decoding": "free", "corpora": files})

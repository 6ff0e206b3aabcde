"""Predictions -> metrics: micro precision, recall and F1 over spans, by `seqeval` in its default (CoNLL) mode (section 4.3).

A span counts as correct when its type, its first word and its last word are all the gold ones. In this mode an `I-X` that
continues nothing opens a span, as in the CoNLL evaluation script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hyperloader.errors import RunError
from hyperloader.files import read_json, sha256, write_json
from hyperloader.settings import RunSettings, read_settings

REMEDY = "predict this run again"


@dataclass(frozen=True)
class Score:
    """Micro-averaged span metrics of one test set, in 0..1, and the counts behind them."""

    precision: float
    recall: float
    f1: float
    gold_spans: int
    predicted_spans: int
    correct_spans: int
    sentences: int


def score_tags(gold: Sequence[list[str]], prediction: Sequence[list[str]]) -> Score:
    """Score BIO tags, one list of tags per sentence.

    A measure whose denominator is zero is 0.

    Raises:
        ValueError: the two have unequal numbers of sentences, or a sentence has unequal numbers of tags.
    """
    from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support

    if list(map(len, gold)) != list(map(len, prediction)):
        raise ValueError("gold and prediction differ in their numbers of sentences or tags")
    if not gold:
        return Score(0.0, 0.0, 0.0, 0, 0, 0, 0)
    precision, recall, f1, _ = precision_recall_fscore_support(gold, prediction, average="micro", zero_division=0)
    gold_spans, predicted_spans = set(get_entities(list(gold))), set(get_entities(list(prediction)))
    return Score(
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        gold_spans=len(gold_spans),
        predicted_spans=len(predicted_spans),
        correct_spans=len(gold_spans & predicted_spans),
        sentences=len(gold),
    )


def score_run(run: str | Path) -> None:
    """Score all predictions of a run: `predictions.json` and the files that it names -> `scores.json`.

    Raises:
        RunError: predictions are missing, damaged, or not those of the manifest; names the file and the line.
    """
    run = Path(run)
    settings = read_settings(RunSettings, run / "settings.json")
    manifest = read_json(run / "predictions.json", remedy=REMEDY)
    corpora = {}
    for name, entry in _entries(run, manifest).items():
        sentences = list(_read_predictions(run / entry["file"], entry))
        score = score_tags([sentence["gold"] for sentence in sentences], [sentence["prediction"] for sentence in sentences])
        malformed = sum(bool(sentence["malformed"]) for sentence in sentences)
        corpora[name] = asdict(score) | {"malformed": malformed / len(sentences) if sentences else 0.0}
    write_json(
        run / "scores.json",
        {
            "scale": settings.scale,
            "recipe": settings.recipe,
            "method": settings.method,
            "percent": settings.percent,
            "seed": settings.seed,
            "decoding": manifest["decoding"],
            "alignment": "sentinel",
            "corpora": corpora,
        },
    )


def _entries(run: Path, manifest: dict) -> dict[str, dict]:
    """The manifest's entries, one per corpus, after a look at its keys."""
    entries = manifest.get("corpora")
    complete = isinstance(entries, dict) and all({"file", "sentences", "sha256"} <= entry.keys() for entry in entries.values())
    if not complete or "decoding" not in manifest:
        raise RunError("not a manifest of predictions", file=run / "predictions.json", remedy=REMEDY)
    return entries


def _read_predictions(path: Path, entry: dict) -> Iterator[dict]:
    """The sentences of one file of predictions; raises at the first that is not as the manifest says."""
    try:
        # not splitlines(), which also splits at separators that a raw output may contain
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        raise RunError("no such file, or not a text file", file=path, remedy=REMEDY) from None
    for number, line in enumerate(lines, 1):
        try:
            sentence = json.loads(line)
            tokens, gold, prediction, _ = (sentence[key] for key in ("tokens", "gold", "prediction", "malformed"))
        except (json.JSONDecodeError, KeyError, TypeError):
            raise RunError("not a prediction", file=path, line=number, remedy=REMEDY) from None
        if not len(tokens) == len(gold) == len(prediction):
            counts = f"{len(tokens)} tokens, {len(gold)} gold tags and {len(prediction)} predicted tags"
            raise RunError(f"unequal lengths: {counts}", file=path, line=number, remedy=REMEDY)
        yield sentence
    if len(lines) != entry["sentences"]:
        raise RunError(f"{len(lines)} sentences instead of {entry['sentences']}", file=path, line=len(lines), remedy=REMEDY)
    if sha256(path) != entry["sha256"]:
        raise RunError("not the file that was predicted: its checksum differs from predictions.json", file=path, remedy=REMEDY)

"""Predictions of a run on its test sets, kept as JSON lines so that scoring can be repeated without predicting."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from hyperloader.config.settings import Decoding, RunSettings, Training, read_settings
from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import RunError
from hyperloader.files import sha256
from hyperloader.formulations import Prediction
from hyperloader.methods import get_method
from hyperloader.methods.controls import Control, load_learned
from hyperloader.methods.training_run import MODEL, SETTINGS
from hyperloader.runs.gpus import lease_gpu
from hyperloader.runs.locks import holding_run
from hyperloader.runs.predictions import MANIFEST, PredictedSentence, predictions_path, write_predictions
from hyperloader.runs.records import PredictedCorpus, PredictionsManifest
from hyperloader.text.sentences import Sentence

log = logging.getLogger(__name__)

RECORDED_PACKAGES = ("hyperloader", "torch", "transformers")
Precision = Literal["fp32", "bf16"]


class Predictor(Protocol):
    """A trained run that tags sentences."""

    tasks: tuple[str, ...]

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        """Tag sentences of one of the tasks."""

    def learn(self, task: str, sentences: Sequence[Sentence]) -> None:
        """Take training sentences as hints, which make predicting faster and change no prediction."""

    def capacity(self, words: Sequence[str]) -> int:
        """How many of the words, from the first on, can be tagged as one sentence."""

    def gold_words(self, tags: Sequence[str]) -> int:
        """How many of a sentence's gold tags the authors' scorer saw."""

    def slot_types(self, task: str) -> tuple[str, ...] | None:
        """The slot types that can be predicted for a task; None where they are not known beforehand."""


class Lengths(NamedTuple):
    """Longest input and output of a saved model, which is without its recipe: those of the authors' runs."""

    source_length: int = 128
    target_length: int = 128


class NetworkPredictor:
    """A trained network, on the first GPU or the CPU.

    Args:
        folder: of the saved model.
        lengths: longest input and output.
        decoding: how text is written.
        precision: `bf16` for all weights and arithmetic is faster on a GPU, and changes some outputs.
    """

    def __init__(self, folder: Path, lengths: Training | Lengths, decoding: Decoding, precision: Precision):
        lease_gpu()
        # seconds of imports, which a control does without
        import torch

        from hyperloader.formulations import formulation_of
        from hyperloader.methods.saved_models import from_pretrained, read_config

        device, dtype = "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16 if precision == "bf16" else torch.float32
        self._model = from_pretrained(folder).to(device, dtype)
        config = read_config(folder)
        self._formulation = formulation_of(get_method(config.method).backbone, config.backbone, self._model.tasks, decoding)
        self._lengths = lengths
        self.tasks = tuple(self._model.tasks)

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        return self._formulation.predict(self._model, task, [sentence.tokens for sentence in sentences], self._lengths)

    def learn(self, task: str, sentences: Sequence[Sentence]) -> None:
        self._formulation.learn(task, sentences)

    def capacity(self, words: Sequence[str]) -> int:
        return self._formulation.capacity(words, self._lengths)

    def gold_words(self, tags: Sequence[str]) -> int:
        return self._formulation.gold_words(tags)

    def slot_types(self, task: str) -> tuple[str, ...] | None:
        return tuple(self._model.tasks[task])


class ControlPredictor:
    """A control and what it learned."""

    def __init__(self, folder: Path, settings: RunSettings):
        control = get_method(settings.method)
        learned = load_learned(folder, control)
        self._tag = {task: control.tagger(own, settings.backbone) for task, own in learned.items()}
        self.tasks = tuple(learned)

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        return [self._tag[task](sentence) for sentence in sentences]

    def learn(self, task: str, sentences: Sequence[Sentence]) -> None:
        pass

    def capacity(self, words: Sequence[str]) -> int:
        return len(words)

    def gold_words(self, tags: Sequence[str]) -> int:
        return len(tags)

    def slot_types(self, task: str) -> tuple[str, ...] | None:
        return None


def load_predictor(folder: str | Path, decoding: Decoding = "free", precision: Precision = "fp32") -> Predictor:
    """Load a trained run, or a saved model.

    Args:
        folder: of the run or of the model.
        decoding: how text is written, for a model that writes its answer.
        precision: of a network's weights and arithmetic.

    Raises:
        UserError: it is missing, untrained or damaged.
    """
    run = Path(folder)
    if not run.is_dir():
        raise RunError("no such folder", file=run, remedy="name a run, or the folder of a saved model")
    if not (run / SETTINGS).is_file():
        return NetworkPredictor(run, Lengths(), decoding, precision)
    settings = read_settings(RunSettings, run / SETTINGS)
    if not (run / MODEL).is_dir():
        raise RunError("the run has no model", file=run, remedy=f"train it: hyperloader train {run}")
    if isinstance(get_method(settings.method), Control):
        return ControlPredictor(run / MODEL, settings)
    return NetworkPredictor(run / MODEL, settings.training, decoding, precision)


def predicted_sentences(predictor: Predictor, task: str, sentences: Sequence[Sentence]) -> list[PredictedSentence]:
    """Tagged sentences beside what a run predicts for them."""
    return [
        PredictedSentence(
            tokens=list(sentence.tokens),
            gold=list(sentence.tags),
            prediction=prediction.tags,
            by_order=prediction.by_order,
            confidences=None if prediction.confidences is None else [round(confidence, 4) for confidence in prediction.confidences],
            output=prediction.output,
            malformed=prediction.malformed,
            gold_words=predictor.gold_words(sentence.tags),
        )
        for sentence, prediction in zip(sentences, predictor.predict(task, sentences), strict=True)
    ]


@holding_run
def predict_run(run: str | Path, decoding: Decoding = "free") -> None:
    """Predict the test sets of a run; writes `predictions/<corpus>.jsonl`, then `predictions.json`.

    Args:
        run: a trained run.
        decoding: how text is written; recorded for every method, so that tables tell runs apart by it.
    """
    run = Path(run)
    settings = read_settings(RunSettings, run / SETTINGS)
    predictor = load_predictor(run, decoding)
    unknown = [name for name in settings.data if name not in predictor.tasks]
    if unknown:
        remedy = f"train it: hyperloader train {run}"
        raise RunError(f"the model was not trained on {', '.join(unknown)}", file=run / SETTINGS, remedy=remedy)
    files = {}
    for name, path in settings.data.items():
        corpus = load_corpus(path, settings.percent)
        started = time.perf_counter()
        predictor.learn(name, corpus.train)
        sentences = predicted_sentences(predictor, name, corpus.test)
        seconds = time.perf_counter() - started
        target = predictions_path(run, name)
        write_predictions(target, sentences)
        files[name] = PredictedCorpus(sentences=len(sentences), sha256=sha256(target), seconds=round(seconds, 1))
        log.info("%s: %d sentences in %.1f s", name, len(sentences), seconds)
    versions = {name: version(name) for name in RECORDED_PACKAGES}
    PredictionsManifest(decoding=decoding, corpora=files, versions=versions).write(run / MANIFEST)

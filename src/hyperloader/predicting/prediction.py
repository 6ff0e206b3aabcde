"""Predictions of a run on its test sets, kept as JSON lines so that scoring can be repeated without predicting."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from hyperloader import __version__
from hyperloader.config.settings import Decoding
from hyperloader.config.sources import PREDICTING, code_checksum
from hyperloader.corpora.prepared import PreparedCorpus, load_corpus, read_prepared_manifest
from hyperloader.errors import RunError, UserError
from hyperloader.files import listed, sha256, there
from hyperloader.formulations.parts import too_long, whole_or_parts
from hyperloader.methods.loading import load_predictor
from hyperloader.methods.method import Predictor
from hyperloader.methods.registry import folders_of
from hyperloader.runs.predictions import PredictedSentence, write_predictions
from hyperloader.runs.records import LongSentences, PredictedCorpus, PredictionsManifest
from hyperloader.runs.run import Run
from hyperloader.text.sentences import Sentence

log = logging.getLogger(__name__)

RECORDED_PACKAGES = ("torch", "transformers")


def predicted_sentences(predictor: Predictor, task: str, sentences: Sequence[Sentence]) -> list[PredictedSentence]:
    """Tagged sentences beside what a run predicts for them."""
    return [
        PredictedSentence(
            tokens=list(sentence.words),
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


def long_sentences(predictor: Predictor, name: str, sentences: Sequence[Sentence]) -> LongSentences:
    """How many sentences are tagged in parts or cut; logged if any are."""
    read = [whole_or_parts(sentence, predictor.capacity) for sentence in sentences]
    cut = sum(any(predictor.readable(part.words) < len(part.words) for part in own) for own in read)
    counts = LongSentences(in_parts=sum(map(too_long, sentences)), cut=cut)
    if counts:
        log.info("%s: %d sentences are too long and tagged in parts, %d are cut", name, counts.in_parts, counts.cut)
    return counts


def predict_run(folder: str | Path, decoding: Decoding = "free", *, force: bool = False) -> None:
    """Predict the test sets of a run; writes the predictions of each, then their manifest.

    Args:
        folder: of a trained run.
        decoding: how text is written; recorded for every method, so that tables tell runs apart by it.
        force: predict again what is predicted already.
    """
    run = Run(folder)
    with run.lock():
        settings, made_of = run.settings, _made_of(run, decoding)
        if not force and _is_predicted(run, made_of):
            log.info("%s: already predicted by this model and code; --force predicts it again", run)
            return
        predictor = load_predictor(folder, decoding)
        unknown = [name for name in settings.data if name not in predictor.tasks]
        if unknown:
            remedy = f"train it: hyperloader train {run}"
            raise RunError(f"the model was not trained on {', '.join(unknown)}", file=run.folder / Run.SETTINGS, remedy=remedy)
        _check_data(run)
        corpora = {
            name: _predict(predictor, run, name, load_corpus(path, settings.percent, settings.shots)) for name, path in run.data.items()
        }
        versions = {"hyperloader": __version__} | {name: version(name) for name in RECORDED_PACKAGES}
        PredictionsManifest(decoding=decoding, made_of=made_of, corpora=corpora, versions=versions).write(run.folder / Run.PREDICTIONS)


def _check_data(run: Run) -> None:
    """Refuse prepared corpora that are not those that a run was trained on, where it was trained here."""
    if not run.has(Run.RECORD):
        return
    trained = run.record().checksums.data
    for name, folder in run.data.items():
        if read_prepared_manifest(folder).checksum != trained.get(name):
            raise RunError(f"the run was trained on other data of {name}", file=folder, remedy=f"train it again: hyperloader train {run}")


def _made_of(run: Run, decoding: Decoding) -> str:
    """One checksum over all that decides the predictions of a run."""
    model = [sha256(file) for file in listed(run.model)] if there(run.model) else []
    data = [read_prepared_manifest(path).checksum for path in run.data.values()]
    code = code_checksum(PREDICTING, folders_of(run.settings.method))
    return hashlib.sha256(repr((run.settings.model_dump_json(), model, data, decoding, code)).encode()).hexdigest()


def _is_predicted(run: Run, made_of: str) -> bool:
    """Whether predicting the run would write what is there."""
    try:
        manifest = run.predictions()
        return manifest.made_of == made_of and all(
            sha256(run.predictions_of(name)) == corpus.sha256 for name, corpus in manifest.corpora.items()
        )
    except UserError:  # none, or some that these predictions will replace
        return False


def _predict(predictor: Predictor, run: Run, name: str, corpus: PreparedCorpus) -> PredictedCorpus:
    """Write the predictions of one test set."""
    started = time.perf_counter()
    predictor.learn(name, corpus.train)
    sentences = predicted_sentences(predictor, name, corpus.test)
    seconds = time.perf_counter() - started
    write_predictions(run.predictions_of(name), sentences)
    log.info("%s: %d sentences in %.1f s", name, len(sentences), seconds)
    checksum, long = sha256(run.predictions_of(name)), long_sentences(predictor, name, corpus.test)
    return PredictedCorpus(sentences=len(sentences), sha256=checksum, seconds=round(seconds, 1), **dict(long))

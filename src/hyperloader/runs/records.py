"""The records of a run: what came of its training, its predictions and its scores."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, Self

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt
from typing_extensions import TypedDict

from hyperloader.config.records import Record, RecordPart, Share
from hyperloader.config.settings import Decoding, Name, Percent, VariantName, later


class TrainedWith(RecordPart):
    """Of a training's settings, what is read again; all others as they were."""

    model_config = ConfigDict(extra="allow")

    batch_size: NonNegativeInt


class TrainedSettings(RecordPart):
    """Of a run's settings, what is read again; all others as they were."""

    model_config = ConfigDict(extra="allow")

    scale: Name
    recipe: Name
    method: Name
    variant: VariantName | None = later(None)
    data: dict[Name, str]
    percent: Percent
    seed: int
    training: TrainedWith


class Evaluation(TypedDict):
    """A point of a curve: mean training loss since the last one; validation loss, where there is a validation; F1, where it selects."""

    step: NonNegativeInt
    loss: float
    validation_loss: float | None
    validation_f1: NotRequired[float]


class TrainedOn(RecordPart):
    """Checksums of what a run was trained on, and of the code that trained it; `known`, of the model that its task was added to."""

    backbone: str | None
    data: dict[Name, str]
    code: str | None = None
    known: str | None = None


class LongSentences(RecordPart):
    """Of some sentences, how many are longer than a model can take (docs/tagging.md).

    Attributes:
        in_parts: those that are read in parts.
        cut: those of which something is not read.
    """

    in_parts: NonNegativeInt = 0
    cut: NonNegativeInt = 0

    def __bool__(self) -> bool:
        return self.in_parts + self.cut > 0


class TrainingRecord(Record):
    """`run.json`: what came of a training; a control has no loss and takes no time.

    Attributes:
        settings: as in `settings.json`.
        parameters: numbers of them, `total`, `trainable` and `live`.
        long_sentences: by corpus and split, where there are any.
        steps: finished optimiser steps.
        best_step: the step whose weights were kept.
        curve: one point per evaluation.
        seconds: spent in training, over all interruptions.
        processes, threads: that it ran in; threads in each.
        processor: the GPU's name; without one, the CPU's, and the instructions that were used.
        peak_memory_bytes: of `cpu`, and of `gpu` where there is one.
        checksums: of data, backbone and code.
        packages: versions.
        python: its version.
        commit: of the checkout that the code came from, and whether it was changed since; null for an installed package.
    """

    WHAT, REMEDY, ABSENT = "the record of a training", "train this run again", "train this run first"

    settings: TrainedSettings
    parameters: dict[str, NonNegativeInt] = {}
    long_sentences: dict[Name, dict[str, LongSentences]] = {}
    steps: NonNegativeInt
    best_step: NonNegativeInt = 0
    curve: list[Evaluation]
    seconds: NonNegativeFloat = 0.0
    processes: NonNegativeInt = 1
    threads: NonNegativeInt = 1
    processor: str = ""
    peak_memory_bytes: dict[str, NonNegativeInt] = {}
    checksums: TrainedOn
    packages: dict[str, str] = {}
    python: str = ""
    commit: dict[str, str | bool | None] = {}


class TrialRecord(Record):
    """`trial.json`: the losses of a training at one of the learning rates that are tried.

    Attributes:
        curve: as in `run.json`.
        failure: what ended it, if its loss grew.
    """

    WHAT, REMEDY = "the record of a trial", "try this run again"

    curve: list[Evaluation] = []
    failure: str = ""


class PredictedCorpus(LongSentences):
    """What the file of predictions of a test set holds."""

    sentences: NonNegativeInt
    sha256: str
    seconds: NonNegativeFloat = 0.0


class PredictionsManifest(Record):
    """`predictions.json`.

    Attributes:
        made_of: one checksum over model, data, backbone, decoding and code.
    """

    WHAT, REMEDY = "a manifest of predictions", "predict this run again"

    made_of: str | None = None
    decoding: Decoding
    corpora: dict[Name, PredictedCorpus]
    versions: dict[str, str] = {}


class SpanScore(RecordPart):
    """Micro-averaged span metrics in 0..1, a measure whose denominator is zero is 0; and the counts behind them."""

    precision: Share
    recall: Share
    f1: Share
    gold_spans: NonNegativeInt
    predicted_spans: NonNegativeInt
    correct_spans: NonNegativeInt

    @classmethod
    def of(cls, gold: int, predicted: int, correct: int, /, **more: Any) -> Self:
        """The metrics of numbers of spans.

        Args:
            gold, predicted, correct: how many there are in gold, predicted, and in both.
            more: the other fields of a subclass.
        """
        return cls(
            precision=correct / max(predicted, 1),
            recall=correct / max(gold, 1),
            f1=2 * correct / max(gold + predicted, 1),
            gold_spans=gold,
            predicted_spans=predicted,
            correct_spans=correct,
            **more,
        )


class Score(SpanScore):
    """The score of a test set by one scoring scheme, with its 95 % bootstrap interval and its signature (docs/scores.md)."""

    alignment: str
    gold: str
    mode: str
    labels: str = "raw"
    subset: str = "all"
    ci_low: Share
    ci_high: Share
    signature: Annotated[str, Field(pattern=r"(^|\|)data:")]


class ScoredCorpus(RecordPart):
    """One test set.

    Attributes:
        sentences: of the test set.
        unseen: those whose words are those of no training sentence; None if that is not known.
        in_parts: those that were tagged in parts.
        malformed: share of the outputs that were not one well-formed label per word.
        scores: by each scoring scheme, the headline first.
        labels: of each slot type, in the mode `conll`.
    """

    sentences: NonNegativeInt
    unseen: NonNegativeInt | None = None
    in_parts: NonNegativeInt = 0
    malformed: Share
    scores: Annotated[list[Score], Field(min_length=1)]
    labels: dict[str, SpanScore]

    @property
    def headline(self) -> Score:
        """The score that stands in tables: by sentinel, whole gold, mode `conll`."""
        return self.scores[0]

    def score(self, **way: str) -> Score | None:
        """The first score of these fields and, beyond them, of raw labels on all sentences; None if there is none."""
        wanted = {"labels": "raw", "subset": "all"} | way
        return next((own for own in self.scores if all(getattr(own, key) == value for key, value in wanted.items())), None)


class ScoresRecord(Record):
    """`scores.json`."""

    WHAT, REMEDY, ABSENT = "the scores of a run", "score this run again", "score this run first"

    scale: Name
    recipe: Name
    method: Name
    variant: VariantName | None = later(None)
    percent: Percent
    seed: int
    decoding: Decoding
    corpora: dict[Name, ScoredCorpus]

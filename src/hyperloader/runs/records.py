"""The JSON files that each stage leaves for the next ones: what must be in them, and how they are read.

A file that is damaged, edited by hand or written by another version ends in one error that names the file, the key and
the remedy, wherever it is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from hyperloader.config.settings import Decoding, Kind, Name, Percent, problem
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import BackboneError, CorpusError, RunError, UserError
from hyperloader.files import read_json, write_json

LAST_CHECKPOINT = "last.safetensors"

Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A part of a record, of exactly these types; other keys may stand beside them."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Record(Part):
    """One kind of file. Its fields are what readers rely on.

    Attributes:
        WHAT: what it is, for an error.
        REMEDY: what to do about a damaged one; `{folder}` is the folder that it is in.
        ABSENT: what to do about a missing one, where that is something else.
        VERSION: of its format; a file says its own under `format_version`.
        ERROR: what is raised.
    """

    WHAT: ClassVar[str]
    REMEDY: ClassVar[str]
    ABSENT: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1
    ERROR: ClassVar[type[UserError]] = RunError

    @classmethod
    def write(cls, path: str | Path, value: dict[str, Any]) -> None:
        """Write a record, whole or not at all."""
        write_json(path, {"format_version": cls.VERSION} | value)

    @classmethod
    def read(cls, path: str | Path) -> dict[str, Any]:
        """Read a record, with all its keys, those that nobody relies on too.

        Raises:
            UserError: it is missing, no such record, or of another version.
        """
        absent = cls.ABSENT and not Path(path).exists()
        return cls.checked(read_json(path, remedy=cls.ABSENT if absent else cls.remedy(Path(path).parent), error=cls.ERROR), path)

    @classmethod
    def checked(cls, value: Any, path: str | Path) -> dict[str, Any]:
        """A record that was read from `path`, after a look at its version, keys and types.

        Raises:
            UserError: see `read`.
        """
        remedy = cls.remedy(Path(path).parent)
        if not isinstance(value, dict):
            raise cls.ERROR(f"not {cls.WHAT}", file=path, remedy=remedy)
        version = value.get("format_version")
        if type(version) is not int:
            raise cls.ERROR(f"not {cls.WHAT}: 'format_version' is missing or no number", file=path, remedy=remedy)
        if version > cls.VERSION:
            raise cls.ERROR("written by a newer version of hyperloader", file=path, remedy="update hyperloader")
        if version < cls.VERSION:
            raise cls.ERROR("written by an older version of hyperloader", file=path, remedy=remedy)
        try:
            cls.model_validate(value)
        except ValidationError as error:
            raise cls.ERROR(f"not {cls.WHAT}: {problem(cls, error.errors()[0])}", file=path, remedy=remedy) from None
        return value

    @classmethod
    def remedy(cls, folder: Path) -> str:
        """What to do about a damaged file in `folder`."""
        return cls.REMEDY.format(folder=folder)


class PreparedManifest(Record):
    """`manifest.json` of a prepared corpus."""

    WHAT, ERROR = "the manifest of a prepared corpus", CorpusError
    REMEDY = "run: hyperloader corpora prepare {name} --folder {folder}"

    corpus: str
    title: str
    seed: int
    sources: list[dict[str, Any]]
    sentences: dict[str, NonNegativeInt]
    slot_types: NonNegativeInt
    spans: dict[str, dict[str, NonNegativeInt]]
    tags: list[str]
    checksum: str
    files: dict[str, str]

    @classmethod
    def remedy(cls, folder: Path) -> str:
        return cls.REMEDY.format(folder=folder, name=folder.name if folder.name in known_corpora() else "NAME")


class BackboneManifest(Record):
    """`manifest.json` of a backbone."""

    WHAT, ERROR = "the manifest of a backbone", BackboneError
    REMEDY = "make it: hyperloader backbone {folder}"

    kind: Kind
    path: str
    sha256: dict[str, str]


class TrainingProgress(Part):
    """See `training.checkpoints.Progress`."""

    step: NonNegativeInt
    curve: list[dict[str, float | None]]
    best_step: int | None
    best_loss: float | None
    seconds: float
    first_loss: float | None
    losses: list[float]


class CheckpointRecord(Record):
    """In the header of a checkpoint's file, so that it is written in one piece with the tensors.

    Attributes:
        KEY: of the header, under which it stands.
    """

    WHAT = "a checkpoint"
    REMEDY = "delete {folder}, and the training begins anew"
    KEY: ClassVar[str] = "record"

    fingerprint: str
    progress: TrainingProgress

    @classmethod
    def text(cls, value: dict[str, Any]) -> str:
        """The record for the header."""
        return json.dumps({"format_version": cls.VERSION} | value)

    @classmethod
    def read(cls, path: str | Path) -> dict[str, Any]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                value = json.loads((file.metadata() or {})[cls.KEY])
        except (OSError, SafetensorError, LookupError, ValueError, RecursionError) as error:
            raise cls.ERROR(f"not {cls.WHAT} ({error})", file=path, remedy=cls.remedy(Path(path).parent)) from None
        return cls.checked(value, path)


class ModelRecord(Record):
    """`config.json` of a saved model."""

    WHAT, VERSION = "the configuration of a saved model", 2
    REMEDY, ABSENT = "train the run again", "name a run that is trained, or the folder of a saved model"

    method: Name
    settings: dict[str, Any]
    tasks: dict[str, list[str]]
    backbone: str


class LearnedRecord(Record):
    """`learned.json` of a control."""

    WHAT, REMEDY = "what a control learned", "train this run again"

    corpora: dict[Name, Any]


class BatchSize(Part):
    """Of a training's settings, what is read again."""

    batch_size: NonNegativeInt


class TrainedSettings(Part):
    """Of a run's settings, what is read again."""

    scale: Name
    recipe: Name
    method: Name
    data: dict[Name, str]
    percent: Percent
    seed: int
    training: BatchSize


class Loss(Part):
    """A point of a curve."""

    step: NonNegativeInt
    loss: float
    validation_loss: float | None


class TrainedOn(Part):
    """Checksums of what a run was trained on."""

    backbone: str | None
    data: dict[Name, str]


class TrainingRecord(Record):
    """`run.json`: what came of a training; a control has no loss and takes no time."""

    WHAT, REMEDY, ABSENT = "the record of a training", "train this run again", "train this run first"

    settings: TrainedSettings
    steps: NonNegativeInt
    curve: list[Loss]
    checksums: TrainedOn
    best_step: NonNegativeInt = 0
    seconds: NonNegativeFloat = 0.0


class PredictedCorpus(Part):
    """What the file of predictions of a test set holds."""

    sentences: NonNegativeInt
    sha256: str


class PredictionsManifest(Record):
    """`predictions.json`."""

    WHAT, REMEDY = "a manifest of predictions", "predict this run again"

    decoding: Decoding
    corpora: dict[Name, PredictedCorpus]


class Score(Part):
    """One way of scoring, see `scoring.Score`."""

    alignment: str
    gold: str
    mode: str
    precision: Share
    recall: Share
    f1: Share
    gold_spans: NonNegativeInt
    predicted_spans: NonNegativeInt
    correct_spans: NonNegativeInt
    ci_low: Share
    ci_high: Share
    signature: Annotated[str, Field(pattern=r"(^|\|)data:")]


class LabelScore(Part):
    """One slot type."""

    f1: Share
    gold_spans: NonNegativeInt


class ScoredCorpus(Part):
    """One test set; the headline is the first of its scores."""

    sentences: NonNegativeInt
    malformed: Share
    scores: Annotated[list[Score], Field(min_length=1)]
    labels: dict[str, LabelScore]


class ScoresRecord(Record):
    """`scores.json`."""

    WHAT, REMEDY, ABSENT = "the scores of a run", "score this run again", "score this run first"

    scale: Name
    recipe: Name
    method: Name
    percent: Percent
    seed: int
    decoding: Decoding
    corpora: dict[Name, ScoredCorpus]

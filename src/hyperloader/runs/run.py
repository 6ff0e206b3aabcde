"""A run on disk: where everything of it lies, what it says, and who works in it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from hyperloader.config.places import near
from hyperloader.config.settings import RunSettings, read_settings
from hyperloader.files import there
from hyperloader.runs.locks import folder_lock, is_locked
from hyperloader.runs.records import PredictionsManifest, ScoresRecord, TrainingRecord

# of a network's trained weights, in the folder of its model
WEIGHTS_NAME = "model.safetensors"


class Run:
    """The folder of one training, with its predictions and scores.

    Attributes:
        PATTERN: its path below the folder of results; `each` in place of the tasks stands for a single-task method's jobs that do
            all corpora, and holds nothing but their logs.
        SETTINGS, RECORD, PREDICTIONS, SCORES: files that the jobs of the workflow leave, each the last that its job writes.
        TRIAL: of one that was trained for its losses alone.
        folder: of the run.
    """

    PATTERN: ClassVar[str] = "{scale}/runs/{recipe}/{method}/{tasks}/{percent}/seed{seed}"
    EACH: ClassVar[str] = "each"
    SETTINGS, RECORD, PREDICTIONS, SCORES = "settings.json", "run.json", "predictions.json", "scores.json"
    TRIAL: ClassVar[str] = "trial.json"

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    @cached_property
    def settings(self) -> RunSettings:
        """All that decides the run.

        Raises:
            UserError: they are missing or not valid.
        """
        return read_settings(RunSettings, self.folder / self.SETTINGS)

    @property
    def data(self) -> dict[str, Path]:
        """The folder of each prepared corpus that it is trained on, in task order, wherever the run is looked at from."""
        return {name: near(path, self.folder) for name, path in self.settings.data.items()}

    @property
    def backbone(self) -> Path | None:
        """The folder of its backbone, likewise; None for a run without one."""
        return near(self.settings.backbone, self.folder) if self.settings.backbone else None

    def record(self) -> TrainingRecord:
        """What came of the training."""
        return TrainingRecord.read(self.folder / self.RECORD)

    def predictions(self) -> PredictionsManifest:
        """Which test sets were predicted."""
        return PredictionsManifest.read(self.folder / self.PREDICTIONS)

    def scores(self) -> ScoresRecord:
        """The scores of these predictions."""
        return ScoresRecord.read(self.folder / self.SCORES)

    def has(self, file: str) -> bool:
        """Whether one of the files above is there."""
        return there(self.folder / file)

    @property
    def model(self) -> Path:
        """The folder of the trained model."""
        return self.folder / "model"

    @property
    def checkpoints(self) -> Path:
        """The folder that a training goes on from; gone when it is done."""
        return self.folder / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's files."""
        return self.folder / "tensorboard"

    def predictions_of(self, corpus: str) -> Path:
        """The predictions of a test set."""
        return self.folder / "predictions" / f"{corpus}.jsonl"

    def counts_of(self, corpus: str) -> Path:
        """The span counts of each sentence of a test set."""
        return self.folder / "counts" / f"{corpus}.csv"

    def log(self, job: str) -> Path:
        """The log of a job: its own, or that of a job for all corpora of the method, whichever there is."""
        own = self.folder / "logs" / f"{job}.log"
        folder = self.folder.absolute()
        if there(own) or len(folder.parents) < 3:
            return own
        common = folder.parents[2] / self.EACH / Path(*folder.parts[-2:]) / "logs" / f"{job}.log"
        return common if there(common) else own

    def lock(self) -> AbstractContextManager[None]:
        """Work in the run, alone.

        Raises:
            RunError: another process does, or there is no such folder, or it is that of no run, or it cannot be written to.
        """
        if self.folder.is_dir() and not self.has(self.SETTINGS):
            _ = self.settings  # says so
        return folder_lock(self.folder)

    @property
    def in_use(self) -> bool:
        """Whether a process works in it now."""
        return is_locked(self.folder)

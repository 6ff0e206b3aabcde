"""How far a training is, and the record of it in a checkpoint; read without loading torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ConfigDict, NonNegativeInt

from hyperloader.config.records import Record, RecordPart
from hyperloader.files import readable
from hyperloader.runs.records import Evaluation

LAST_CHECKPOINT, BEST_CHECKPOINT = "last.safetensors", "best.safetensors"


class Progress(RecordPart):
    """How far a training is; the training loop moves it on.

    Attributes:
        step: number of finished steps.
        curve: one point per evaluation.
        best_step: the step whose weights are kept so far.
        best_loss: its validation loss; where another number selects, that one, the smaller the better.
        seconds: time spent in training, over all interruptions.
        first_loss: mean training loss of the first steps.
        losses: of the steps since the last evaluation, where the training was stopped between two, and of some before it.
    """

    model_config = ConfigDict(frozen=False)

    step: NonNegativeInt = 0
    curve: list[Evaluation] = []
    best_step: int | None = None
    best_loss: float | None = None
    seconds: float = 0.0
    first_loss: float | None = None
    losses: list[float] = []


class CheckpointRecord(Record):
    """In the header of a checkpoint's file, so that it is written in one piece with the tensors.

    Attributes:
        KEY: of the header, under which it stands.
    """

    WHAT = "a checkpoint"
    REMEDY = "delete {folder}, and the training begins anew"
    KEY: ClassVar[str] = "record"

    fingerprint: str
    progress: Progress

    def header(self) -> dict[str, str]:
        """The header of the file."""
        return {self.KEY: json.dumps(self.content())}

    @classmethod
    def read(cls, path: str | Path) -> Self:
        from safetensors import SafetensorError, safe_open

        readable(path, remedy=cls.remedy(Path(path).parent), error=cls.ERROR)
        try:
            with safe_open(path, framework="numpy") as file:
                value = json.loads((file.metadata() or {})[cls.KEY])
        except (OSError, SafetensorError, LookupError, ValueError, RecursionError) as error:
            raise cls.ERROR(f"not {cls.WHAT} ({error})", file=path, remedy=cls.remedy(Path(path).parent)) from None
        return cls.checked(value, path)

"""Checkpoints: the last, to go on from, and the best, to keep; each one file of safetensors, with its record in the header.

The order of examples, the learning rate and the random numbers of a step are functions of the seed and the step, so
a checkpoint needs no more than weights, the optimiser's moments and the step.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperloader.errors import RunError
from hyperloader.files import readable, replacing
from hyperloader.models.weights import unfit
from hyperloader.training.progress import BEST_CHECKPOINT, LAST_CHECKPOINT, CheckpointRecord, Progress

log = logging.getLogger(__name__)

# seconds: full fine-tuning of T5-base writes 3.6 GB
CHEAP, RARELY = 2.0, 600.0
# of a tensor of weights; the optimiser's have names of its own there
WEIGHTS = "weights"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        fingerprint: identifies settings and data; checkpoints of another one are not used, and the next ones take their place.
    """

    def __init__(self, folder: Path, fingerprint: str):
        self._last, self._best, self._fingerprint = folder / LAST_CHECKPOINT, folder / BEST_CHECKPOINT, fingerprint
        self._saved, self._cost = 0.0, 0.0

    def due(self) -> bool:
        """Whether the last checkpoint is to be replaced: always where that takes a moment, else from time to time."""
        return self._cost < CHEAP or time.monotonic() - self._saved > RARELY

    def save_last(self, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Replace the last checkpoint.

        Raises:
            StorageError: it cannot be written; the former one is still there.
        """
        started = time.monotonic()
        tensors = {f"{WEIGHTS}/{name}": tensor for name, tensor in weights.items()}
        for name, parameter in weights.items():
            for key, value in optimizer.state[parameter].items():
                tensors[f"{key}/{name}"] = torch.as_tensor(value)
        self._save(self._last, tensors, progress)
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def save_best(self, weights: dict[str, Tensor], progress: Progress) -> None:
        """Replace the best weights.

        Raises:
            StorageError: as `save_last`.
        """
        self._save(self._best, {f"{WEIGHTS}/{name}": tensor for name, tensor in weights.items()}, progress)

    def restore_last(self, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> Progress | None:
        """Load the last checkpoint into parameters and optimiser; None if there is none of this fingerprint.

        Raises:
            RunError: it is damaged, or written by a newer version.
        """
        if not self._last.exists():
            return None
        record = CheckpointRecord.read(self._last)
        if record.fingerprint != self._fingerprint:
            log.info("the last checkpoint is of other settings, data or backbone: training begins anew")
            return None
        tensors = self._load(self._last, weights)
        _copy(tensors, weights)
        for key, tensor in tensors.items():
            kind, _, name = key.partition("/")
            if kind != WEIGHTS:
                # the step's number too: a fused optimiser wants it beside the parameter
                optimizer.state[weights[name]][kind] = tensor.to(weights[name].device)
        progress = record.progress
        if self._best.exists():
            best = CheckpointRecord.read(self._best)
            # written since: what was best before is gone
            if best.fingerprint == self._fingerprint and best.progress.step > progress.step:
                progress.best_step, progress.best_loss = best.progress.best_step, best.progress.best_loss
        return progress

    def restore_best(self, weights: dict[str, Tensor]) -> None:
        """Load the best weights into parameters.

        Raises:
            RunError: they are missing or damaged.
        """
        if CheckpointRecord.read(self._best).fingerprint != self._fingerprint:
            raise RunError("not of this training", file=self._best, remedy=CheckpointRecord.remedy(self._best.parent))
        _copy(self._load(self._best, weights), weights)

    def _save(self, path: Path, tensors: dict[str, Tensor], progress: Progress) -> None:
        record = CheckpointRecord(fingerprint=self._fingerprint, progress=progress)
        tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, record.header())

    def _load(self, path: Path, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        remedy = CheckpointRecord.remedy(path.parent)
        try:
            tensors = load_file(readable(path, remedy=remedy, error=RunError))
        except (OSError, SafetensorError) as error:
            raise RunError(f"cannot be read ({error})", file=path, remedy=remedy) from None
        for key in tensors.keys() | {f"{WEIGHTS}/{name}" for name in weights}:
            kind, _, name = key.partition("/")
            # the optimiser counts steps in a number of its own
            shape = torch.Size() if kind == "step" else weights[name].shape if name in weights else None
            if key not in tensors or tensors[key].shape != shape:
                raise RunError(f"does not fit the model in '{key}'", file=path, remedy=remedy)
        if problems := unfit(tensors):
            raise RunError(f"its tensor {problems[0]}", file=path, remedy=remedy)
        return tensors


@torch.no_grad()
def _copy(tensors: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    for name, parameter in weights.items():
        parameter.copy_(tensors[f"{WEIGHTS}/{name}"])

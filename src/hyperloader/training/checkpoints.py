"""Checkpoints: the last, to go on from, and the best, to keep. Tensors in safetensors, the rest in JSON.

The order of examples, the learning rate and the random numbers of a step are functions of the seed and the step, so
a checkpoint needs no more than weights, the optimiser's moments and the step.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperloader.files import read_json, replacing_folder, write_json

LAST, BEST = "last", "best"
STATE, INFO = "state.safetensors", "checkpoint.json"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: number of finished steps.
        curve: one record per evaluation: step, mean training loss since the one before, validation loss.
        best_step: the step whose weights are kept so far.
        seconds: time spent in training, over all interruptions.
        first_loss: mean training loss of the first steps.
        losses: of the steps since the last evaluation, where the training was stopped between two.
    """

    step: int = 0
    curve: list[dict[str, float | int | None]] = field(default_factory=list)
    best_step: int | None = None
    best_loss: float | None = None
    seconds: float = 0.0
    first_loss: float | None = None
    losses: list[float] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        fingerprint: identifies settings and data; checkpoints of another one are discarded.
    """

    def __init__(self, folder: Path, fingerprint: str):
        self.folder, self.fingerprint = folder, fingerprint

    def save_last(self, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Replace the last checkpoint."""
        tensors = {f"weights/{name}": tensor.detach() for name, tensor in weights.items()}
        for name, parameter in weights.items():
            for key, value in optimizer.state[parameter].items():
                tensors[f"{key}/{name}"] = torch.as_tensor(value)
        self._save(LAST, tensors, progress)

    def save_best(self, weights: dict[str, Tensor], progress: Progress) -> None:
        """Replace the best weights."""
        self._save(BEST, {f"weights/{name}": tensor.detach() for name, tensor in weights.items()}, progress)

    def restore_last(self, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> Progress | None:
        """Load the last checkpoint into parameters and optimiser; None if there is none of this fingerprint."""
        tensors = self._load(LAST)
        if tensors is None:
            return None
        with torch.no_grad():
            for name, parameter in weights.items():
                parameter.copy_(tensors.pop(f"weights/{name}"))
        for key, tensor in tensors.items():
            kind, _, name = key.partition("/")
            target = weights[name]
            optimizer.state[target][kind] = tensor if kind == "step" else tensor.to(target.device)
        info = read_json(self.folder / LAST / INFO)
        return Progress(**info["progress"])

    def restore_best(self, weights: dict[str, Tensor]) -> None:
        """Load the best weights into parameters."""
        tensors = self._load(BEST)
        with torch.no_grad():
            for name, parameter in weights.items():
                parameter.copy_(tensors[f"weights/{name}"])

    def discard(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _save(self, name: str, tensors: dict[str, Tensor], progress: Progress) -> None:
        with replacing_folder(self.folder / name) as folder:
            save_file({key: tensor.cpu().contiguous() for key, tensor in tensors.items()}, folder / STATE)
            write_json(folder / INFO, {"fingerprint": self.fingerprint, "progress": asdict(progress)})

    def _load(self, name: str) -> dict[str, Tensor] | None:
        folder = self.folder / name
        if not (folder / INFO).exists() or read_json(folder / INFO).get("fingerprint") != self.fingerprint:
            return None
        return load_file(folder / STATE)

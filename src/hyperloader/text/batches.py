"""Encoded sentences and padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

IGNORED = -100
# on a GPU, lengths are rounded up: its kernels like multiples of 8, and few shapes occur
LENGTH_STEP = 8 if torch.cuda.is_available() else 1


@dataclass(frozen=True)
class Example:
    """One sentence as ids: what the model reads, what it is to answer, and whether the recipe's lengths cut something off."""

    source: Sequence[int]
    target: Sequence[int]
    cut: bool = False


@dataclass(frozen=True)
class Batch:
    """One step's examples of one task.

    Attributes:
        task: whose examples these are.
        inputs: what the model's forward pass takes, by name; (batch, padded length) each.
        labels: (batch, padded length) of its answer; padding is IGNORED.
    """

    task: str
    inputs: dict[str, Tensor]
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(self.task, inputs, self.labels.to(device, non_blocking=True))

    def part(self, number: int, parts: int) -> Batch:
        """Every `parts`-th sentence, from `number` on."""
        if parts == 1:
            return self
        return Batch(self.task, {name: tensor[number::parts] for name, tensor in self.inputs.items()}, self.labels[number::parts])


def pad(sequences: Sequence[Sequence[int]], value: int) -> Tensor:
    """Sequences of ids as one (batch, length) tensor, filled up on the right."""
    longest = max(len(sequence) for sequence in sequences)
    padded = np.full((len(sequences), -(-longest // LENGTH_STEP) * LENGTH_STEP), value, dtype=np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded)

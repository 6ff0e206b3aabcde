"""Encoded sentences and padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hyperloader.encoding import PAD

IGNORED = -100
# lengths are rounded up, so that few shapes occur
LENGTH_STEP = 8


@dataclass(frozen=True)
class Example:
    """One sentence as ids, each sequence ending in `</s>`."""

    source: list[int]
    target: list[int]


@dataclass(frozen=True)
class Batch:
    """One step's examples of one task; the tensors are (batch, padded length)."""

    task: str
    input_ids: Tensor
    attention_mask: Tensor
    decoder_input_ids: Tensor
    labels: Tensor  # padding is IGNORED

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the model takes."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "decoder_input_ids": self.decoder_input_ids,
        }

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(
            self.task,
            *(t.to(device, non_blocking=True) for t in (self.input_ids, self.attention_mask, self.decoder_input_ids, self.labels)),
        )


def pad(sequences: Sequence[Sequence[int]], value: int) -> Tensor:
    """Sequences of ids as one (batch, length) tensor, filled up on the right."""
    longest = max(len(sequence) for sequence in sequences)
    padded = np.full((len(sequences), -(-longest // LENGTH_STEP) * LENGTH_STEP), value, dtype=np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded)


def collate(task: str, examples: Sequence[Example]) -> Batch:
    """Pad examples into a batch; the decoder reads the target shifted right, behind T5's start token `<pad>`."""
    input_ids = pad([example.source for example in examples], PAD)
    labels = pad([example.target for example in examples], IGNORED)
    decoder_input_ids = torch.full_like(labels, PAD)
    decoder_input_ids[:, 1:] = labels[:, :-1]
    decoder_input_ids[decoder_input_ids == IGNORED] = PAD
    return Batch(task, input_ids, (input_ids != PAD).long(), decoder_input_ids, labels)

"""What a step minimises, and how large it is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hyperloader.config.settings import Training
from hyperloader.text.batches import IGNORED


def token_loss(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
    """Cross-entropy over the target tokens of a batch (eq. 1).

    Args:
        logits: (batch, length, vocabulary).
        labels: (batch, length), padding -100.
        label_smoothing: e in (1 - e) * nll + e / V * sum over the vocabulary of -log p.
        reduction: mean or sum over the target tokens.
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(
        logits.flatten(0, 1).to(wide), labels.flatten(), ignore_index=IGNORED, label_smoothing=label_smoothing, reduction=reduction
    )


def learning_rate(training: Training, step: int) -> float:
    """Learning rate of the 0-based step, after a linear warm-up by the recipe's schedule."""
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    decay_steps = {"constant": 0, "linear": training.steps - training.warmup_steps, "trapezoidal": training.steps // 5}[training.schedule]
    if training.steps - step >= decay_steps:
        return training.learning_rate
    return training.learning_rate * (training.steps - step) / decay_steps

"""How large a step is."""

from __future__ import annotations

from hyperloader.config.settings import Training


def learning_rate(training: Training, step: int) -> float:
    """Learning rate of the 0-based step, after a linear warm-up by the recipe's schedule."""
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    decay_steps = {"constant": 0, "linear": training.steps - training.warmup_steps, "trapezoidal": training.steps // 5}[training.schedule]
    if training.steps - step >= decay_steps:
        return training.learning_rate
    return training.learning_rate * (training.steps - step) / decay_steps

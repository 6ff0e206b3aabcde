"""The training loop: one for all methods and for the pre-training of small backbones."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from hyperloader.errors import RunError
from hyperloader.settings import Training
from hyperloader.task_model import TaskModel
from hyperloader.training.batches import IGNORED, Batch
from hyperloader.training.checkpoints import Checkpoints, Progress
from hyperloader.training.display import progress_bar

log = logging.getLogger(__name__)


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


def validation_loss(model: TaskModel, batches: dict[str, list[Batch]], device: torch.device) -> float:
    """Mean loss per target token of each task, averaged over the tasks."""
    model.eval()
    means = []
    with torch.no_grad():
        for own in batches.values():
            total, tokens = 0.0, 0
            for batch in own:
                batch = batch.to(device)
                total += token_loss(model(task=batch.task, **batch.inputs).logits, batch.labels, reduction="sum").item()
                tokens += int((batch.labels != IGNORED).sum())
            means.append(total / tokens)
    model.train()
    return sum(means) / len(means)


def fit(
    model: TaskModel,
    training: Training,
    batch_of: Callable[[int], Batch],
    *,
    checkpoints: Checkpoints,
    seed: int,
    validation: dict[str, list[Batch]] | None = None,
) -> Progress:
    """Train a model in place; on return it holds the selected weights.

    Args:
        model: its parameters with `requires_grad` are trained.
        training: see `Training`.
        batch_of: the batch of a 0-based step.
        checkpoints: where to go on from, and where to leave checkpoints.
        seed: decides dropout together with the step.
        validation: batches per task; needed to select the best weights.

    Raises:
        RunError: the loss is not a number.
    """
    accelerator = Accelerator()
    weights = model.trainable_state()
    optimizer = torch.optim.AdamW(weights.values(), lr=training.learning_rate, weight_decay=training.weight_decay)
    model.to(accelerator.device)
    progress = checkpoints.restore_last(weights, optimizer) or Progress()
    if progress.step:
        log.info("going on from step %d", progress.step)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    prepared.train()
    losses: list[Tensor] = []
    started, before = time.perf_counter(), progress.seconds
    with progress_bar(training.steps, progress.step) as bar:
        for step in range(progress.step, training.steps):
            torch.manual_seed(_mix(seed, step))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(training, step)
            batch = batch_of(step).to(accelerator.device)
            logits = prepared(task=batch.task, **batch.inputs).logits
            loss = token_loss(logits, batch.labels, label_smoothing=training.label_smoothing, reduction=training.loss_reduction)
            accelerator.backward(loss)
            if training.max_grad_norm is not None:
                accelerator.clip_grad_norm_(weights.values(), training.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            # kept on the device: reading each loss would make the host wait for every step
            losses.append(loss.detach())
            bar.advance(losses, len(batch.labels))
            if (step + 1) % training.evaluate_every and step + 1 < training.steps:
                continue
            mean = torch.stack(losses).mean().item()
            losses.clear()
            if not math.isfinite(mean):
                raise RunError(f"the loss became {mean} by step {step + 1}", remedy="lower the learning rate or clip gradients")
            record = {"step": step + 1, "loss": mean, "validation_loss": None}
            if validation is not None:
                record["validation_loss"] = validation_loss(model, validation, accelerator.device)
            progress.step = step + 1
            progress.curve.append(record)
            progress.seconds = before + time.perf_counter() - started
            criterion = record["validation_loss"] if training.selection == "best" else -progress.step
            if progress.best_loss is None or criterion < progress.best_loss:
                progress.best_loss, progress.best_step = criterion, progress.step
                if training.selection == "best":
                    checkpoints.save_best(weights, progress)
            checkpoints.save_last(weights, optimizer, progress)
            shown = "" if validation is None else f", validation loss {record['validation_loss']:.4f}"
            log.info("step %d of %d: loss %.4f%s, %.1f s", step + 1, training.steps, mean, shown, progress.seconds)
    if training.selection == "best":
        checkpoints.restore_best(weights)
    model.eval()
    return progress


def _mix(seed: int, step: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=7).digest())

"""The training loop: one for all methods and for the pre-training of small backbones, in one process or several."""

from __future__ import annotations

import atexit
import hashlib
import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import torch
import torch.fx.experimental._config
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.t5.modeling_t5 import T5Block

from hyperloader.config.settings import Training
from hyperloader.errors import DivergedError, RunError
from hyperloader.models.task_model import TaskModel
from hyperloader.runs.records import Evaluation
from hyperloader.text.batches import IGNORED, Batch
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.display import progress_bar
from hyperloader.training.interruption import LIMIT, LimitReached, stop_request
from hyperloader.training.optimisation import learning_rate
from hyperloader.training.progress import Progress
from hyperloader.training.steps import GraphedStep, Objective, Step, enough_memory, own_stream

log = logging.getLogger(__name__)

# steps between two looks at the loss: each makes the host wait for the device
CHECK_STEPS = 50
# of which a mean says whether the loss grows: those of single batches differ, by their lengths too
FEWEST_LOSSES = 10
# training stops when the loss exceeds this many times that of the first steps
DIVERGED = 1.5


def fit(
    model: TaskModel,
    training: Training,
    batch_of: Callable[[int], Batch],
    *,
    checkpoints: Checkpoints,
    seed: int,
    validation: dict[str, list[Batch]] | None = None,
    validation_f1: Callable[[], float] | None = None,
    tracking: Path | None = None,
) -> Progress:
    """Train a model in place; on return it holds the selected weights.

    Under `accelerate launch` every process gets its share of each batch, and the first one writes. SIGTERM and Ctrl-C end a training in
    one process after its step, with a checkpoint; several processes end at once, and go on from their last one.

    Args:
        model: its parameters with `requires_grad` are trained.
        training: see `Training`.
        batch_of: the batch of a 0-based step.
        checkpoints: where to go on from, and where to leave checkpoints.
        seed: decides dropout together with the step.
        validation: batches per task; needed to select the best weights.
        validation_f1: measures the model as it is; needed to select the weights of the best F1.
        tracking: a folder for TensorBoard's files.

    Raises:
        RunError: the loss is not a number or grows, a batch cannot be shared out evenly, or a signal asked to stop.
    """
    accelerator = _accelerator(model, tracking)
    _check_shares(accelerator, training)
    weights = model.trainable_state()
    model.place(accelerator.device, training.precision)
    if training.compile:
        _compile(model)
    graphs = training.cuda_graphs and accelerator.device.type == "cuda" and accelerator.num_processes == 1
    # what a recorded step reads must be on the device
    rate = torch.tensor(training.learning_rate, device=accelerator.device) if graphs else training.learning_rate
    optimizer = torch.optim.AdamW(weights.values(), lr=rate, weight_decay=training.weight_decay, fused=True, capturable=graphs)
    progress = checkpoints.restore_last(weights, optimizer) or Progress()
    if progress.step:
        log.info("going on from step %d", progress.step)
    objective = Objective(model, training).train()
    prepared = accelerator.prepare(objective)
    step_with = (GraphedStep if graphs else Step)(prepared, list(weights.values()), optimizer, accelerator, training)
    # kept on the device: reading each loss would make the host wait for every step
    losses = [torch.tensor(loss, device=accelerator.device) for loss in progress.losses]
    started = time.perf_counter() - progress.seconds
    steps = range(progress.step, 0 if _out_of_patience(training, progress) else training.steps)
    with (
        progress_bar(training.steps, progress.step, shown=accelerator.is_main_process) as bar,
        stop_request(heeded=accelerator.num_processes == 1) as stop,
        own_stream() if graphs else nullcontext(),
    ):
        for step in steps:
            torch.manual_seed(_mix(seed, step, accelerator.process_index))
            losses.append(step_with(batch_of(step), learning_rate(training, step)))
            bar.advance(losses, training.batch_size)
            progress.step = step + 1
            last = progress.step == training.steps
            evaluated = last or progress.step % training.evaluate_every == 0
            since = progress.step - (progress.curve[-1]["step"] if progress.curve else 0)
            if evaluated or progress.step % CHECK_STEPS == 0:
                _check(accelerator, losses[-min(CHECK_STEPS, max(since, FEWEST_LOSSES)) :], progress)
            if evaluated:
                point = Evaluation(step=progress.step, loss=_mean(accelerator, losses[-since:]), validation_loss=None)
                del losses[:-FEWEST_LOSSES]
                if validation is not None:
                    point["validation_loss"] = validation_loss(objective, validation, accelerator, training)
                if training.selection == "best_f1":
                    objective.eval()
                    point["validation_f1"] = validation_f1()
                    objective.train()
                if _is_best(point, training, progress) and training.selection != "last" and accelerator.is_main_process:
                    checkpoints.save_best(weights, progress)
            stopped = None if last else stop(progress.step - steps.start)
            if evaluated or stopped:
                progress.losses = [loss.item() for loss in losses]
                progress.seconds = time.perf_counter() - started
                if accelerator.is_main_process and (last or stopped or checkpoints.due()):
                    checkpoints.save_last(weights, optimizer, progress)
                accelerator.wait_for_everyone()
            if evaluated:
                _report(accelerator, point, training, progress)
                if _out_of_patience(training, progress):
                    log.info("nothing better for %d evaluations", training.patience)
                    break
            if stopped:
                raise _stopped(stopped, progress, training)
    if training.selection != "last":
        checkpoints.restore_best(weights)
    # the first process will delete what all have to have read
    accelerator.wait_for_everyone()
    # what still holds the processes' group when it ends would end it under Python's lock, for which its threads may be waiting
    del step_with
    (prepared,) = accelerator.free_memory(prepared)
    for tracker in accelerator.trackers:
        tracker.finish()
    # not before the last of several trainings
    atexit.register(accelerator.state.destroy_process_group)
    model.eval()
    return progress


def validation_loss(objective: Objective, batches: dict[str, list[Batch]], accelerator: Accelerator, training: Training) -> float:
    """Mean loss per target token of each task, averaged over the tasks; processes share the batches."""
    objective.eval()
    means = []
    with torch.no_grad():
        for own in batches.values():
            sums = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
            for batch in own[accelerator.process_index :: accelerator.num_processes]:
                with enough_memory(batch, training):
                    batch = batch.to(accelerator.device)
                    sums[0] += objective(batch.task, batch.inputs, batch.labels)
                    sums[1] += (batch.labels != IGNORED).sum()
            means.append(accelerator.reduce(sums, "sum"))
    objective.train()
    total, tokens = torch.stack(means).T
    # a task may have nothing to answer, if all is cut or unknown
    return (total / tokens.clamp(min=1)).mean().item()


def _accelerator(model: TaskModel, tracking: Path | None) -> Accelerator:
    # a parameter that no forward pass uses would be waited for; one of which only rows are unused has a gradient
    idle = model.own_parts or any(isinstance(unused, nn.Parameter) for unused in model.unused_parameters())
    options = {
        # CUDA or nothing; several processes without GPUs find each other only if told that there are none
        "cpu": not torch.cuda.is_available(),
        # what a user's environment or configuration of accelerate says would else change the arithmetic unseen
        "mixed_precision": "no",
        "dynamo_backend": "no",
        "kwargs_handlers": [DistributedDataParallelKwargs(find_unused_parameters=idle)],
    }
    if tracking is not None:
        options |= {"log_with": "tensorboard", "project_dir": tracking}
    try:
        accelerator = Accelerator(**options)
        if tracking is not None:
            accelerator.init_trackers("losses")
    except (ImportError, ValueError) as error:
        if tracking is None:
            raise
        raise RunError(f"TensorBoard cannot be used ({error})", remedy="pip install 'hyperloader[tensorboard]'") from None
    if accelerator.distributed_type not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        kind = accelerator.distributed_type.value
        raise RunError(f"cannot train under {kind}", remedy="launch with accelerate's --multi_gpu, or --cpu, and no configuration file")
    return accelerator


def _check_shares(accelerator: Accelerator, training: Training) -> None:
    if training.batch_size % (accelerator.num_processes * training.gradient_accumulation_steps):
        raise RunError(
            f"batches of {training.batch_size} cannot be shared out evenly",
            remedy=f"{accelerator.num_processes} processes x {training.gradient_accumulation_steps} accumulation steps must divide them",
        )


def _compile(model: TaskModel) -> None:
    """Compile each block of the backbone by itself: blocks of a kind share their code, and one compiled version serves all lengths."""
    # a batch of as many sentences as these have tokens would get a version of its own
    torch.fx.experimental._config.use_duck_shape = False
    for block in model.modules():
        if isinstance(block, T5Block | BertLayer):
            block.compile(dynamic=True)


def _is_best(point: Evaluation, training: Training, progress: Progress) -> bool:
    """Add a point to the curve; whether its weights are the ones to keep so far."""
    progress.curve.append(point)
    if training.selection == "best_f1":
        criterion = -point["validation_f1"]
    else:
        criterion = point["validation_loss"] if training.selection == "best" else -point["step"]
    best = progress.best_loss is None or criterion < progress.best_loss
    if best:
        progress.best_loss, progress.best_step = criterion, point["step"]
    return best


def _report(accelerator: Accelerator, point: Evaluation, training: Training, progress: Progress) -> None:
    accelerator.log({name: value for name, value in point.items() if value is not None}, step=point["step"])
    shown = "" if point["validation_loss"] is None else f", validation loss {point['validation_loss']:.4f}"
    if "validation_f1" in point:
        shown += f", F1 {point['validation_f1']:.4f}"
    ahead = _left(progress, training)
    log.info("step %d of %d: loss %.4f%s, %.1f s%s", point["step"], training.steps, point["loss"], shown, progress.seconds, ahead)


def _mean(accelerator: Accelerator, losses: list[Tensor]) -> float:
    return accelerator.reduce(torch.stack(losses).mean(), "mean").item()


def _check(accelerator: Accelerator, losses: list[Tensor], progress: Progress) -> None:
    """Stop at a loss that is no number, or is larger than at the start."""
    mean, step = _mean(accelerator, losses), progress.step
    remedy = "lower the learning rate, lengthen the warm-up or clip gradients"
    if not math.isfinite(mean):
        raise DivergedError(f"the loss became {mean} by step {step}", remedy=remedy)
    if len(losses) < FEWEST_LOSSES:
        return
    if progress.first_loss is None:
        progress.first_loss = mean
    if mean > DIVERGED * progress.first_loss:
        raise DivergedError(f"the loss grew from {progress.first_loss:.4g} to {mean:.4g} by step {step}", remedy=remedy)


def _stopped(reason: str, progress: Progress, training: Training) -> RunError:
    message = f"stopped by {reason} after step {progress.step} of {training.steps}, with a checkpoint"
    if reason != LIMIT:
        return RunError(message, remedy="the same command goes on from there")
    return LimitReached(f"{message}{_left(progress, training)}", remedy="the same command without it goes on from there")


def _left(progress: Progress, training: Training) -> str:
    left = progress.seconds / progress.step * (training.steps - progress.step)
    return f", {timedelta(seconds=round(left))} left" if left else ""


def _out_of_patience(training: Training, progress: Progress) -> bool:
    if training.patience is None or progress.best_step is None:
        return False
    since = [record for record in progress.curve if record["step"] > progress.best_step]
    return len(since) >= training.patience


def _mix(seed: int, step: int, process: int) -> int:
    name = f"{seed}/{step}" + (f"/{process}" if process else "")
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest())

"""The training of a network: backbone, method and corpora to saved weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from hyperloader.config.settings import RunSettings, Training
from hyperloader.corpora.prepared import PreparedCorpus, slot_type
from hyperloader.formulations import formulation_of
from hyperloader.models.backbones import Backbone
from hyperloader.models.task_model import TaskModel
from hyperloader.text.batches import IGNORED, Batch
from hyperloader.text.sentt import OUTSIDE
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.data import check_words, long_sentences, training_batches, validation_batches, validation_f1
from hyperloader.training.loop import fit
from hyperloader.training.steps import Objective, enough_memory
from hyperloader.training.tokenised import Tokeniser

log = logging.getLogger(__name__)


def within_epochs(training: Training, sentences: int) -> Training:
    """The training with its budget in steps, where it is given in passes over the sentences; then there is a checkpoint after each."""
    if training.epochs is None:
        return training
    per_epoch = math.ceil(sentences / training.batch_size)
    steps = min(training.steps, training.epochs * per_epoch)
    return training.model_copy(update={"steps": steps, "evaluate_every": min(per_epoch, steps)})


def train_network(
    build: Callable[[PreTrainedModel, Mapping[str, Sequence[str]]], TaskModel],
    backbone: Backbone,
    settings: RunSettings,
    corpora: Sequence[PreparedCorpus],
    checkpoints: Path,
    fingerprint: str,
    tracking: Path | None = None,
    start: Callable[[TaskModel, Mapping[str, Sequence[Batch]]], None] | None = None,
) -> tuple[TaskModel, dict[str, Any]]:
    """Train a network.

    Args:
        build: makes the model of the loaded backbone and the tasks with their slot types.
        backbone: that it sits on.
        settings: all that decides the run; those of its method with their defaults.
        corpora: at the run's fraction.
        checkpoints: where to go on from, and where to leave checkpoints.
        fingerprint: identifies settings and data; checkpoints of another one are discarded.
        tracking: a folder for TensorBoard's files.
        start: is given the model and the batches of each validation set before the first step.

    Returns:
        The model with the selected weights, and what came of it, for `run.json`.
    """
    tasks = {corpus.name: corpus.train_label_types for corpus in corpora}
    formulation = formulation_of(backbone, tasks, settings=settings.method_settings)
    for corpus in corpora:
        # those of the other splits too: what cannot be written there would count as missed
        formulation.check(corpus.name, [slot_type(tag) for tag in corpus.labels if tag != OUTSIDE], settings.training)
    check_words(corpora, formulation)
    tokenise = Tokeniser(formulation, settings.training, backbone.checksum)
    training = within_epochs(settings.training, sum(len(tokenise(corpus, "train")) for corpus in corpora))
    long = long_sentences(corpora, tokenise)
    loaded = backbone.model()
    # before anything is drawn: the initial weights are part of the seed's result
    torch.manual_seed(settings.seed)
    model = build(loaded, tasks)
    counts = model.parameter_counts()
    log.info("%s on %s: %s trainable of %s parameters", settings.method, ", ".join(tasks), f"{counts.trainable:,}", f"{counts.total:,}")
    validation = validation_batches(corpora, tokenise, training, settings.seed)
    if start is not None:
        start(model, validation)
    progress = fit(
        model,
        training,
        training_batches(corpora, tokenise, training, settings.seed),
        checkpoints=Checkpoints(checkpoints, fingerprint),
        seed=settings.seed,
        validation=validation,
        validation_f1=partial(validation_f1, model, formulation, corpora, training, settings.seed),
        tracking=tracking,
    )
    return model, {
        "parameters": counts._asdict(),
        "long_sentences": long,
        "steps": progress.step,
        "best_step": progress.best_step,
        "curve": progress.curve,
        "seconds": round(progress.seconds, 1),
        "processes": PartialState().num_processes,
        "threads": torch.get_num_threads(),
    }


@torch.no_grad()
def loss_as(model: TaskModel, task: str, batches: Sequence[Batch], training: Training) -> float:
    """Loss per target token of some batches under the weights of a task, whichever task they are of."""
    objective = Objective(model, training).eval()
    total = 0.0
    for batch in batches:
        with enough_memory(batch, training):
            total += float(objective(task, batch.inputs, batch.labels))
    return total / max(1, sum(int((batch.labels != IGNORED).sum()) for batch in batches))

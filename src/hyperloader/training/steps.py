"""One step of training, from a batch to new weights; on a GPU recorded once per shape and replayed as one CUDA graph.

A step is a function of tensors that stay where they are: the batch, the number of its task, the scale of its loss and the learning rate.
It reads nothing from the device, so the host runs ahead. For a small batch a GPU spends most of an eager step on waiting for the host
to launch its thousands of kernels; a graph launches them all at once. Random numbers of a replayed step are those of an eager one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hyperloader.config.settings import Training
from hyperloader.models.memory import memory_for
from hyperloader.models.precision import arithmetic
from hyperloader.models.task_model import TaskModel
from hyperloader.text.batches import IGNORED, Batch
from hyperloader.training.loss import token_loss

log = logging.getLogger(__name__)

# a shape is recorded when it comes for this time: most batches have one of few shapes, and recording takes as long as some steps
WORTH_RECORDING = 3
# of a device; what is recorded for one more shape would have to be let go
MOST_GRAPHS = 256


class Objective(nn.Module):
    """A model's loss on a batch, summed over its target tokens."""

    def __init__(self, model: TaskModel, training: Training):
        super().__init__()
        self.model, self._precision, self._smoothing = model, training.precision, training.label_smoothing

    def forward(self, task: str | None, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        """The loss; a task of None is the one that the model was told to choose."""
        with arithmetic(labels.device, self._precision):
            states = self.model.states(task, **inputs)
            smoothing = self._smoothing if self.training else 0.0
            return token_loss(states, self.model.head(task), labels, label_smoothing=smoothing)


class Step:
    """Steps of one training, one after the other.

    Args:
        objective: of the model, as `accelerator.prepare` returned it.
        weights: the trained parameters.
        optimizer: of these.
        accelerator: says how many processes share a batch.
        training: see `Training`.
    """

    def __init__(
        self,
        objective: nn.Module,
        weights: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
        accelerator: Accelerator,
        training: Training,
    ):
        self._objective, self._weights, self._optimizer = objective, weights, optimizer
        self._accelerator, self._training = accelerator, training

    def __call__(self, batch: Batch, learning_rate: float) -> Tensor:
        """Change the weights; returns this process' share of the loss, on the device.

        Raises:
            RunError: the device has too little memory for it.
        """
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(learning_rate)
            else:
                group["lr"] = learning_rate
        with enough_memory(batch, self._training):
            return self._take(batch, self._scale(batch))

    def _take(self, batch: Batch, scale: float | Tensor) -> Tensor:
        device = self._accelerator.device
        return self._compute(batch.task, [part.to(device) for part in self._parts(batch)], scale)

    def _scale(self, batch: Batch) -> float:
        # over the whole batch, so that the parts' losses add up to it; gradients are averaged over the processes
        tokens = max(1, int((batch.labels != IGNORED).sum())) if self._training.loss_reduction == "mean" else 1
        return self._accelerator.num_processes / tokens

    def _parts(self, batch: Batch) -> list[Batch]:
        own, processes = self._accelerator.process_index, self._accelerator.num_processes
        parts = self._training.gradient_accumulation_steps
        return [batch.part(own + processes * number, processes * parts) for number in range(parts)]

    def _compute(self, task: str | None, parts: list[Batch], scale: float | Tensor) -> Tensor:
        """The step itself, of what is on the device."""
        total = torch.zeros((), device=self._accelerator.device)
        for number, part in enumerate(parts):
            with self._accelerator.no_sync(self._objective) if number + 1 < len(parts) else nullcontext():
                loss = scale * self._objective(task, part.inputs, part.labels)
                loss.backward()
            total += loss.detach()
        if self._training.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._weights, self._training.max_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return total


class GraphedStep(Step):
    """Steps on one GPU, replayed from a graph once their shape has come some times.

    All of a training must be on one stream (`own_stream`): what a step launched on another one keeps of its gradients' places would end
    the next recording.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._seen: Counter[tuple] = Counter()
        self._graphs: dict[tuple, _Graph | None] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._able = True

    def _take(self, batch: Batch, scale: float) -> Tensor:
        told = self._objective.model.choose(batch.task)
        kind = (told, *((name, tuple(tensor.shape)) for name, tensor in batch.inputs.items()))
        self._seen[kind] += 1
        graph = self._graphs.get(kind)
        if graph is None and self._able and self._seen[kind] >= WORTH_RECORDING and len(self._graphs) < MOST_GRAPHS:
            graph = self._graphs[kind] = self._record(told, batch)
        return super()._take(batch, scale) if graph is None else graph.replay(batch, scale)

    def _record(self, told: str | None, batch: Batch) -> _Graph | None:
        device = self._accelerator.device
        # a copy, since a graph reads its batch where it was recorded
        still = Batch(
            batch.task, {name: tensor.to(device, copy=True) for name, tensor in batch.inputs.items()}, batch.labels.to(device, copy=True)
        )
        scale, graph = torch.zeros((), device=device), torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=torch.cuda.current_stream()):
                loss = self._compute(told, self._parts(still), scale)
        except RuntimeError as error:
            self._able = False
            # the failed recording still holds the generator
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            generator.graphsafe_set_state(generator.clone_state())
            log.warning("steps are not recorded as CUDA graphs (%s): they are launched kernel by kernel", str(error).splitlines()[0])
            self._optimizer.zero_grad()
            return None
        return _Graph(graph, still, scale, loss)


class _Graph:
    """A recorded step, and the tensors that it reads and writes."""

    def __init__(self, graph: torch.cuda.CUDAGraph, batch: Batch, scale: Tensor, loss: Tensor):
        self._graph, self._batch, self._scale, self._loss = graph, batch, scale, loss

    def replay(self, batch: Batch, scale: float) -> Tensor:
        for name, tensor in batch.inputs.items():
            self._batch.inputs[name].copy_(tensor, non_blocking=True)
        self._batch.labels.copy_(batch.labels, non_blocking=True)
        self._scale.fill_(scale)
        self._graph.replay()
        # the graph's own will be overwritten
        return self._loss.clone()


@contextmanager
def own_stream() -> Iterator[None]:
    """A stream for a training whose steps are recorded, which cannot be done on a GPU's default one."""
    outside, own = torch.cuda.current_stream(), torch.cuda.Stream()
    own.wait_stream(outside)
    try:
        with torch.cuda.stream(own):
            yield
    finally:
        outside.wait_stream(own)


@contextmanager
def enough_memory(batch: Batch, training: Training) -> Iterator[None]:
    """See `memory_for`."""
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in batch.inputs.items())
    parts = training.gradient_accumulation_steps
    remedy = f"set gradient_accumulation_steps to {2 * parts}, which only costs time, or a smaller batch_size (config/README.md)"
    with memory_for(f"a batch of {batch.task} in {parts} part{'s' * (parts > 1)}: {shapes}", remedy):
        yield

"""How long a step takes on this machine: a few of them, by the training loop itself, before there are corpora or weights.

Weights and ids are random. What costs time is as it will be: sizes, batch, lengths, and as many processes side by side as jobs.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from hyperloader.config.settings import Kind, PretrainedBackbone, Training
from hyperloader.methods.registry import get_method
from hyperloader.models.backbones import BACKBONES

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from hyperloader.models.task_model import TaskModel
    from hyperloader.text.batches import Batch

# the first steps are slower
STEPS, WARM_UP = 8, 2
# of a step's time, about what a forward pass takes; of a sentence's in a step, its tagging, as in the demo's records
FORWARD, TAGGING = 0.3, 0.6
TYPES = tuple("abcdefghij")
# in a T5's vocabulary of the corpora's own sub-words: what it has beside these, labels and sentinels above all
LABELS = 322


class Text(NamedTuple):
    """What a scale's corpora are like.

    Attributes:
        lengths: mean source and target in tokens, of a T5 and of a BERT.
        pieces: of the vocabularies that are made for them, labels and sentinels included.
        test: sentences of all test sets.
    """

    lengths: dict[Kind, tuple[int, int]]
    pieces: dict[Kind, int]
    test: int


# counted in what `hyperloader backbone` and `hyperloader train` make of the seven
TEXTS: dict[Literal["real", "generated"], Text] = {
    "real": Text({"t5": (27, 28), "bert": (15, 15)}, {"t5": 14_453, "bert": 6_000}, 20_517),
    "generated": Text({"t5": (14, 14), "bert": (9, 9)}, {"t5": 1_109, "bert": 857}, 1_400),
}


def expected_config(kind: Kind, wanted: PretrainedBackbone) -> PretrainedConfig:
    """The sizes of a backbone that is to be pre-trained, with about as many pieces as its vocabulary will have."""
    sizes: dict[str, Any] = {"vocab_size": TEXTS["real" if wanted.text == "corpora" else "generated"].pieces[kind]}
    if wanted.pieces:
        sizes["vocab_size"] = wanted.pieces + (LABELS if kind == "t5" else 0)
    if kind == "t5":
        sizes["num_decoder_layers"] = wanted.architecture.num_layers
    return BACKBONES[kind].config_class()(**sizes, **wanted.architecture.model_dump())


@dataclass(frozen=True)
class Trial:
    """A training to be timed.

    Attributes:
        method: its name; None for the pre-training of the backbone.
        settings: of the method.
        config: of the backbone.
        kind: of the backbone.
        lengths: of source and target, in tokens.
        tasks: names of them.
        training: as it will be.
    """

    method: str | None
    settings: dict[str, Any]
    config: PretrainedConfig
    kind: Kind
    lengths: tuple[int, int]
    tasks: Sequence[str]
    training: Training

    def model(self) -> TaskModel:
        """The model, with random weights."""
        backbone, tasks = BACKBONES[self.kind].empty_model(self.config), dict.fromkeys(self.tasks, TYPES)
        if self.method is not None:
            method = get_method(self.method)
            return method.build(backbone, tasks, method.settings(self.settings))
        if self.kind == "t5":
            from hyperloader.models.task_model import PlainT5

            return PlainT5(backbone, tasks)
        from hyperloader.training.backbones.bert import TwoHeadedBert

        return TwoHeadedBert(backbone, TYPES)

    def batches(self, model: TaskModel) -> Callable[[int], Batch]:
        """Batches of random ids, the tasks in turn."""
        import torch

        from hyperloader.formulations.text_to_text import collate
        from hyperloader.text.batches import Batch, Example, pad

        generator, tasks = torch.Generator().manual_seed(0), list(model.tasks)
        (source, target), size = self.lengths, self.training.batch_size

        def ids(length: int, limit: int) -> list[list[int]]:
            return torch.randint(3, limit, (size, length), generator=generator).tolist()

        def batch_of(step: int) -> Batch:
            task, sources = tasks[step % len(tasks)], ids(source, self.config.vocab_size)
            if self.kind == "t5":
                return collate(task, [Example(*pair) for pair in zip(sources, ids(target, self.config.vocab_size), strict=True)])
            inputs = pad(sources, 0)
            return Batch(task, {"input_ids": inputs, "attention_mask": torch.ones_like(inputs)}, pad(ids(target, len(TYPES)), 0))

        return batch_of

    def seconds(self) -> float:
        """Seconds of a step, in this process."""
        from hyperloader.training.checkpoints import Checkpoints
        from hyperloader.training.loop import fit

        model, starts = self.model(), []
        batch_of = self.batches(model)
        changes = {"steps": STEPS, "evaluate_every": STEPS, "selection": "last", "epochs": None, "patience": None, "schedule": "constant"}

        def noted(step: int) -> Batch:
            batch = batch_of(step)
            starts.append(time.perf_counter())
            return batch

        with tempfile.TemporaryDirectory() as folder:
            training = self.training.model_copy(update=changes)
            fit(model, training, noted, checkpoints=Checkpoints(Path(folder), "trial"), seed=0)
        return statistics.median(after - before for before, after in zip(starts[WARM_UP:], starts[WARM_UP + 1 :], strict=False))


class Stopwatch:
    """Times trials in as many processes side by side as a workflow runs jobs. Use it in a `with` statement; it starts them when asked.

    Args:
        jobs: how many at a time.
        threads: of each.
    """

    def __init__(self, jobs: int, threads: int):
        self.jobs, self._threads = jobs, threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        if self.used:
            self._pool.shutdown()

    @property
    def used(self) -> bool:
        """Whether anything was timed."""
        return "_pool" in vars(self)

    @cached_property
    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.jobs, get_context("spawn"), _start, [self._threads])

    @cached_property
    def start_seconds(self) -> float:
        """Of the start of a job: Python and what it imports."""
        return statistics.mean(self._each(_seconds_since, time.time()))

    def __call__(self, trial: Trial) -> float:
        """Seconds of a step."""
        assert self.start_seconds  # all processes are there
        return statistics.mean(self._each(Trial.seconds, trial))

    def _each(self, function: Callable[[Any], float], argument: Any) -> list[float]:
        return list(self._pool.map(function, [argument] * self.jobs))


def _start(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    sys.stderr = open(os.devnull, "w")  # where a training shows how far it is


def _seconds_since(started: float) -> float:
    import hyperloader.methods.saved_models
    import hyperloader.training.network  # noqa: F401

    time.sleep(0.5)  # so that each process gets one
    return time.time() - started - 0.5

"""What a plan costs before it is run: hours, disk and memory per run and in all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyperloader.errors import SettingsError
from hyperloader.planning.parameters import count
from hyperloader.planning.plan import Plan, PlannedRun
from hyperloader.runs.run import Run

# bytes per number in fp32; a trained one has a gradient and two moments beside it
FP32, BF16, OPTIMISER = 4, 2, 3


@dataclass(frozen=True)
class Estimate:
    """The cost of all runs of one method.

    Attributes:
        method: title.
        runs: number of trainings.
        sentences: that one of them sees, at most.
        hours: of all of them, one after the other.
        disk: bytes that all of them leave: trained weights.
        checkpoints: bytes that one of them takes while it trains: the last checkpoint with the optimiser, and the best.
        memory: bytes of weights, gradients and moments in one of them; activations come on top.
    """

    method: str
    runs: int
    sentences: int
    hours: float
    disk: int
    checkpoints: int
    memory: int


def estimate(plan: Plan, scale: str, published: str | Path, speed: float | None = None, results: str = "results") -> Iterator[Estimate]:
    """Estimate every planned method that trains a network.

    Args:
        plan: what to reproduce.
        scale: name of the scale.
        published: see `parameters.count`.
        speed: sentences per second; by default that of finished runs of the method at this scale.
        results: folder of finished runs, and of backbones that were pre-trained here.

    Raises:
        SettingsError: no speed is given, and no run of a method has finished.
    """
    parameters = {row.name: row for row in count(plan, scale, published, results)}
    for name in plan.config.methods:
        if name not in parameters:
            continue
        runs, row = [run for run in plan.runs(scale) if run.method == name], parameters[name]
        trainings = [plan.run_settings(run).training for run in runs]
        sentences = [training.steps * training.batch_size for training in trainings]
        frozen = row.total - row.trainable
        yield Estimate(
            row.method,
            len(runs),
            max(sentences),
            sum(sentences) / (speed or _speed(runs, results)) / 3600,
            len(runs) * row.trainable * FP32,
            row.trainable * FP32 * (OPTIMISER + (trainings[0].selection == "best")),
            frozen * (BF16 if trainings[0].precision == "bf16" else FP32) + row.trainable * FP32 * (1 + OPTIMISER),
        )


def as_text(estimates: list[Estimate]) -> str:
    """The estimates as a table, with their sum."""
    from rich.filesize import decimal
    from tabulate import tabulate

    lines = [
        [e.method, e.runs, f"{e.sentences:,}", f"{e.hours:,.1f}", decimal(e.disk), decimal(e.checkpoints), decimal(e.memory)]
        for e in estimates
    ]
    total = [sum(getattr(e, name) for e in estimates) for name in ("runs", "hours", "disk")]
    lines.append(["in all", total[0], "", f"{total[1]:,.1f}", decimal(total[2]), "", ""])
    header = ["Method", "Runs", "Sentences each, at most", "Hours", "Disk", "Checkpoints each", "Memory each, without activations"]
    return tabulate(lines, header, tablefmt="pipe", disable_numparse=True, colalign=["left", *["right"] * 6]) + "\n"


def measured_speed(runs: list[PlannedRun], results: str | Path) -> float | None:
    """Sentences per second of the finished ones of some runs; None if there is none."""
    sentences, seconds = 0, 0.0
    for run in runs:
        found = Run(Path(results) / run.path)
        if found.has(Run.RECORD):
            record = found.record()
            sentences += record.steps * record.settings.training.batch_size
            seconds += record.seconds
    return sentences / seconds if seconds else None


def _speed(runs: list[PlannedRun], results: str) -> float:
    speed = measured_speed(runs, results)
    if speed is None:
        message = f"no run of {runs[0].method} at scale {runs[0].scale} has finished"
        raise SettingsError(message, remedy="give a --speed in sentences per second")
    return speed

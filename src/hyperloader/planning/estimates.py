"""What a plan costs before it is run: hours, disk and memory per run and in all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from statistics import mean

from hyperloader.config.settings import PretrainedBackbone, Training
from hyperloader.corpora.generated.generate import SIZES
from hyperloader.corpora.registry import known_corpora
from hyperloader.planning.parameters import config_of, count, is_made
from hyperloader.planning.plan import Plan, PlannedRun, scale_of
from hyperloader.planning.trials import FORWARD, TAGGING, TEXTS, Stopwatch, Trial
from hyperloader.runs.run import Run

# bytes per number in fp32; a trained one has a gradient and two moments beside it
FP32, BF16, OPTIMISER = 4, 2, 3
# parameters of models of which a few steps are soon made
SMALL = 60_000_000
# sentences per second of a training on T5-base or BERT-base in fp32, in batches of 4, by one core of an AMD EPYC with AVX-512
# (benchmarks/methods.py); of larger batches full fine-tuning's optimiser takes a smaller part
REFERENCE = {
    "hyperloader": 2.11,
    "hyperformer_pp": 2.33,
    "hyperformer": 2.44,
    "hyperdecoder": 2.35,
    "unipelt_t5": 2.28,
    "unipelt_bert": 8.60,
    "full_finetuning": 0.95,
    "full_finetuning_single_task": 0.95,
}
HYPERLOADER = "hyperloader"
NOTE = (
    "Nothing of these sizes has been measured here: hours are those of one core of an AMD EPYC, in fp32. --speed SENTENCES_PER_SECOND "
    "gives HyperLoader's, e.g. 813 on an NVIDIA H200 in fp32 and 2,464 in bf16 (docs/training-speed.md); the other methods' follow from it."
)


@dataclass(frozen=True)
class Estimate:
    """The cost of all runs of one method, or of the pre-training of a backbone.

    Attributes:
        method: title.
        runs: number of trainings.
        sentences: that one of them sees, at most.
        hours: of all of them, one after the other.
        disk: bytes that all of them leave: trained weights.
        checkpoints: bytes that one of them takes while it trains: the last checkpoint with the optimiser, and the best.
        memory: bytes of weights, gradients and moments in one of them; activations come on top.
        arithmetic: `fp32` or `bf16`, and whether it is compiled.
        by_reference: whether the hours are those of `REFERENCE`.
    """

    method: str
    runs: int
    sentences: int
    hours: float
    disk: int
    checkpoints: int
    memory: int
    arithmetic: str
    by_reference: bool = False


@dataclass(frozen=True)
class Estimates:
    """The costs of a plan.

    Attributes:
        rows: of each method that trains a network, and of each backbone that is to be pre-trained.
        other_hours: of predictions and of the start of all jobs, one after the other; 0 if a speed is not of this machine.
        jobs: that run side by side.
        cores: that they have.
        by_reference: whether a speed is one of `REFERENCE`, since nothing was measured here.
    """

    rows: list[Estimate]
    other_hours: float
    jobs: int
    cores: int
    by_reference: bool


def estimate(
    plan: Plan, scale: str, published: str | Path, speed: float | None = None, results: str = "results", cores: int | None = None
) -> Estimates:
    """Estimate what training costs at a scale.

    Where nothing tells how fast a method is, a few of its steps are tried out if it is small; otherwise its speed is that of `REFERENCE`.

    Args:
        plan: what to reproduce.
        scale: name of the scale.
        published: see `parameters.count`.
        speed: HyperLoader's sentences per second, from which the others' follow as `REFERENCE` has them; by default that of finished runs
            of the method at this scale.
        results: folder of finished runs, and of backbones that were pre-trained here.
        cores: that the workflow will have; by default all.
    """
    scale = scale_of(scale)
    cores = cores or len(os.sched_getaffinity(0))
    jobs = max(1, cores // plan.scale(scale).threads)
    with Stopwatch(jobs, min(cores, plan.scale(scale).threads)) as stopwatch:
        rows = list(_methods(plan, scale, published, speed, results, stopwatch))
        elsewhere = speed or any(row.by_reference for row in rows)
        other = 0.0 if elsewhere else _other_hours(plan, scale, rows, stopwatch)
        rows += _backbones(plan, scale, speed, results, stopwatch)
    return Estimates(rows, other, jobs, cores, any(row.by_reference for row in rows))


def as_text(estimates: Estimates) -> str:
    """The estimates as a table with their sum, and how long all of it takes, if all speeds are of this machine."""
    from rich.filesize import decimal
    from tabulate import tabulate

    rows = estimates.rows
    lines = [
        [e.method, e.runs, f"{e.sentences:,}", f"{e.hours:,.2f}", decimal(e.disk), decimal(e.checkpoints), decimal(e.memory), e.arithmetic]
        for e in rows
    ]
    sums = [sum(getattr(e, name) for e in rows) for name in ("runs", "hours", "disk")]
    lines.append(["in all", sums[0], "", f"{sums[1]:,.2f}", decimal(sums[2]), "", "", ""])
    header = ["Method", "Runs", "Sentences each, at most", "Hours", "Disk", "Checkpoints each", "Memory each, without activations"]
    columns = ["left", *["right"] * 6, "left"]
    table = tabulate(lines, [*header, "Arithmetic"], tablefmt="pipe", disable_numparse=True, colalign=columns) + "\n"
    if estimates.by_reference:
        table += f"\n{NOTE}\n"
    if not estimates.other_hours:
        return table
    hours = (sums[1] + estimates.other_hours) / estimates.jobs
    jobs = "one job" if estimates.jobs == 1 else f"{estimates.jobs} jobs"
    total = f"About {hours:,.2f} hours with --cores {estimates.cores}, {jobs} at a time"
    return f"{table}\n{total}, on this machine as busy as it is now; predictions and the start of each job are included.\n"


def _methods(plan: Plan, scale: str, published: str | Path, speed: float | None, results: str, stopwatch: Stopwatch) -> Iterator[Estimate]:
    parameters = {row.name: row for row in count(plan, scale, published, results, names=plan.methods(scale), roughly=True)}
    for name in plan.methods(scale):
        if name not in parameters:
            continue
        runs, row = [run for run in plan.runs(scale) if run.method == name], parameters[name]
        trainings = [plan.run_settings(run).training for run in runs]
        usual = share(plan.method(name, scale).method.name)
        own = speed and speed * usual or measured_speed(runs, results)
        if not own and row.total <= SMALL:
            own = _tried(plan, runs, results, stopwatch)
        cost = _estimate(row.method, trainings, own or REFERENCE[HYPERLOADER] * usual, row.trainable, row.total - row.trainable)
        yield replace(cost, by_reference=not own)


def _backbones(plan: Plan, scale: str, speed: float | None, results: str, stopwatch: Stopwatch) -> Iterator[Estimate]:
    """Of the backbones that the methods need and that are not pre-trained yet."""
    text = TEXTS[plan.scale(scale).corpora]
    needed = {plan.method(name, scale).method.backbone for name in plan.methods(scale)}
    for kind, wanted in plan.scale(scale).backbones.items():
        made = is_made(Path(results) / scale / "backbones" / kind, wanted)
        if kind not in needed or not isinstance(wanted, PretrainedBackbone) or made:
            continue
        from hyperloader.training.backbones.t5 import training_of

        training = training_of(wanted.pretraining)
        trial = Trial(None, {}, config_of(plan, scale, kind, results, roughly=True), kind, text.lengths[kind], ("pre-training",), training)
        weights = sum(parameter.numel() for parameter in trial.model().backbone.parameters())
        yield _estimate(f"{kind.upper()}, pre-training", [training], speed or training.batch_size / stopwatch(trial), weights, 0)


def _estimate(title: str, trainings: list[Training], speed: float, trainable: int, frozen: int) -> Estimate:
    sentences, first = [training.steps * training.batch_size for training in trainings], trainings[0]
    return Estimate(
        title,
        len(trainings),
        max(sentences),
        sum(sentences) / speed / 3600,
        len(trainings) * trainable * FP32,
        trainable * FP32 * (OPTIMISER + (first.selection != "last")),
        frozen * (BF16 if first.precision == "bf16" else FP32) + trainable * FP32 * (1 + OPTIMISER),
        first.precision + (", compiled" if first.compile else ""),
    )


def _tried(plan: Plan, runs: list[PlannedRun], results: str, stopwatch: Stopwatch) -> float:
    """Sentences per second of a method's trainings, their validations included."""
    first = runs[0]
    method, text = plan.method(first.method, first.scale).method, TEXTS[plan.scale(first.scale).corpora]
    settings, config = plan.run_settings(first), config_of(plan, first.scale, method.backbone, results, roughly=True)
    training = settings.training
    trial = Trial(method.name, settings.method_settings, config, method.backbone, text.lengths[method.backbone], first.corpora, training)
    validation = mean(_validation_batches(plan, run, training) for run in runs) / training.evaluate_every
    return training.batch_size / stopwatch(trial) / (1 + FORWARD * validation)


def _validation_batches(plan: Plan, run: PlannedRun, training: Training) -> int:
    """Of one validation; of a corpus of one's own about as many as of the paper's, of which its table 2 tells."""
    paper = {name: corpus.paper.validation for name, corpus in known_corpora().items() if corpus.paper}
    sizes = [paper.get(name, round(mean(paper.values()))) for name in run.corpora]
    if plan.scale(run.scale).corpora == "generated":
        sizes = [SIZES["validation"]] * len(run.corpora)
    batches = [ceil(size * run.percent / 100 / training.batch_size) for size in sizes]
    return sum(min(number, training.evaluation_batches or number) for number in batches)


def _other_hours(plan: Plan, scale: str, rows: list[Estimate], stopwatch: Stopwatch) -> float:
    """Of predictions, and of the starts of the jobs that train, predict and score, one after the other."""
    tagged = TEXTS[plan.scale(scale).corpora].test * len(plan.config.fractions) * len(plan.seeds(scale))
    predictions = sum(TAGGING * row.hours * tagged / (row.runs * row.sentences) for row in rows)
    together = {name for name in plan.methods(scale) if plan.scale(scale).one_job_per_method and not plan.method(name, scale).multitask}
    trained = {(run.method, run.percent, run.seed, run.method in together or run.tasks) for run in plan.runs(scale)}
    # that of a control is short
    starts = sum(3 if plan.method(method, scale).method.trains_network else 1 for method, *_ in trained)
    return predictions + starts * stopwatch.start_seconds / 3600


def share(method: str) -> float:
    """How fast a method is, of HyperLoader's speed; one of which that is not known, as fast."""
    return REFERENCE.get(method, REFERENCE[HYPERLOADER]) / REFERENCE[HYPERLOADER]


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

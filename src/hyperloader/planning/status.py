"""How far a plan is: the state of each of its runs, and the hours that are left.

Settings, data and backbone of a finished run are compared with the plan by what `run.json` says of them, and its decoding by
`predictions.json`. What an edit of the code makes again is known to `snakemake -n` alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hyperloader.config.settings import Decoding, RunSettings
from hyperloader.corpora.prepared import MANIFEST as DATA_MANIFEST
from hyperloader.corpora.prepared import read_prepared_manifest
from hyperloader.files import reading, there
from hyperloader.models.backbones import MANIFEST as BACKBONE_MANIFEST
from hyperloader.models.backbones import open_backbone
from hyperloader.planning.estimates import measured_speed, share
from hyperloader.planning.parameters import is_made
from hyperloader.planning.plan import Plan, PlannedRun
from hyperloader.runs.records import TrainingRecord
from hyperloader.runs.run import Run
from hyperloader.training.progress import LAST_CHECKPOINT, CheckpointRecord

# what each job of a run leaves, and what a run without it is
OUTPUTS = {"train": (Run.RECORD, ""), "predict": (Run.PREDICTIONS, "trained"), "score": (Run.SCORES, "predicted")}
STATES = ("done", "running", "interrupted", "failed", "stale", "missing")
# a line of a log that says how far it is; an error begins otherwise
PROGRESS = re.compile(r"\d\d:\d\d:\d\d ")


@dataclass(frozen=True)
class RunStatus:
    """The state of one run.

    Attributes:
        run: which.
        state: one of `STATES`.
        note: why.
        step: finished optimiser steps, as far as there is a checkpoint of them.
        steps: planned ones, at most.
        hours: of training that are left; None if nothing tells how fast it is.
    """

    run: PlannedRun
    state: str
    note: str
    step: int
    steps: int
    hours: float | None


def status(plan: Plan, scale: str, speed: float | None = None, results: str | Path = "results") -> Iterator[RunStatus]:
    """The state of all runs of a scale.

    Args:
        plan: what to reproduce.
        scale: name of the scale.
        speed: HyperLoader's sentences per second, see `estimate`; by default that of finished runs of the same method.
        results: the folder of results.
    """
    results, runs = Path(results), plan.runs(scale)

    @cache
    def speed_of(method: str) -> float | None:
        usual = share(plan.method(method, scale).method.name)
        return speed and speed * usual or measured_speed([run for run in runs if run.method == method], results)

    for run in runs:
        settings, found = plan.run_settings(run, str(results)), Run(results / run.path)
        change = _change(found.record(), settings, plan) if found.has(Run.RECORD) else ""
        state, note = _state(found, change, plan.config.decoding)
        steps = settings.training.steps if plan.method(run.method, scale).method.trains_network else 0
        # a job that trains a run anew can leave the former record until it has the new one
        trained = found.has(Run.RECORD) and not change
        step = steps if trained else min(steps, _last_step(found))
        sentences = (steps - step) * settings.training.batch_size
        hours = 0.0 if not sentences else sentences / speed_of(run.method) / 3600 if speed_of(run.method) else None
        yield RunStatus(run, state, note, step, steps, hours)


def as_text(rows: list[RunStatus], *, brief: bool = False) -> str:
    """The states as a table, of each run or, on one screen, of each method; and a line that sums them up."""
    from tabulate import tabulate

    named: dict[str, list[RunStatus]] = {}
    for row in rows:
        named.setdefault(row.run.method if brief else row.run.path.partition("/runs/")[2], []).append(row)
    lines = []
    for name, own in named.items():
        left = [row.hours for row in own]
        hours = "?" if None in left else f"{sum(left):,.2f}" if sum(left) else ""
        step, steps = sum(row.step for row in own), sum(row.steps for row in own)
        state, note = (_counted(own), "") if brief else (own[0].state, own[0].note)
        lines.append([name, state, f"{step:,} of {steps:,}" if steps else "", hours, note])
    header = ["Method" if brief else "Run", "State", "Steps", "Hours left", ""]
    table = tabulate(lines, header, tablefmt="simple", disable_numparse=True)
    states = _counted(rows)
    unknown = sum(row.hours is None for row in rows)
    hours = f"{sum(row.hours or 0 for row in rows):,.2f} hours of training left, one after the other"
    if unknown:
        hours += f", and those of {unknown} runs of methods of which none has finished (a --speed tells)"
    return f"{table}\n\n{len(rows)} runs: {states}; {hours}\n"


def _counted(rows: list[RunStatus]) -> str:
    counts = Counter(row.state for row in rows)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _state(run: Run, change: str, decoding: Decoding) -> tuple[str, str]:
    if run.in_use:
        return "running", ""
    if change:
        return "stale", change
    if run.has(Run.RECORD) and run.has(Run.PREDICTIONS) and run.predictions().decoding != decoding:
        return "stale", "other decoding than planned"
    for job, (output, before) in OUTPUTS.items():
        if not run.has(output):
            log = run.log(job)
            return _ended(run, job, _last_line(log)) if there(log) else ("missing", before)
    return "done", ""


def _ended(run: Run, job: str, last: str) -> tuple[str, str]:
    """What became of a job without a result, by the last line of its log: a killed one ends in the middle, or says that it was asked to."""
    step = _last_step(run) if job == "train" else 0
    if PROGRESS.match(last) or last.startswith("stopped by") or (step and not last):
        return "interrupted", f"goes on from step {step}" if step else f"{job} begins anew"
    return "failed", f"{job}: {last or 'ended without a word'}"


def _change(record: TrainingRecord, settings: RunSettings, plan: Plan) -> str:
    """What differs between a finished run and the plan, if anything."""
    planned, trained = settings.model_dump(mode="json"), record.settings.model_dump(mode="json")
    for key in planned:
        if trained.get(key) != planned[key]:
            return f"other {key} than planned"
    checksums = record.checksums
    for corpus, folder in settings.data.items():
        if there(Path(folder) / DATA_MANIFEST) and checksums.data.get(corpus) != read_prepared_manifest(folder).checksum:
            return f"other data of {corpus}"
    folder = settings.backbone
    if folder and there(Path(folder) / BACKBONE_MANIFEST):
        wanted = plan.scale(settings.scale).backbones[Path(folder).name]
        if not is_made(Path(folder), wanted) or checksums.backbone != open_backbone(folder).checksum:
            return "other backbone"
    return ""


def _last_step(run: Run) -> int:
    path = run.checkpoints / LAST_CHECKPOINT
    return CheckpointRecord.read(path).progress.step if there(path) else 0


def _last_line(log: Path) -> str:
    with reading(log):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("hyperloader: ") if lines else ""

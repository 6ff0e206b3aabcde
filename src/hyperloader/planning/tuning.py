"""The choice of learning rates: each method gets the same rates, at 100 % of the data, on seeds that are not reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from hyperloader.config.settings import RunSettings, Training, validate
from hyperloader.corpora.registry import get_corpus
from hyperloader.errors import SettingsError
from hyperloader.files import there
from hyperloader.planning.plan import Plan, PlannedRun, scale_of
from hyperloader.runs.records import TrialRecord
from hyperloader.runs.run import Run


@dataclass(frozen=True)
class PlannedTrial:
    """One training at one of the rates with one of the seeds.

    Attributes:
        PATTERN: its path below the folder of results.
        run: the same training at the rate of the configuration.
        learning_rate: of this one.
    """

    PATTERN: ClassVar[str] = "{scale}/tuning/{recipe}/{method}/{rate}/{tasks}/seed{seed}"

    run: PlannedRun
    learning_rate: float

    @property
    def path(self) -> str:
        """The trial's folder below `results/`."""
        return self.PATTERN.format(**vars(self.run) | {"tasks": self.run.tasks, "rate": f"{self.learning_rate:g}"})

    def settings(self, plan: Plan, results: str = "results") -> RunSettings:
        """All that decides it."""
        settings = plan.run_settings(self.run, results)
        changes = plan.scale(self.run.scale).tuning.training.model_dump(exclude_unset=True) | {"learning_rate": self.learning_rate}
        training = validate(Training, settings.training.model_dump() | changes, f"trial {self.path}")
        return settings.model_copy(update={"training": training})


def trials(plan: Plan, scale: str) -> list[PlannedTrial]:
    """The trials of a scale; of a method with a model for each corpus, some corpora stand for all.

    Raises:
        SettingsError: one of the seeds is one of those whose scores are reported, or there is no such corpus.
    """
    tuning = plan.scale(scale).tuning
    for seed in tuning.seeds:
        if seed in plan.seeds(scale):
            file = plan.folder / "scales" / f"{scale_of(scale)}.yaml"
            raise SettingsError(f"tuning's seed {seed} is one of the reported ones", file=file, remedy="choose another one for either")
    for name in tuning.single_task_corpora:
        get_corpus(name)
    alone = [name for name in plan.corpora if name in tuning.single_task_corpora] or plan.corpora
    found = []
    for name in tuning.methods or plan.methods(scale):
        planned = plan.method(name, scale)
        for corpora, seed in product([plan.corpora] if planned.multitask else [(corpus,) for corpus in alone], tuning.seeds):
            run = PlannedRun(scale_of(scale), plan.config.recipe, name, corpora, 100, seed, plan.config.data_seeds[0])
            found += [PlannedTrial(run, rate) for rate in tuning.learning_rates if planned.method.trains_network]
    return found


@dataclass(frozen=True)
class Tried:
    """A method at one of the rates.

    Attributes:
        name, title: of the method or variant.
        learning_rate: that was tried.
        configured: that of the configuration.
        curves: of each seed validation loss by step, a mean over the trials' corpora; none if one of them diverged.
        failure: why, if so.
    """

    name: str
    title: str
    learning_rate: float
    configured: float
    curves: list[dict[int, float]]
    failure: str

    @property
    def curve(self) -> dict[int, float]:
        """Validation loss by step, a mean over the seeds."""
        return _mean(self.curves)

    @property
    def losses(self) -> list[float]:
        """The lowest validation loss with each seed."""
        return [min(curve.values(), default=float("inf")) for curve in self.curves]

    @property
    def loss(self) -> float:
        """What decides: the mean of the seeds' lowest validation losses."""
        return fmean(self.losses) if self.losses else float("inf")


def tried(plan: Plan, scale: str, results: str | Path = "results") -> Iterator[Tried]:
    """What came of the trials of each method at each rate, of those that are there.

    Raises:
        UserError: see `trials`; or a record is damaged.
    """
    groups: dict[tuple[str, float], list[PlannedTrial]] = {}
    for trial in trials(plan, scale):
        groups.setdefault((trial.run.method, trial.learning_rate), []).append(trial)
    for (name, rate), group in groups.items():
        files = [Path(results) / trial.path / Run.TRIAL for trial in group]
        if not all(map(there, files)):
            continue
        records = [TrialRecord.read(file) for file in files]
        failure = next((record.failure for record in records if record.failure), "")
        by_seed: dict[int, list[dict[int, float]]] = {}
        for trial, record in zip(group, records, strict=True):
            by_seed.setdefault(trial.run.seed, []).append({point["step"]: point["validation_loss"] for point in record.curve})
        curves = [] if failure else [_mean(own) for own in by_seed.values()]
        configured = plan.run_settings(group[0].run).training.learning_rate
        yield Tried(name, plan.method(name, scale).title, rate, configured, curves, failure)


def _mean(curves: Sequence[dict[int, float]]) -> dict[int, float]:
    """Of curves at the steps that all have."""
    steps = set(curves[0]).intersection(*curves) if curves else ()
    return {step: fmean(curve[step] for curve in curves) for step in sorted(steps)}

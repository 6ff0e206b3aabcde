"""The choice of learning rates: each method gets the same rates, at 100 % of the data, on a seed that is not reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hyperloader.config.settings import RunSettings
from hyperloader.corpora.registry import get_corpus
from hyperloader.errors import SettingsError
from hyperloader.files import there
from hyperloader.planning.plan import Plan, PlannedRun, scale_of
from hyperloader.runs.records import TrialRecord
from hyperloader.runs.run import Run


@dataclass(frozen=True)
class PlannedTrial:
    """One training at one of the rates.

    Attributes:
        PATTERN: its path below the folder of results.
        run: the same training at the rate of the configuration.
        learning_rate: of this one.
    """

    PATTERN: ClassVar[str] = "{scale}/tuning/{recipe}/{method}/{rate}/{tasks}"

    run: PlannedRun
    learning_rate: float

    @property
    def path(self) -> str:
        """The trial's folder below `results/`."""
        return self.PATTERN.format(**vars(self.run) | {"tasks": self.run.tasks, "rate": f"{self.learning_rate:g}"})

    def settings(self, plan: Plan, results: str = "results") -> RunSettings:
        """All that decides it."""
        settings = plan.run_settings(self.run, results)
        return settings.model_copy(update={"training": settings.training.model_copy(update={"learning_rate": self.learning_rate})})


def trials(plan: Plan, scale: str) -> list[PlannedTrial]:
    """The trials of a scale; of a method with a model for each corpus, some corpora stand for all.

    Raises:
        SettingsError: the seed is one of those whose scores are reported, or there is no such corpus.
    """
    tuning = plan.scale(scale).tuning
    if tuning.seed in plan.seeds(scale):
        file = plan.folder / "scales" / f"{scale_of(scale)}.yaml"
        raise SettingsError(f"tuning's seed {tuning.seed} is one of the reported ones", file=file, remedy="choose another one for either")
    for name in tuning.single_task_corpora:
        get_corpus(name)
    alone = [name for name in plan.corpora if name in tuning.single_task_corpora] or plan.corpora
    found = []
    for name in tuning.methods or plan.methods(scale):
        planned = plan.method(name, scale)
        for corpora in [plan.corpora] if planned.multitask else [(corpus,) for corpus in alone]:
            run = PlannedRun(scale_of(scale), plan.config.recipe, name, corpora, 100, tuning.seed, plan.config.data_seeds[0])
            found += [PlannedTrial(run, rate) for rate in tuning.learning_rates if planned.method.trains_network]
    return found


@dataclass(frozen=True)
class Tried:
    """A method at one of the rates.

    Attributes:
        name, title: of the method or variant.
        learning_rate: that was tried.
        configured: that of the configuration.
        curve: validation loss by step, a mean over the trials' corpora; empty if one of them diverged.
        failure: why, if so.
    """

    name: str
    title: str
    learning_rate: float
    configured: float
    curve: dict[int, float]
    failure: str

    @property
    def loss(self) -> float:
        """The lowest validation loss."""
        return min(self.curve.values(), default=float("inf"))


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
        curves = [{point["step"]: point["validation_loss"] for point in record.curve} for record in records]
        steps = [] if any(record.failure for record in records) else sorted(set.intersection(*map(set, curves)))
        curve = {step: sum(own[step] for own in curves) / len(curves) for step in steps}
        configured = plan.run_settings(group[0].run).training.learning_rate
        failure = next((record.failure for record in records if record.failure), "")
        yield Tried(name, plan.method(name, scale).title, rate, configured, curve, failure)

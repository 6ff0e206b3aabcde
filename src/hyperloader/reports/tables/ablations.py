"""The ablation table: what each variant scores and costs, which question it answers, and what the answer is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np

from hyperloader.config.settings import Ablations, read_yaml
from hyperloader.reports.tables.published import AVERAGE
from hyperloader.reports.tables.samples import Samples
from hyperloader.reports.tables.scores import Scores, called, describe, seeds_in_words
from hyperloader.reports.tables.sheet import Sheet, as_csv, decimals, interval, write_sheet
from hyperloader.reports.tables.trainings import trainable_of
from hyperloader.runs.run import Run
from hyperloader.scoring.decisions import Decision, Values, all_of, decide, verdicts

COLUMNS = (
    *("scale", "recipe", "decoding", "percent", "question", "method", "title", "against", "seeds", "f1", "sd", "ci_low", "ci_high"),
    *("difference", "difference_low", "difference_high", "p", "p_holm", "verdict", "trainable", "seconds"),
)


@dataclass(frozen=True)
class Arm:
    """A method or variant at one share of the data.

    Attributes:
        name, title: of it.
        fraction: of the training data, in percent.
        own: its average F1, with the interval that covers test sentences and, from three seeds on, training seeds.
        trainable: parameters of all its models together, `seconds` of their training; means over the seeds.
    """

    name: str
    title: str
    fraction: float
    own: Decision
    trainable: float
    seconds: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, within what an F1 can be."""
        low, high = self.own.interval
        return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class Row:
    """An arm as an answer to a question.

    Attributes:
        question: in words.
        arm: itself; the first one of a question is what the others are compared with.
        against: title of that; empty for itself.
        decision: the arm against that, `p` and `verdict` after Holm's correction over the whole table; None for itself.
    """

    question: str
    arm: Arm
    against: str = ""
    decision: Decision | None = None
    p: float | None = None
    verdict: str = ""


def write_ablations(runs: Iterable[str | Path], study: str | Path, output: str | Path) -> tuple[list[Arm], str]:
    """Write `ablations.csv`, and Markdown, HTML and LaTeX beside it.

    Args:
        runs: folders of scored runs of one scale, recipe and decoding.
        study: `ablations.yaml`.
        output: the CSV.

    Returns:
        All arms, and scale, recipe and decoding in words, for figures.

    Raises:
        UserError: a file is missing or damaged, or two runs are of the same cell and seed.
    """
    runs = [Run(run) for run in runs]
    scores = Scores.read(run.folder / Run.SCORES for run in runs)
    samples = Samples(scores, dict.fromkeys(dataset for _, _, dataset in scores.cells))
    arms, questions = _arms(runs, samples), read_yaml(Ablations, study)
    rows, notes = _rows(arms, questions, samples)
    write_sheet(output, as_csv(COLUMNS, [_line(row, scores.signature) for row in rows]), _sheet(rows, notes, scores.signature))
    return list(arms.values()), describe(scores.signature)


def _arms(runs: Sequence[Run], samples: Samples) -> dict[tuple[str, float], Arm]:
    """By name and fraction; an arm without all corpora at some seed is none."""
    costs: dict[tuple[str, str, float], dict[int, list[tuple[int, float]]]] = {}
    for run in runs:
        record = run.record()
        key = (*called(record.settings), record.settings.percent)
        costs.setdefault(key, {}).setdefault(record.settings.seed, []).append((trainable_of(run, record), record.seconds))
    arms = {}
    for (name, title, fraction), seeds in costs.items():
        if own := _alone(samples.f1(title, fraction, AVERAGE)):
            trainable, seconds = (mean(sum(cost[kind] for cost in seeds[seed]) for seed in own.seeds) for kind in (0, 1))
            arms[name, fraction] = Arm(name, title, fraction, own, trainable, seconds)
    return arms


def _alone(values: Values) -> Decision | None:
    """A score by itself: compared with nothing."""
    return decide(values, {seed: np.zeros_like(row) for seed, row in values.items()})


def _rows(arms: dict[tuple[str, float], Arm], study: Ablations, samples: Samples) -> tuple[list[Row], list[str]]:
    """The rows, and of each question what its rows say together."""
    rows, statements = [], []
    for question, fraction in study.asked():
        reference = arms.get((question.against, fraction))
        others = [arms[name, fraction] for name in question.methods if (name, fraction) in arms]
        if reference is None or not others:
            continue
        values = {arm.title: samples.f1(arm.title, fraction, AVERAGE) for arm in (reference, *others)}
        compared = [(arm, decide(values[arm.title], values[reference.title])) for arm in others]
        rows += [Row(question.question, reference)]
        rows += [Row(question.question, arm, reference.title, decision) for arm, decision in compared if decision]
        above = [decide(values[reference.title], values[arm.title]) for arm in others]
        if any(above):
            said = f"{question.question} That {reference.title} is above each of these at {fraction:g} %"
            statements.append((said, all_of([decision.evidence for decision in above if decision])))
    judged = [place for place, row in enumerate(rows) if row.decision]
    for place, (p, verdict) in zip(judged, verdicts([rows[place].decision.evidence for place in judged]), strict=True):
        rows[place] = replace(rows[place], p=p, verdict=verdict.of_first)
    answers = zip(statements, verdicts([evidence for _, evidence in statements]), strict=True)
    return rows, [f"{said}: {verdict}{'' if p is None else f' (p {p:.4f})'}." for (said, _), (p, verdict) in answers]


def _line(row: Row, signature: dict[str, str]) -> list[str]:
    arm, compared = row.arm, row.decision
    known = [*(signature[key] for key in ("scale", "recipe", "decoding")), f"{arm.fraction:g}", row.question, arm.name, arm.title]
    own = [decimals(value) for value in (arm.own.difference, arm.own.sd_seeds, *arm.interval)]
    difference = [decimals(value) for value in (compared.difference, *compared.interval, compared.p, row.p)] if compared else [""] * 5
    cost = [f"{arm.trainable:.0f}", f"{arm.seconds:.1f}"]
    return [*known, row.against, " ".join(map(str, arm.own.seeds)), *own, *difference, row.verdict, *cost]


def _sheet(rows: Sequence[Row], notes: Sequence[str], signature: dict[str, str]) -> Sheet:
    cells, fractions = [], {row.arm.fraction for row in rows}
    for row in rows:
        own, compared = row.arm.own, row.decision
        question = "" if compared else f"**{row.question}**" + (f" ({row.arm.fraction:g} %)" if len(fractions) > 1 else "")
        difference = [decimals(compared.difference, "+"), interval(compared.interval, "+"), decimals(row.p)] if compared else [""] * 3
        f1 = [decimals(own.difference) + ("" if own.sd_seeds is None else f" ± {decimals(own.sd_seeds)}"), interval(row.arm.interval)]
        cells.append([question, row.arm.title, *f1, *difference, row.verdict, f"{row.arm.trainable:,.0f}", f"{row.arm.seconds:,.0f}"])
    seeds = f", {seeds_in_words(*(row.arm.own.seeds for row in rows))}" if rows else ""
    run = f"{describe(signature)}{seeds}" if rows else "nothing was run"
    return Sheet(
        title="Ablations",
        caption="average micro F1 over the corpora, mean and standard deviation over the training seeds, and its 95 % interval; "
        f"{run}. The first row of a question is what its other rows are compared with: their difference to it, with its 95 % interval, p "
        "of the verdict after Holm's correction over all rows, and the verdict on the row. Intervals and p cover test sentences and, from "
        "three seeds on, training seeds; with fewer the interval is that of these models and decides nothing about methods. Trainable "
        "parameters and seconds of training are those of all models for all corpora together, seconds on the machine that trained. The "
        "sentences below the table are corrected together, by themselves.",
        header=["Question", "Method", "F1", "95 %", "Difference", "95 %", "p (Holm)", "Verdict", "Trainable", "Seconds"],
        rows=cells,
        align="llrrrrrlrr",
        notes=notes,
    )

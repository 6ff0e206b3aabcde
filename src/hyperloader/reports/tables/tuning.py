"""The table of learning rates: what each costs in validation loss, which is best, and which the configuration has."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from hyperloader.files import write_text
from hyperloader.planning.plan import Plan, scale_of
from hyperloader.planning.tuning import Tried, tried
from hyperloader.reports.tables.sheet import Sheet, as_csv, write_sheet

log = logging.getLogger(__name__)

COLUMNS = ("method", "title", "learning_rate", "validation_loss", "worst_seed", "best", "configured", "failure")


def write_tuning(plan: Plan, scale: str, output: str | Path, results: str | Path = "results") -> list[Tried]:
    """Write `tuning.csv`, with Markdown, HTML and LaTeX beside it; says where the configuration has another rate than the best.

    Args:
        plan: for methods, rates and the configured rate of each.
        scale: name of the scale.
        output: the CSV.
        results: folder of the trials.

    Returns:
        What was tried, for figures.
    """
    rows = list(tried(plan, scale, results))
    best = best_of(rows)
    notes = list(differences(rows, best, scale))
    for note in notes:
        log.warning(note)
    lines, cells = [], []
    for row in rows:
        loss, worst = (f"{row.loss:.4f}", f"{max(row.losses):.4f}") if row.losses else ("", "")
        chosen, configured = (
            "yes" if said else "no" for said in (row is best[row.name] and bool(row.losses), row.learning_rate == row.configured)
        )
        lines.append([row.name, row.title, f"{row.learning_rate:g}", loss, worst, chosen, configured, row.failure])
        shown = f"**{loss}**" if chosen == "yes" else loss or "diverged"
        cells.append([row.title, f"{row.learning_rate:g}", shown, worst, chosen, configured])
    tuning = plan.scale(scale).tuning
    sheet = Sheet(
        title="Learning rates",
        caption=f"lowest validation loss at each rate, at 100 % of the data; scale {scale}, recipe {plan.config.recipe}. "
        f"{_seeds(tuning.seeds)} {_length(tuning.training.steps)}Of a method with a model for each corpus a mean over "
        f"{', '.join(tuning.single_task_corpora) or 'all'}, as far as they are configured. "
        "Bold: the best of a method; configured: the rate of the scale's file and the recipe, for all fractions and seeds.",
        header=["Method", "Rate", "Validation loss", "Worst seed", "Best", "Configured"],
        rows=cells,
        align="lrrrll",
        notes=notes,
    )
    write_sheet(output, as_csv(COLUMNS, lines), sheet)
    return rows


def best_of(rows: Sequence[Tried]) -> dict[str, Tried]:
    """By name of the method: the rate of the lowest validation loss."""
    return {row.name: min((own for own in rows if own.name == row.name), key=lambda own: own.loss) for row in rows}


def write_tuned_recipe(plan: Plan, scale: str, rows: Sequence[Tried], output: str | Path) -> None:
    """Write the recipe with the best rate of each method that was tried, to be used as one of `config/recipes/`.

    Args:
        plan: for the recipe.
        scale: name of the scale.
        rows: what was tried.
        output: a YAML file.
    """
    import yaml

    recipe = plan.recipe.model_dump(mode="json", exclude_unset=True)
    rates = recipe.setdefault("training_of", {})
    for name, own in best_of(rows).items():
        if own.losses:
            rates.setdefault(name, {})["learning_rate"] = own.learning_rate
    about = f"# Recipe {plan.config.recipe} with the best of the rates that were tried at scale {scale}, see tuning.csv beside this file."
    write_text(output, f"{about}\n{yaml.safe_dump(recipe, sort_keys=False)}")


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"One seed ({seeds[0]}), which is not reported."
    return f"Means over seeds {', '.join(map(str, seeds))}, which are not reported, and beside each the highest of them."


def _length(steps: int | None) -> str:
    return f"Trials of {steps:,} steps, shorter than trainings. " if steps else ""


def differences(rows: Sequence[Tried], best: dict[str, Tried], scale: str) -> list[str]:
    """Where the configuration does not have the best rate, and where that is at an end of what was tried."""
    said = []
    for name, own in best.items():
        rates = [row.learning_rate for row in rows if row.name == name]
        if not own.losses:
            said.append(f"{name}: no rate converged")
            continue
        if own.learning_rate != own.configured:
            place = f"training_of in scales/{scale_of(scale)}.yaml"
            said.append(f"{name}: {own.learning_rate:g} is best and {own.configured:g} is configured ({place})")
        if own.learning_rate in (min(rates), max(rates)):
            said.append(f"{name}: {own.learning_rate:g} is at the end of the rates that were tried")
    return said

"""The commands `figures` and `score-page`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Modules that import numpy are imported in the commands: `--help` answers at once.

app = typer.Typer()


@app.command()
def figures(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...", help="Run directories, for slot types and losses.")] = None,
    scores: Annotated[Path, typer.Option(help="scores.csv of these runs.")] = ...,
    parameters: Annotated[Path, typer.Option(help="parameters.csv of their scale.")] = ...,
    published: Annotated[Path, typer.Option(help="Folder of the paper's numbers.")] = Path("workflow/published"),
    output: Annotated[Path, typer.Option(help="Folder to write figure2, labels and curves to: each .svg, .png and .csv.")] = ...,
) -> None:
    """Draw F1 against parameters, F1 by slot type, and the losses of trained and scored runs."""
    from hyperloader.reports.figures.curves import write_curves
    from hyperloader.reports.figures.figure2 import write_figure2
    from hyperloader.reports.figures.labels import write_labels

    write_figure2(scores, parameters, published, output / "figure2")
    write_labels(runs or [], output / "labels")
    write_curves(runs or [], output / "curves")


@app.command("score-page")
def score_page(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...", help="Directories of scored runs.")] = None,
    output: Annotated[Path, typer.Option(help="HTML file to write.")] = ...,
) -> None:
    """Write a page on which every score leads to its run's settings, logs and predictions."""
    from hyperloader.reports.tables.score_page import write_score_page

    write_score_page(runs or [], output)

"""The commands that turn scores into tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hyperloader.cli.parameters import Argument, Option

# Modules that import numpy are imported in the commands: `--help` answers at once.

app = typer.Typer()

ScoreFiles = Annotated[list[Path] | None, Argument(help="scores.json of the runs.")]
PublishedFolder = Annotated[Path, Option(help="Folder of the paper's numbers.")]
PUBLISHED = Path("workflow/published")


@app.command()
def table(
    number: Annotated[int, Argument(help="3 or 4, as in the paper.", min=3, max=4)],
    scores: ScoreFiles = None,
    published: Annotated[Path, Option(help="CSV of the paper's table.")] = ...,
    output: Annotated[Path, Option(help="CSV to write; Markdown and LaTeX of the same name go beside it.")] = ...,
) -> None:
    """Gather scores into a table of the paper, beside the paper's numbers."""
    from hyperloader.reports.tables.results import write_table

    write_table(number, scores or [], published, output)


@app.command()
def gather(scores: ScoreFiles = None, output: Annotated[Path, Option(help="CSV to write.")] = ...) -> None:
    """Gather every score of runs into one tidy CSV."""
    from hyperloader.reports.tables.scores import write_scores

    write_scores(scores or [], output)


@app.command()
def trainings(
    runs: Annotated[list[Path] | None, Argument(metavar="[RUN]...", help="Run directories, trained.")] = None,
    output: Annotated[Path, Option(help="CSV to write.")] = ...,
) -> None:
    """Gather what each training took, and what decided it, into one tidy CSV."""
    from hyperloader.reports.tables.trainings import write_trainings

    write_trainings(runs or [], output)


@app.command()
def claims(
    scores: ScoreFiles = None,
    parameters: Annotated[Path, Option(help="parameters.csv of the same scale.")] = ...,
    published: PublishedFolder = PUBLISHED,
    bearing: Annotated[str, Option(help="How much these results say about the paper, for a column.")] = "",
    output: Annotated[Path, Option(help="Folder to write comparisons and claims to.")] = ...,
) -> None:
    """Compare HyperLoader with the other methods, and judge the paper's claims."""
    from hyperloader.reports.tables.claims import write_claims

    write_claims(scores or [], parameters, published, bearing, output)


@app.command()
def audit(
    published: PublishedFolder = PUBLISHED,
    output: Annotated[Path, Option(help="CSV to write, with Markdown beside it.")] = ...,
) -> None:
    """Check whether the paper's printed numbers agree with each other, and analyse its tables again."""
    from hyperloader.reports.tables.audit import write_audit

    write_audit(published, output)


@app.command()
def figures(
    runs: Annotated[list[Path] | None, Argument(metavar="[RUN]...", help="Run directories, for slot types and losses.")] = None,
    scores: Annotated[Path, Option(help="scores.csv of these runs.")] = ...,
    parameters: Annotated[Path, Option(help="parameters.csv of their scale.")] = ...,
    published: PublishedFolder = PUBLISHED,
    output: Annotated[Path, Option(help="Folder to write figure2, labels and curves to: each .svg, .png and .csv.")] = ...,
) -> None:
    """Draw F1 against parameters, F1 by slot type, and the losses of trained and scored runs."""
    from hyperloader.reports.figures.curves import write_curves
    from hyperloader.reports.figures.figure2 import write_figure2
    from hyperloader.reports.figures.labels import write_labels

    write_figure2(scores, parameters, published, output / "figure2")
    write_labels(runs or [], output / "labels")
    write_curves(runs or [], output / "curves")


@app.command()
def ablations(
    runs: Annotated[list[Path] | None, Argument(metavar="[RUN]...", help="Directories of scored runs.")] = None,
    study: Annotated[Path, Option(help="Which are compared with which, and what for.")] = Path("config/ablations.yaml"),
    output: Annotated[Path, Option(help="Folder to write ablations and pareto to.")] = ...,
) -> None:
    """Compare variants of methods, and draw F1 against what each costs."""
    from hyperloader.reports.figures.pareto import write_pareto
    from hyperloader.reports.tables.ablations import write_ablations

    write_pareto(*write_ablations(runs or [], study, output / "ablations.csv"), output / "pareto")


@app.command()
def endpoints(
    scores: Annotated[list[Path] | None, Argument(metavar="[SCORES]...", help="scores.json of runs.")] = None,
    output: Annotated[Path, Option(help="CSV to write, with Markdown beside it.")] = ...,
) -> None:
    """Decide what docs/protocol.md fixed before the runs."""
    from hyperloader.reports.tables.endpoints import write_endpoints

    write_endpoints(scores or [], output)


@app.command("new-task")
def new_task(
    runs: Annotated[list[Path] | None, Argument(metavar="[RUN]...", help="Scored runs, with an added task or without.")] = None,
    output: Annotated[Path, Option(help="Path without suffix of the .csv, .svg and .png to write.")] = ...,
) -> None:
    """Show what adding a task reaches, by the number of its sentences and by what is learned (docs/new-tasks.md)."""
    from hyperloader.reports.figures.new_task import write_new_task

    write_new_task(runs or [], output)


@app.command("task-embeddings")
def task_embeddings(
    run: Annotated[Path, Argument(help="Directory of a trained run with a hypernetwork.")],
    output: Annotated[Path, Option(help="Path without suffix of the .csv, .svg and .png to write.")],
) -> None:
    """Show how alike tasks are: their embeddings, what is generated of them, their labels, and their losses under each other's weights."""
    from hyperloader.reports.figures.task_embeddings import write_task_embeddings

    write_task_embeddings(run, output)


@app.command("score-page")
def score_page(
    runs: Annotated[list[Path] | None, Argument(metavar="[RUN]...", help="Directories of scored runs.")] = None,
    figures: Annotated[Path | None, Option(help="Folder of figure2.svg and curves.svg, to show them.")] = None,
    against: Annotated[str, Option(help="Method whose answers are put beside HyperLoader's.")] = "hyperformer_pp",
    output: Annotated[Path, Option(help="HTML file to write.")] = ...,
) -> None:
    """Write a page of all scores, on which each leads to its run, with figures and the errors behind the scores."""
    from hyperloader.reports.tables.score_page import write_score_page

    write_score_page(runs or [], output, figures, against)

"""The commands that gather scores: `table`, `gather`, `claims`, `audit`, `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Modules that import numpy are imported in the commands: `--help` answers at once.

app = typer.Typer()

ScoreFiles = Annotated[list[Path] | None, typer.Argument(help="scores.json of the runs.")]
PublishedFolder = Annotated[Path, typer.Option(help="Folder of the paper's numbers.")]
PUBLISHED = Path("workflow/published")


@app.command()
def table(
    number: Annotated[int, typer.Argument(help="3 or 4, as in the paper.", min=3, max=4)],
    scores: ScoreFiles = None,
    published: Annotated[Path, typer.Option(help="CSV of the paper's table.")] = ...,
    output: Annotated[Path, typer.Option(help="CSV to write; Markdown and LaTeX of the same name go beside it.")] = ...,
) -> None:
    """Gather scores into a table of the paper, beside the paper's numbers."""
    from hyperloader.reports.tables.results import write_table

    write_table(number, scores or [], published, output)


@app.command()
def gather(scores: ScoreFiles = None, output: Annotated[Path, typer.Option(help="CSV to write.")] = ...) -> None:
    """Gather every score of runs into one tidy CSV."""
    from hyperloader.reports.tables.scores import write_scores

    write_scores(scores or [], output)


@app.command()
def claims(
    scores: ScoreFiles = None,
    parameters: Annotated[Path, typer.Option(help="parameters.csv of the same scale.")] = ...,
    published: PublishedFolder = PUBLISHED,
    bearing: Annotated[str, typer.Option(help="How much these results say about the paper, for a column.")] = "",
    output: Annotated[Path, typer.Option(help="Folder to write comparisons and claims to.")] = ...,
) -> None:
    """Compare HyperLoader with the other methods, and judge the paper's claims."""
    from hyperloader.reports.tables.claims import write_claims

    write_claims(scores or [], parameters, published, bearing, output)


@app.command()
def audit(
    published: PublishedFolder = PUBLISHED,
    output: Annotated[Path, typer.Option(help="CSV to write, with Markdown beside it.")] = ...,
) -> None:
    """Check whether the paper's printed numbers agree with each other."""
    from hyperloader.reports.tables.audit import write_audit

    write_audit(published, output)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Run directory, scored.")],
    second: Annotated[Path, typer.Argument(help="Another, scored on the same test sets.")],
) -> None:
    """Compare two runs on their common corpora: scores, intervals, and a paired test."""
    from hyperloader.reports.tables.comparisons import compare_runs

    typer.echo(compare_runs(first, second), nl=False)

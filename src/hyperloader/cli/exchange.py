"""The commands by which results are given to others, checked, and looked into sentence by sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hyperloader.cli.parameters import Argument, Option
from hyperloader.cli.reports import PUBLISHED, PublishedFolder
from hyperloader.errors import RunError

# Modules that import numpy are imported in the commands: `--help` answers at once.

app = typer.Typer()


@app.command()
def bundle(
    results: Annotated[Path, Argument(help="Folder of a scale's results, results/SCALE.")],
    output: Annotated[Path | None, Option(help="Archive to write.", show_default="RESULTS/bundle.zip")] = None,
    published: PublishedFolder = PUBLISHED,
) -> None:
    """Pack settings, records, predictions, scores and tables of a scale into one archive (docs/exchange.md)."""
    from hyperloader.files import sha256
    from hyperloader.reports.bundles.archive import counted
    from hyperloader.reports.bundles.packing import write_bundle

    output = output or results / "bundle.zip"
    packed = write_bundle(results, published, output)
    words = [corpus.title for corpus in packed.corpora.values() if not corpus.words]
    size = f"{counted(len(packed.all_runs), 'run')}, {counted(len(packed.files), 'file')}"
    typer.echo(f"{output}: {size}, SHA-256 {sha256(output)}")
    if words:
        typer.echo(f"numbers stand for the words of {', '.join(words)}, whose terms do not let others pass them on")


@app.command()
def verify(
    bundle: Annotated[Path, Argument(help="Archive that `hyperloader bundle` made.")],
    data: Annotated[Path | None, Option(help="Folder of prepared corpora, to check test sets and put words back.")] = None,
) -> None:
    """Compute every number of a bundle's tables again from its predictions; name what differs."""
    from hyperloader.reports.bundles.archive import counted
    from hyperloader.reports.bundles.verifying import as_text, verify

    verified = verify(bundle, data)
    typer.echo(as_text(bundle, verified), nl=False)
    if verified.found:
        raise RunError(counted(len(verified.found), "difference"), file=bundle, remedy="each is named above")


@app.command()
def compare(
    places: Annotated[list[Path], Argument(metavar="RUN RUN | BUNDLE...", help="Two scored runs' folders, or two bundles or more.")],
    csv: Annotated[Path | None, Option(help="CSV to write, of bundles.")] = None,
    html: Annotated[Path | None, Option(help="Page to write, of bundles.")] = None,
) -> None:
    """Compare two runs on their common corpora by a paired test, or the scores and settings of bundles."""
    from hyperloader.reports.bundles.comparing import compare_bundles
    from hyperloader.reports.tables.comparisons import compare_runs

    if len(places) < 2:
        raise RunError("nothing to compare it with", file=places[0], remedy="name two runs, or two bundles or more")
    if any(place.is_file() for place in places):
        typer.echo(compare_bundles(places, csv, html), nl=False)
    elif len(places) > 2 or csv or html:
        raise RunError("several are compared as bundles, with --csv and --html", remedy="name two runs alone")
    else:
        typer.echo(compare_runs(*places), nl=False)


@app.command()
def disagreements(
    first: Annotated[Path, Argument(help="Run directory, predicted.")],
    second: Annotated[Path, Argument(help="Another, predicted on the same test set.")],
    corpus: Annotated[str, Option(help="Whose test set.")],
    csv: Annotated[Path | None, Option(help="CSV to write.")] = None,
    html: Annotated[Path | None, Option(help="Page to write.")] = None,
) -> None:
    """Show the sentences on which two runs disagree, with gold and both answers; with --csv or --html, only how many there are."""
    from hyperloader.reports.outputs.disagreements import as_text, disagreements, summary, write_csv, write_page

    found = disagreements(first, second, corpus)
    for output, write in ((csv, write_csv), (html, write_page)):
        if output:
            write(found, output)
    typer.echo(summary(found) if csv or html else as_text(found).rstrip())


@app.command()
def confusion(
    runs: Annotated[list[Path] | None, Argument(metavar="[RUN]...", help="Directories of predicted runs.")] = None,
    output: Annotated[Path, Option(help="CSV to write.")] = ...,
) -> None:
    """Count which slot types each run takes for which."""
    from hyperloader.reports.outputs.confusion import write_confusion

    write_confusion(runs or [], output)

"""`hyperloader corpora`: list, fetch, prepare, verify and generate corpora, and compare them with table 2 of the paper."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hyperloader.cli.parameters import Argument, Columns, Option, OutputOption
from hyperloader.corpora.registry import Corpus, get_corpus, known_corpora, paper_corpora
from hyperloader.errors import CorpusError, UserError
from hyperloader.files import listed, there

# Modules that import numpy, aiohttp or datasets are imported in the commands: `--help` answers at once.

app = typer.Typer(no_args_is_help=True, help="The corpora: list, add, fetch, prepare, verify, generate, stats, cards.")


class Scale(StrEnum):
    """The scales whose results folders the defaults name."""

    demo = "demo"
    mini = "mini"
    paper = "paper"


Names = Annotated[list[str] | None, Argument(metavar="[NAME]...", help="Corpora; all by default.")]
Seed = Annotated[int, Option(min=0, max=2**32 - 1, help="Seed of everything that is drawn.")]
OfScale = Annotated[Scale, Option(help="Whose results folder the defaults are in.")]

RAW = Path("resources/corpora")
DEMO_RAW = Path("results/demo/raw")


@app.command("list")
def list_corpora() -> None:
    """Show the corpora, their splits, terms and sources."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "title", "splits", show_lines=True)
    table.add_column("terms, citation, source", overflow="fold")
    for corpus in known_corpora().values():
        held_out = corpus.held_out_validation
        validation = "validation" if held_out is None else f"validation:\n{held_out:.0%} of train"
        about = f"{corpus.task_kind}; {corpus.licence}\n{corpus.citation}\n{corpus.homepage}"
        table.add_row(corpus.name, corpus.title, f"train\n{validation}\ntest", about)
    Console().print(table)


@app.command()
def add(
    name: Annotated[str, Argument(help="Of the new corpus.")],
    train: Annotated[Path, Option(help="CoNLL file: word and BIO tag in a line, a blank line after each sentence.")],
    test: Annotated[Path, Option(help="Likewise.")],
    validation: Annotated[Path | None, Option(help="Likewise.", show_default="a tenth of train")] = None,
    folder: Annotated[Path | None, Option(help="Of the corpora.", show_default="that of $HYPERLOADER_CORPORA, or corpora/")] = None,
    columns: Columns = None,
) -> None:
    """Make a corpus of your own files; it can then be named wherever the seven can."""
    from hyperloader.corpora.adding import add_corpus

    place, found = add_corpus(name, train, test, validation, folder, columns)
    typer.echo("\n".join([f"{place}: made", *found]))


@app.command()
def fetch(
    names: Names = None,
    folder: Annotated[Path, Option(help="Raw folder to write.")] = RAW,
    mirror: Annotated[Path | None, Option(envvar="HYPERLOADER_MIRROR", help="Folder that contains corpora/.")] = None,
) -> None:
    """Download raw files, or copy them from a mirror; each is checked against its checksum."""
    from hyperloader.corpora.fetching.download import fetch

    for corpus in _corpora(names):
        typer.echo(f"{corpus.title}: {fetch(corpus, folder, mirror)}")


@app.command()
def prepare(
    names: Names = None,
    raw: Annotated[
        Path | None,
        Option(help="Raw folder to read.", show_default=f"{RAW}, or {DEMO_RAW} at scale demo"),
    ] = None,
    folder: Annotated[
        Path | None,
        Option(help="Folder to write, for one corpus.", show_default="results/SCALE/data/NAME"),
    ] = None,
    scale: OfScale = Scale.paper,
    seed: Seed = 42,
    replace: Annotated[bool, Option("--replace", help="Replace a folder that is there, whatever is in it.")] = False,
) -> None:
    """Turn raw files into `datasets` folders with tokens and tags; those of a corpus of your own are fetched first."""
    from hyperloader.corpora.fetching.download import fetch as fetch_files
    from hyperloader.corpora.prepare import prepare

    corpora = _corpora(names)
    if folder is not None and len(corpora) > 1:
        raise CorpusError("--folder is the folder of one corpus", remedy="name one corpus, or leave --folder out")
    for corpus in corpora:
        own = raw or _raw(scale, corpus)
        if corpus.local:
            fetch_files(corpus, own)
        typer.echo(f"{corpus.title}: {prepare(corpus, own, folder or _data(scale) / corpus.name, seed, replace=replace)}")


@app.command()
def verify(
    names: Names = None,
    raw: Annotated[
        Path | None,
        Option(help="Raw folder.", show_default=f"{RAW}, or {DEMO_RAW} at scale demo"),
    ] = None,
    data: Annotated[
        Path | None,
        Option(help="Folder of the prepared corpora.", show_default="results/SCALE/data"),
    ] = None,
    scale: OfScale = Scale.paper,
) -> None:
    """Check raw files and prepared corpora against their checksums and counts; say how to mend what is wrong."""
    from hyperloader.corpora.verify import verify_prepared, verify_raw

    for given in (folder for folder in (raw, data) if folder is not None and not folder.is_dir()):
        raise CorpusError("no such folder", file=given, remedy="name one, or leave it out")
    data = data or _data(scale)
    whole, damaged = 0, 0
    for corpus in _corpora(names):
        own = raw or _raw(scale, corpus)
        checks = (lambda c=corpus, r=own: verify_raw(c, r), lambda c=corpus, r=own: verify_prepared(c, data / c.name, r))
        for check, missing in zip(checks, ("no raw files", "not prepared"), strict=True):
            try:
                found = check()
                whole += found is not None
                typer.echo(f"{corpus.title}: {found or missing}")
            except UserError as error:
                damaged += 1
                typer.echo(f"{corpus.title}: {error}")
    if damaged:
        raise CorpusError(f"{damaged} of {whole + damaged} not as they should be", remedy="each is named above with its remedy")
    if not whole:
        raise CorpusError("nothing there to verify", remedy=f"looked in {own} and {data}")


@app.command()
def generate(
    names: Names = None,
    folder: Annotated[Path, Option(help="Raw folder to write.")] = DEMO_RAW,
    seed: Seed = 42,
) -> None:
    """Write generated corpora in the raw formats of the real ones, for the scale demo."""
    from hyperloader.corpora.generated.generate import generate

    for corpus in _corpora(names or list(paper_corpora())):
        typer.echo(f"{corpus.title}: {generate(corpus, folder, seed)}")


@app.command()
def stats(
    manifests: Annotated[
        list[Path] | None,
        Argument(metavar="[MANIFEST]...", help="Prepared folders or their manifests; all of the scale by default."),
    ] = None,
    output: Annotated[Path | None, OutputOption(help="CSV to write, with Markdown and LaTeX beside it.")] = None,
    scale: OfScale = Scale.paper,
) -> None:
    """Compare sentences and labels with table 2 of the paper; without --output, print the table."""
    from hyperloader.corpora.prepared import MANIFEST
    from hyperloader.reports.tables.table2 import sheet, table2, write_table2

    found = (place / MANIFEST for place in listed(_data(scale)) if not place.name.startswith("."))
    rows = table2(manifests or [manifest for manifest in found if there(manifest)])
    if not rows:
        raise CorpusError("no prepared corpora", file=_data(scale), remedy=f"run: hyperloader corpora prepare --scale {scale}")
    if output is None:
        typer.echo(sheet(rows).markdown(), nl=False)
    else:
        write_table2(rows, output)


@app.command()
def cards(
    names: Names = None,
    data: Annotated[Path | None, Option(help="Folder of the prepared corpora.", show_default="results/SCALE/data")] = None,
    scale: OfScale = Scale.paper,
) -> None:
    """Print data cards in Markdown: origin, terms, labels, and what of the test sets is repeated or in train (docs/corpora.md)."""
    from hyperloader.reports.tables.data_cards import as_markdown, data_card

    chosen = _corpora(names or list(paper_corpora()))
    typer.echo(as_markdown([data_card((data or _data(scale)) / corpus.name) for corpus in chosen]), nl=False)


def _corpora(names: list[str] | None) -> list[Corpus]:
    """The named corpora, or all; every name is checked before anything is done."""
    return [get_corpus(name) for name in names or known_corpora()]


def _raw(scale: Scale, corpus: Corpus) -> Path:
    """A corpus of the user's own is the same at every scale."""
    return DEMO_RAW if scale is Scale.demo and not corpus.local else RAW


def _data(scale: Scale) -> Path:
    return Path("results") / scale.value / "data"

"""The command line: `hyperloader --help`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from hyperloader.corpora.commands import app as corpora_app
from hyperloader.errors import RunError, UserError

app = typer.Typer(
    help="Hypernetwork-based multi-task sequence labelling.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(corpora_app, name="corpora")

RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories, each with its settings.json.")]


@app.command()
def backbone(
    folder: Annotated[Path, typer.Argument(help="Folder of the backbone, with its settings.json.")],
    mirror: Annotated[str | None, typer.Option(help="Folder with tokenizers/; otherwise $HYPERLOADER_MIRROR.")] = None,
) -> None:
    """Download, link or pre-train a backbone."""
    from hyperloader.backbones import make_backbone

    make_backbone(folder, mirror)


@app.command()
def train(
    runs: RunFolders,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write the losses to RUN/tensorboard as well.")] = False,
) -> None:
    """Train runs, one after the other; started again, each goes on from its last checkpoint."""
    from hyperloader.training.run import train_run

    for run in runs:
        train_run(run, tensorboard=tensorboard)


@app.command()
def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Sentences to tag; without any, the test sets of the run.")] = None,
    run: Annotated[list[Path], typer.Option(help="Run directory; several without sentences.")] = ...,
    task: Annotated[str | None, typer.Option(help="Corpus whose labels to use.")] = None,
) -> None:
    """Tag sentences, or the test sets of a run."""
    if texts:
        from hyperloader.tagger import Tagger

        if len(run) > 1:
            raise RunError("sentences are tagged by one run", remedy="name one --run")
        for spans in Tagger.from_pretrained(run[0]).predict(texts, task=task):
            shown = (f"{span['word']} [{span['entity_group']} {span['start']}:{span['end']}]" for span in spans)
            typer.echo("\t".join(shown) or "(no span)")
        return
    from hyperloader.prediction import predict_run

    for folder in run:
        predict_run(folder)


@app.command()
def score(runs: RunFolders) -> None:
    """Score the predictions of runs."""
    from hyperloader.scoring import score_run

    for run in runs:
        score_run(run)


@app.command()
def table(
    number: Annotated[int, typer.Argument(help="3 or 4, as in the paper.", min=3, max=4)],
    scores: Annotated[list[Path] | None, typer.Argument(help="scores.json of the runs.")] = None,
    published: Annotated[Path, typer.Option(help="CSV of the paper's table.")] = ...,
    output: Annotated[Path, typer.Option(help="CSV to write; a Markdown file of the same name goes beside it.")] = ...,
) -> None:
    """Gather scores into a table of the paper, beside the paper's numbers."""
    from hyperloader.tables import write_table

    write_table(number, scores or [], published, output)


@app.command()
def params(
    scale: Annotated[str, typer.Option(help="demo, mini or paper.")] = "paper",
    config: Annotated[Path, typer.Option(help="What to reproduce.")] = Path("config/config.yaml"),
    change: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of it that differs.")] = None,
    published: Annotated[Path, typer.Option(help="CSV of the paper's brackets.")] = Path("workflow/published/methods.csv"),
    output: Annotated[Path | None, typer.Option(help="CSV to write, with Markdown beside it; otherwise print the table.")] = None,
) -> None:
    """Count the parameters of every method, beside the paper's brackets; no weights are needed."""
    from hyperloader.parameters import as_markdown, count, write_parameters
    from hyperloader.plan import Plan

    rows = list(count(Plan.read(config, change or []), scale, published))
    if output is None:
        typer.echo(as_markdown(rows), nl=False)
    else:
        write_parameters(rows, output)


@app.command()
def plan(
    scale: Annotated[str, typer.Option(help="demo, mini or paper.")] = "paper",
    recipe: Annotated[str | None, typer.Option(help="matched, paper or authors; otherwise that of the configuration.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Sentences per second; otherwise that of finished runs.")] = None,
    config: Annotated[Path, typer.Option(help="What to reproduce.")] = Path("config/config.yaml"),
    change: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of it that differs.")] = None,
    published: Annotated[Path, typer.Option(help="CSV of the paper's brackets.")] = Path("workflow/published/methods.csv"),
) -> None:
    """Estimate hours, disk and memory of all planned trainings."""
    from hyperloader.estimates import as_text, estimate
    from hyperloader.plan import Plan

    changes = [*(change or []), *([f"recipe={recipe}"] if recipe else [])]
    typer.echo(as_text(list(estimate(Plan.read(config, changes), scale, published, speed))), nl=False)


@app.command("import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="safetensors or pytorch_model.bin of an original implementation, or its folder.")],
    backbone: Annotated[Path, typer.Option(help="Folder of the T5 that it was trained on.")],
    output: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    labels: Annotated[list[str] | None, typer.Option(metavar="TASK=FILE", help="Slot types of a task, one a line.")] = None,
    data: Annotated[list[Path] | None, typer.Option(help="Folder of a prepared corpus, whose slot types are its task's.")] = None,
) -> None:
    """Make a model of a checkpoint of HyperFormer++, HyperLoader or Hyperdecoder (docs/interop.md)."""
    from hyperloader.interop.commands import import_checkpoint

    import_checkpoint(checkpoint, backbone, output, labels or [], data or [])


def main() -> None:
    """Run the command line; what a user caused is one line on stderr and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # of several processes the first one speaks
    logging.getLogger("hyperloader").setLevel(logging.WARNING if int(os.environ.get("RANK", 0)) else logging.INFO)
    try:
        app()
    except UserError as error:
        print(f"hyperloader: {error}", file=sys.stderr)
        sys.exit(2)

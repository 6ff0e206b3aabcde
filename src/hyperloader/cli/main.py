"""The command line: `hyperloader --help`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from hyperloader import __version__
from hyperloader.cli.corpora import app as corpora_app
from hyperloader.cli.exchange import app as exchange_app
from hyperloader.cli.parameters import Argument, Columns, Option, OutputOption
from hyperloader.cli.reports import app as reports_app
from hyperloader.cli.standard_streams import flushed_output, open_standard_streams, told_in_one_line
from hyperloader.config.settings import AddingMode, AddingStart, Decoding, ExportForm
from hyperloader.predicting.streams import Format
from hyperloader.runs.locks import is_first_process

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(corpora_app, name="corpora")
app.add_typer(reports_app)
app.add_typer(exchange_app)

RunFolders = Annotated[list[Path], Argument(metavar="RUN...", help="Run directories, each with its settings.json.")]
OfDecoding = Annotated[Decoding, Option(help="Write what the model likes, or sentinels and known labels only.")]
Force = Annotated[bool, Option("--force", envvar="HYPERLOADER_FORCE", help="Make again what is there and up to date.")]
BackboneFolder = Annotated[Path | None, Option(help="Folder of the backbone, where the one that the model names is not there.")]
ScaleName = Annotated[str, Option(help="demo, mini or paper.")]
ConfigFile = Annotated[Path, Option(help="What to reproduce; another file than config/config.yaml may hold what differs alone.")]
Changes = Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="A key of it that differs; null: its default.")]
ScalesFolder = Annotated[Path | None, Option("--folder", help="Of scales/ and recipes/, if not that of the file, nor config/.")]
SPEED = "HyperLoader's sentences per second; otherwise those of finished runs"
Brackets = Annotated[Path, Option(help="CSV of the paper's brackets.")]
CONFIG, BRACKETS = Path("config/config.yaml"), Path("workflow/published/methods.csv")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hyperloader {__version__}")
        raise typer.Exit


@app.callback()
def of_all(version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    """Hypernetwork-based multi-task sequence labelling."""


@app.command()
def backbone(
    folder: Annotated[Path, Argument(help="Folder of the backbone, with its settings.json.")],
    mirror: Annotated[str | None, Option(help="Folder with tokenizers/; otherwise $HYPERLOADER_MIRROR.")] = None,
) -> None:
    """Download, link or pre-train a backbone."""
    from hyperloader.training.backbones.making import make_backbone

    make_backbone(folder, mirror)


@app.command()
def train(
    runs: RunFolders,
    tensorboard: Annotated[bool, Option("--tensorboard", help="Write the losses to RUN/tensorboard as well.")] = False,
    force: Force = False,
    limit: Annotated[int | None, Option(min=1, help="Stop after so many steps, for a first try; without it the next call goes on.")] = None,
) -> None:
    """Train runs, one after the other; started again, each goes on from its last checkpoint, and a finished one is left as it is."""
    from hyperloader.methods.training_run import train_run

    for run in runs:
        train_run(run, tensorboard=tensorboard, force=force, limit=limit)


@app.command("add-task")
def add_task(
    run: Annotated[Path, Argument(help="Run directory of a trained HyperLoader, HyperFormer++ or HyperFormer; it stays as it is.")],
    corpus: Annotated[str, Option(help="The new task: a corpus that is prepared beside those of the run, or its folder.")],
    output: Annotated[Path, Option(help="Folder of the new run.")],
    percent: Annotated[float, Option(help="Of its training sentences.")] = 100,
    shots: Annotated[int | None, Option(min=1, help="At most so many of these.")] = None,
    mode: Annotated[AddingMode, Option(help="What is learned: z; z and a correction of the generators; everything.")] = "low_rank",
    start: Annotated[AddingStart, Option(help="Where z starts.")] = "mean",
    rank: Annotated[int, Option(min=1, help="Of the correction.")] = 4,
    steps: Annotated[int | None, Option(min=1, help="Of the training.", show_default="those of the run")] = None,
    learning_rate: Annotated[float | None, Option(help="At its peak.", show_default="that of the mode")] = None,
    seed: Annotated[int | None, Option(help="Of the training.", show_default="that of the run")] = None,
) -> None:
    """Teach a trained model one more task; nothing else of it changes (docs/new-tasks.md)."""
    from hyperloader.methods.adding import add_task

    added, training = {"mode": mode, "start": start, "rank": rank}, {"steps": steps, "learning_rate": learning_rate}
    add_task(run, corpus, output, added=added, training=training, percent=percent, shots=shots, seed=seed)


@app.command("try")
def try_(runs: RunFolders) -> None:
    """Train runs for their losses alone, as trials of a learning rate; no model is kept."""
    from hyperloader.methods.training_run import try_run

    for run in runs:
        try_run(run)


@app.command("predict-tests")
def predict_tests(
    runs: RunFolders,
    decoding: OfDecoding = "free",
    force: Force = False,
) -> None:
    """Tag the test sets of runs, whose scores the tables show."""
    from hyperloader.predicting.prediction import predict_run

    for run in runs:
        predict_run(run, decoding, force=force)


@app.command()
def predict(
    texts: Annotated[list[str] | None, Argument(help="Sentences to tag.", show_default="lines of --file")] = None,
    run: Annotated[Path, Option(help="Run directory, or folder of a saved model.")] = ...,
    task: Annotated[str | None, Option(help="Corpus whose slots to look for, where the model knows several.")] = None,
    file: Annotated[str, Option(help="Sentences, one a line; in a .jsonl text or tokens; - is standard input.")] = "-",
    decoding: OfDecoding = "free",
    format: Annotated[Format, Option(help="How spans are printed.")] = Format.text,
    backbone: BackboneFolder = None,
) -> None:
    """Tag sentences: those given, or those of a file or a pipe, for as long as they come."""
    from hyperloader.predicting.streams import tag_stream

    tag_stream(texts or [], file, run, task, decoding, format, backbone)


@app.command()
def serve(
    runs: Annotated[list[Path], Argument(metavar="RUN...", help="Run directories or folders of saved models; two are shown at once.")],
    port: Annotated[int, Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    host: Annotated[str, Option(help="Address to listen on; another than this one lets others in.")] = "127.0.0.1",
    decoding: OfDecoding = "free",
) -> None:
    """Show a page on which sentences are tagged, and answer JSON (docs/tagging.md)."""
    from hyperloader.predicting.serving import serve

    serve(runs, host, port, decoding)


@app.command()
def score(runs: RunFolders) -> None:
    """Score the predictions of runs."""
    from hyperloader.scoring import score_run

    for run in runs:
        score_run(run)


@app.command()
def evaluate(
    run: Annotated[Path, Option(help="Run directory.")],
    corpus: Annotated[str, Option(help="A task of the run, the folder of a prepared corpus, or a CoNLL file.")],
    columns: Columns = None,
    split: Annotated[str | None, Option(help="train, validation or test, where the corpus has splits.", show_default="test")] = None,
    task: Annotated[str | None, Option(help="Corpus whose labels to predict, where --corpus does not say it.")] = None,
    decoding: OfDecoding = "free",
    output: Annotated[Path | None, OutputOption(help="JSON lines to write: the predictions.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print all scores, also those of each slot type, as JSON.")] = False,
    backbone: BackboneFolder = None,
) -> None:
    """Score a run on any tagged corpus (docs/scores.md)."""
    from hyperloader.predicting.evaluation import as_text, evaluate

    report = evaluate(run, corpus, split, task, decoding, output, backbone, columns)
    typer.echo(json.dumps(report.model_dump(), indent=2, ensure_ascii=False) if as_json else as_text(report).rstrip())


@app.command()
def params(
    scale: ScaleName = "paper",
    config: ConfigFile = CONFIG,
    change: Changes = None,
    folder: ScalesFolder = None,
    published: Brackets = BRACKETS,
    output: Annotated[Path | None, OutputOption(help="CSV to write, with Markdown and LaTeX beside it; otherwise print the table.")] = None,
) -> None:
    """Count the parameters of every method, beside the paper's brackets; no weights are needed."""
    from hyperloader.planning.parameters import count
    from hyperloader.planning.plan import Plan
    from hyperloader.reports.tables.parameters import as_sheet, write_parameters

    rows = list(count(Plan.read(config, change or [], folder), scale, published))
    if output is None:
        typer.echo(as_sheet(rows).markdown(), nl=False)
    else:
        write_parameters(rows, output)


@app.command()
def plan(
    scale: ScaleName = "paper",
    recipe: Annotated[str | None, Option(help="matched, paper or authors; otherwise that of the configuration.")] = None,
    speed: Annotated[float | None, Option(min=0.001, help=f"{SPEED}, of a trial, or of a reference.")] = None,
    cores: Annotated[int | None, Option(min=1, help="That the workflow will have; otherwise all.")] = None,
    config: ConfigFile = CONFIG,
    change: Changes = None,
    folder: ScalesFolder = None,
    published: Brackets = BRACKETS,
) -> None:
    """Estimate hours, disk and memory of all planned trainings, and the differences that they can show."""
    from hyperloader.planning import power
    from hyperloader.planning.estimates import as_text, estimate
    from hyperloader.planning.plan import Plan

    changes = [*(change or []), *([f"recipe={recipe}"] if recipe else [])]
    planned = Plan.read(config, changes, folder)
    typer.echo(as_text(estimate(planned, scale, published, speed, cores=cores)) + power.as_text(planned, scale), nl=False)


@app.command()
def status(
    scale: ScaleName = "paper",
    speed: Annotated[float | None, Option(min=0.001, help=f"{SPEED}.")] = None,
    brief: Annotated[bool, Option("--brief", help="A line for each method instead of each run.")] = False,
    config: ConfigFile = CONFIG,
    change: Changes = None,
    folder: ScalesFolder = None,
) -> None:
    """Show which runs are done, running, interrupted, failed, stale or missing, and the hours left."""
    from hyperloader.planning.plan import Plan
    from hyperloader.planning.status import as_text
    from hyperloader.planning.status import status as states

    typer.echo(as_text(list(states(Plan.read(config, change or [], folder), scale, speed)), brief=brief), nl=False)


@app.command()
def init(folder: Annotated[Path, Argument(help="Folder to make.")]) -> None:
    """Lay out a project of your own: Snakefile, workflow/, config/, and corpora/ and baselines/ for what you add."""
    from hyperloader.planning.project import lay_out

    typer.echo(lay_out(folder))


@app.command()
def tuning(
    scale: ScaleName = "demo",
    config: ConfigFile = CONFIG,
    change: Changes = None,
    folder: ScalesFolder = None,
    output: Annotated[Path, Option(help="Folder to write tuning, tuning_curves and the recipe tuned.yaml to.")] = ...,
) -> None:
    """Show the validation loss at each learning rate that was tried, and whether the configuration has the best."""
    from hyperloader.planning.plan import Plan
    from hyperloader.reports.figures.tuning import write_tuning_curves
    from hyperloader.reports.tables.tuning import write_tuned_recipe, write_tuning

    plan = Plan.read(config, change or [], folder)
    rows = write_tuning(plan, scale, output / "tuning.csv")
    write_tuned_recipe(plan, scale, rows, output / "tuned.yaml")
    write_tuning_curves(plan, scale, rows, output / "tuning_curves")


@app.command()
def schema(folder: Annotated[Path, Argument(help="Folder to write to.")] = Path("workflow/schemas")) -> None:
    """Write the JSON schemas of the configuration files."""
    from hyperloader.config.schemas import write_schemas

    write_schemas(folder)


@app.command("import")
def import_(
    checkpoint: Annotated[Path, Argument(help="safetensors or pytorch_model.bin of an original implementation, or its folder.")],
    backbone: Annotated[Path, Option(help="Folder of the T5 that it was trained on.")],
    output: Annotated[Path, Option(help="Folder to write the model to.")],
    labels: Annotated[list[str] | None, Option(metavar="TASK=FILE", help="Slot types of a task, one a line.")] = None,
    data: Annotated[list[Path] | None, Option(help="Folder of a prepared corpus, whose slot types are its task's.")] = None,
) -> None:
    """Make a model of a checkpoint of HyperFormer++, HyperLoader or Hyperdecoder (docs/interop.md)."""
    from hyperloader.interop.importing import import_checkpoint

    import_checkpoint(checkpoint, backbone, output, labels or [], data or [])


@app.command()
def export(
    run: Annotated[Path, Argument(help="Run directory, or folder of a saved model.")],
    output: Annotated[Path, Option(help="Folder to write the export to.")],
    format: Annotated[ExportForm, Option(help="What it becomes (docs/interop.md).")] = "hyperloader",
    task: Annotated[str | None, Option(help="Which one, where the model knows several; all of them as hyperloader.")] = None,
    with_backbone: Annotated[bool, Option("--with-backbone", help="Put the backbone beside an adapter as well.")] = False,
) -> None:
    """Write a trained model for other libraries, or with its backbone for other places."""
    from hyperloader.interop.exporting import export

    export(run, format, output, task, with_backbone=with_backbone)


def main() -> None:
    """Run the command line; what a user caused is one line on stderr and exit status 2."""
    open_standard_streams()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # of several processes the first one speaks
    logging.getLogger("hyperloader").setLevel(logging.INFO if is_first_process() else logging.WARNING)
    with told_in_one_line(), flushed_output():
        app()

"""What each training took and what decided it, as one tidy CSV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hyperloader.errors import RunError
from hyperloader.files import write_text
from hyperloader.methods.registry import get_method
from hyperloader.reports.tables.scores import called
from hyperloader.reports.tables.sheet import as_csv
from hyperloader.runs.records import TrainingRecord
from hyperloader.runs.run import Run

SETTINGS = ("batch_size", "learning_rate", "precision", "selection")
PACKAGES = ("hyperloader", "torch", "transformers", "datasets")
COLUMNS = (
    *("scale", "recipe", "method", "title", "corpora", "percent", "seed", *SETTINGS),
    *("trainable", "steps", "best_step", "validation_loss"),
    *("seconds", "processes", "threads", "processor", "peak_memory_mib", "backbone", "commit", "changed", "python", *PACKAGES),
)


def write_trainings(runs: Iterable[str | Path], output: str | Path) -> None:
    """Write a row for each training: its settings, parameters, best validation loss, seconds, memory, machine, versions.

    Args:
        runs: folders of trained runs.
        output: the CSV.

    Raises:
        UserError: a record is missing or damaged.
    """
    write_text(output, as_csv(COLUMNS, [_row(Run(folder)) for folder in runs]))


def trainable_of(run: Run, record: TrainingRecord) -> int:
    """How many parameters a training trained.

    Raises:
        RunError: its record does not say.
    """
    trainable = record.parameters.get("trainable")
    if trainable is None:
        raise RunError("missing key 'parameters.trainable'", file=run.folder / Run.RECORD, remedy=TrainingRecord.REMEDY)
    return trainable


def _row(run: Run) -> list[object]:
    record = run.record()
    settings = record.settings
    name, title = called(settings)
    losses = [point["validation_loss"] for point in record.curve if point["validation_loss"] is not None]
    values = {
        "method": name,
        "title": title,
        "corpora": " ".join(settings.data),
        "percent": f"{settings.percent:g}",
        **{key: getattr(settings.training, key, "") for key in SETTINGS},
        "trainable": record.parameters.get("trainable", 0),
        "validation_loss": f"{min(losses):.4f}" if losses else "",
        "peak_memory_mib": round(max(record.peak_memory_bytes.values(), default=0) / 2**20),
        "backbone": (record.checksums.backbone or "")[:8],
        "commit": record.commit.get("id") or "",
        "changed": record.commit.get("dirty", ""),
        **{package: record.packages.get(package, "") for package in PACKAGES},
    }
    if not get_method(settings.method).trains_network:
        # a control has no such thing
        values |= dict.fromkeys(SETTINGS, "")
    known = dict(record) | dict(settings) | values
    return [known[column] for column in COLUMNS]

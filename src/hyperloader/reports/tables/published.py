"""The paper's own numbers, from the CSV files of `workflow/published/`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperloader.config.places import PUBLISHED_REMEDY
from hyperloader.corpora.registry import paper_corpora
from hyperloader.errors import UserError
from hyperloader.files import read_rows

AVERAGE = "Average"


@dataclass(frozen=True)
class Paper:
    """Micro F1s of the paper's tables 3 and 4.

    Attributes:
        f1: by (method title, fraction in percent, corpus title or `Average`), in the order of the tables.
    """

    f1: dict[tuple[str, float, str], float]

    @classmethod
    def read(cls, *paths: str | Path) -> Paper:
        """Read tables with the columns `fraction`, `dataset`, and one per method; an empty cell is left out."""
        return cls({key: value for path in paths for key, value in _f1s(Path(path))})

    @property
    def titles(self) -> list[str]:
        """Methods, in the paper's order."""
        return list(dict.fromkeys(title for title, _, _ in self.f1))

    @property
    def fractions(self) -> list[float]:
        """Shares of the training data in percent, in the paper's order."""
        return list(dict.fromkeys(fraction for _, fraction, _ in self.f1))

    @property
    def datasets(self) -> list[str]:
        """Corpora in the paper's order, without the average."""
        return [name for name in dict.fromkeys(dataset for _, _, dataset in self.f1) if name != AVERAGE]


def read_published(path: str | Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file of the paper's numbers; see `read_rows`."""
    return read_rows(path, columns, remedy=PUBLISHED_REMEDY)


def read_brackets(path: str | Path) -> dict[str, dict[str, float]]:
    """Parameters of the paper's methods as its brackets have them, by title; see `parameter_measures`."""
    brackets = {}
    for line, row in enumerate(read_published(path, ("title", "total", "trainable", "single_task")), 2):
        total, trainable = (millions(row[column], path, line) for column in ("total", "trainable"))
        brackets[row["title"]] = parameter_measures(
            trainable, trainable / total, len(paper_corpora()) if row["single_task"] == "yes" else 1
        )
    return brackets


def parameter_measures(trainable: float, share: float, models: int, per_corpus: float | None = None) -> dict[str, float]:
    """The measures of parameters that rules name, of a method that has this many models for all corpora."""
    measures = {"trainable": trainable, "share": share, "trainable in all": models * trainable}
    return measures if per_corpus is None else measures | {"per corpus": per_corpus}


def millions(text: str, path: str | Path, line: int) -> float:
    """The number that `4.5M` stands for."""
    if not re.fullmatch(r"\d+(\.\d+)?M", text) or float(text[:-1]) == 0:
        raise UserError(f"'{text}' is not a number of millions such as 4.5M", file=path, line=line)
    return float(text[:-1]) * 1e6


def _f1s(path: Path) -> Iterable[tuple[tuple[str, float, str], float]]:
    for line, row in enumerate(read_published(path, ("fraction", "dataset")), 2):
        values: dict[str, Any] = dict(row)
        fraction, dataset = values.pop("fraction"), values.pop("dataset")
        for title, value in values.items():
            if value:
                try:
                    yield (title, float(fraction), dataset), float(value)
                except ValueError:
                    raise UserError(f"'{fraction}' or '{value}' is not a number", file=path, line=line) from None

"""Do the paper's printed numbers agree with each other? Averages, counts and brackets, computed again from its own tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import UserError
from hyperloader.reports.tables.claims import read_claims, read_paper
from hyperloader.reports.tables.evidence import Printed
from hyperloader.reports.tables.published import AVERAGE, Paper, millions, read_brackets, read_published
from hyperloader.reports.tables.reanalysis import written
from hyperloader.reports.tables.sheet import Sheet, as_csv, write_sheet
from hyperloader.scoring.decisions import Verdict

COLUMNS = ("what", "where", "printed", "recomputed", "differs", "note")
CUT = "cut instead of rounded"


@dataclass(frozen=True)
class Check:
    """A printed number and the same number computed from the paper's tables."""

    what: str
    where: str
    printed: str
    recomputed: str
    differs: bool
    note: str = ""


def audit(published: str | Path) -> list[Check]:
    """Compute again what can be.

    Args:
        published: folder of the paper's numbers.
    """
    published = Path(published)
    paper = read_paper(published)
    return [
        *_averages(paper),
        *_text(paper, published / "text.csv"),
        *_counts(paper, published),
        *_brackets(published / "methods.csv"),
        *_held_out(),
    ]


def write_audit(published: str | Path, output: str | Path) -> None:
    """Write the checks as CSV, and as Markdown beside it; and `reanalysis.csv`, what the paper's tables say as an experiment."""
    checks = audit(published)
    rows = [[own.what, own.where, own.printed, own.recomputed, "yes" if own.differs else "no", own.note] for own in checks]
    sheet = Sheet(
        title="Audit",
        caption=f"numbers that the paper prints, and the same computed from its tables: {sum(own.differs for own in checks)} of "
        f"{len(checks)} differ.",
        header=["What", "Where", "Printed", "Recomputed", "Differs", "Note"],
        rows=[[*row[:4], f"**{row[4]}**" if row[4] == "yes" else row[4], row[5]] for row in rows],
        align="llrrll",
    )
    write_sheet(output, as_csv(COLUMNS, rows), sheet, latex=False)
    write_sheet(Path(output).with_name("reanalysis.csv"), *written(read_paper(Path(published))), latex=False)


def _averages(paper: Paper) -> Iterator[Check]:
    for (title, fraction, dataset), printed in paper.f1.items():
        if dataset == AVERAGE and (average := _value(paper, title, fraction, AVERAGE)) is not None:
            where = "table 3" if fraction == 100 else "table 4"
            yield _score(f"average of {title} with {fraction:g} %", where, f"{printed:.4f}", average)


def _text(paper: Paper, path: Path) -> Iterator[Check]:
    known = {"method": paper.titles, "fraction": [f"{own:g}" for own in paper.fractions], "dataset": [*paper.datasets, AVERAGE]}
    for line, row in enumerate(read_published(path, (*known, "where", "printed")), 2):
        if unknown := [column for column, names in known.items() if row[column] not in names]:
            message = f"'{row[unknown[0]]}' is no {unknown[0]} of tables 3 and 4"
            raise UserError(message, file=path, line=line, remedy=f"they have {', '.join(known[unknown[0]])}")
        title, fraction, dataset = row["method"], float(row["fraction"]), row["dataset"]
        value = _value(paper, title, fraction, dataset)
        if value is not None:
            what = "average" if dataset == AVERAGE else dataset
            yield _score(f"{what} of {title} with {fraction:g} %", row["where"], row["printed"], value)


def _value(paper: Paper, title: str, fraction: float, dataset: str) -> float | None:
    """An F1 of the tables, an average from its cells; None if one is empty."""
    names = paper.datasets if dataset == AVERAGE else [dataset]
    cells = [paper.f1.get((title, fraction, name)) for name in names]
    return None if None in cells else sum(cells) / len(cells)


def _score(what: str, where: str, printed: str, value: float) -> Check:
    recomputed = f"{value:.4f}"
    cut = printed != recomputed and printed == f"{math.floor(value * 1e4) / 1e4:.4f}"
    return Check(what, where, printed, recomputed, printed != recomputed, CUT if cut else "")


def _counts(paper: Paper, published: Path) -> Iterator[Check]:
    """On how many corpora a method is the best: what is claimed, and what the tables have."""
    evidence = Printed(paper, read_brackets(published / "methods.csv"))
    for claim in read_claims(published / "claims.csv"):
        for part in claim.parts:
            if part.sign:
                held = [name for name, own in evidence.by_dataset(part).items() if own.verdict() is Verdict.CONFIRMED]
                differs = len(held) < part.number or (part.sign == "=" and len(held) > part.number)
                wanted = f"{'at least ' if part.sign == '>=' else ''}{part.number}"
                yield Check(claim.text, claim.where, wanted, str(len(held)), differs, ", ".join(held))


def _brackets(path: Path) -> Iterator[Check]:
    """The brackets against the counts in the authors' logs, rounded to as many digits."""
    for line, row in enumerate(read_published(path, ("title", "total", "trainable", "logged_total", "logged_trainable")), 2):
        for column in ("total", "trainable"):
            if logged := row[f"logged_{column}"]:
                if not logged.isdecimal():
                    raise UserError(f"'{logged}' is not a number of parameters such as 4500000", file=path, line=line)
                printed, exact = millions(row[column], path, line), int(logged)
                digits = len(row[column].removesuffix("M").partition(".")[2])
                recomputed, unit = f"{exact / 1e6:.{digits}f}M", 10 ** (6 - digits)
                note = f"the authors' logs have {exact:,}" + (
                    f"; {CUT}" if printed == exact // unit * unit != millions(recomputed, path, line) else ""
                )
                what = f"{column} parameters of {row['title']}"
                yield Check(what, "tables 3 and 4", row[column], recomputed, recomputed != row[column], note)


def _held_out() -> Iterator[Check]:
    """Validation sets that are a share of the published training sets (section 4.1)."""
    for corpus in known_corpora().values():
        if corpus.paper and (share := corpus.held_out_validation):
            printed = str(corpus.paper.validation)
            recomputed = str(round((corpus.paper.train + corpus.paper.validation) * share))
            what, note = f"validation sentences of {corpus.title}", f"{share:.0%} of training and validation together"
            yield Check(what, "table 2", printed, recomputed, recomputed != printed, note)

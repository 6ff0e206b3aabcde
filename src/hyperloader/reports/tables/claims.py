"""The paper's claims: what our numbers say of each, and what the paper's own tables say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperloader.errors import UserError
from hyperloader.files import read_rows
from hyperloader.reports.tables.comparisons import comparisons, write_comparisons
from hyperloader.reports.tables.evidence import Evidence, Measured, Outcome, Printed
from hyperloader.reports.tables.published import Paper, read_brackets, read_published
from hyperloader.reports.tables.rules import Clause, Verdict, all_of, parse
from hyperloader.reports.tables.samples import Samples
from hyperloader.reports.tables.scores import TABLE_KEYS, Scores, describe
from hyperloader.reports.tables.sheet import Sheet, as_csv, write_sheet

COLUMNS = ("id", "claim", "where", "rule", "verdict", "numbers", "paper", "paper_numbers", *TABLE_KEYS, "seeds", "bearing")
# what the paper's own tables say of a claim
BORNE_OUT = {Verdict.CONFIRMED: "yes", Verdict.CONTRADICTED: "no", Verdict.NOT_RUN: "no numbers"}


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        name: short, unique.
        text: the claim in words.
        where: in the paper.
        rule: what has to hold, see `hyperloader.reports.tables.rules`.
    """

    name: str
    text: str
    where: str
    rule: str

    @property
    def parts(self) -> list[Clause]:
        """The rule, parsed."""
        return parse(self.rule)

    def decide(self, evidence: Evidence) -> Outcome:
        """What some numbers say of it."""
        outcomes = [evidence.decide(part) for part in self.parts]
        return Outcome(all_of([own.verdict for own in outcomes]), "; ".join(own.numbers for own in outcomes if own.numbers))


def read_claims(path: str | Path) -> list[Claim]:
    """The claims of a CSV with the columns id, claim, where, rule.

    Raises:
        UserError: it is missing, or a rule is not one; names the line.
    """
    claims = []
    for line, row in enumerate(read_published(path, ("id", "claim", "where", "rule")), 2):
        claims.append(Claim(row["id"], row["claim"], row["where"], row["rule"]))
        try:
            parse(row["rule"])
        except UserError as error:
            raise UserError(error.message, file=path, line=line) from None
    return claims


def write_claims(scores: Iterable[str | Path], parameters: str | Path, published: str | Path, bearing: str, folder: str | Path) -> None:
    """Write `comparisons.csv` and `claims.csv`, and Markdown beside them.

    Args:
        scores: `scores.json` of runs, each with `counts/` beside it.
        parameters: `parameters.csv` of the same scale.
        published: folder of the paper's numbers and claims.
        bearing: how much these results say about the paper, for a column.
        folder: where to write.

    Raises:
        UserError: a file is missing or damaged, or runs do not belong together.
    """
    published, folder = Path(published), Path(folder)
    paper = read_paper(published)
    gathered = Scores.read(scores)
    samples = Samples(gathered, paper.datasets)
    write_comparisons(comparisons(samples), gathered.signature, folder / "comparisons.csv")
    measured = Measured(paper, samples, _counted(parameters))
    printed = Printed(paper, read_brackets(published / "methods.csv"))
    seeds = " ".join(map(str, gathered.seeds))
    rows = []
    for claim in read_claims(published / "claims.csv"):
        ours, theirs = claim.decide(measured), claim.decide(printed)
        known = [gathered.signature.get(key, "") for key in TABLE_KEYS]
        judged = [ours.verdict.value, ours.numbers, BORNE_OUT[theirs.verdict], theirs.numbers]
        rows.append([claim.name, claim.text, claim.where, claim.rule, *judged, *known, seeds, bearing])
    write_sheet(folder / "claims.csv", as_csv(COLUMNS, rows), _sheet(rows, gathered, bearing), latex=False)


def read_paper(published: Path) -> Paper:
    """The F1s of the paper's tables 3 and 4."""
    return Paper.read(published / "table3.csv", published / "table4.csv")


def _counted(path: str | Path) -> dict[str, dict[str, float]]:
    """Our numbers of trained parameters, and their share of all, by title."""
    rows = read_rows(path, ("method", "trainable", "percent"))
    return {row["method"]: {"trainable": float(row["trainable"]), "share": float(row["percent"]) / 100} for row in rows}


def _sheet(rows: Sequence[Sequence[str]], scores: Scores, bearing: str) -> Sheet:
    counts = ", ".join(f"{sum(row[4] == verdict for row in rows)} {verdict}" for verdict in Verdict)
    return Sheet(
        title="Claims",
        caption=f"what these runs say of the paper's claims: {counts}. Bearing on the paper: **{bearing}**. "
        + (
            f"{describe(scores.signature).capitalize()}, training seeds {', '.join(map(str, scores.seeds))}. "
            if scores.seeds
            else "Nothing was run. "
        )
        + "An inequality is confirmed or contradicted if the 95 % interval of the difference leaves out zero, and inconclusive "
        "otherwise; the interval is that over test sentences and, with several training seeds, covers that over seeds too. A claim of "
        "several inequalities is contradicted by one of them. The last two columns judge the paper's own printed numbers, which come "
        "without intervals, by the same rule.",
        header=["Claim", "Where", "Rule", "Verdict", "Our numbers", "Borne out by the paper's tables", "The paper's numbers"],
        rows=[[row[1], row[2], row[3], f"**{row[4]}**", row[5], row[6], row[7]] for row in rows],
        align="l" * 7,
    )

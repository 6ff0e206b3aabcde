"""The paper's claims: what our numbers say of each, and what the paper's own tables say."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperloader.errors import UserError
from hyperloader.files import read_rows
from hyperloader.methods.registry import methods
from hyperloader.reports.tables.comparisons import comparisons, write_comparisons
from hyperloader.reports.tables.evidence import Measured, Printed
from hyperloader.reports.tables.published import AVERAGE, Paper, parameter_measures, read_brackets, read_published
from hyperloader.reports.tables.rules import COUNTED, Clause, parse
from hyperloader.reports.tables.samples import Samples
from hyperloader.reports.tables.scores import TABLE_KEYS, Scores, describe, seeds_in_words
from hyperloader.reports.tables.sheet import Sheet, as_csv, capitalised, decimals, write_sheet
from hyperloader.scoring.decisions import MARGIN, Verdict, verdicts

log = logging.getLogger(__name__)

COLUMNS = (
    *("id", "proposition", "claim", "where", "rule", "verdict", "p", "p_holm", "margin", "numbers", "paper", "paper_numbers"),
    *(*TABLE_KEYS, "seeds", "bearing"),
)
FIELDS = ("id", "proposition", "claim", "where", "rule", "margin")
# what the paper's own tables say of a claim
BORNE_OUT = {Verdict.CONFIRMED: "yes", Verdict.CONTRADICTED: "no", Verdict.NOT_RUN: "no numbers", Verdict.NO_PREMISE: "premise fails"}
NEEDS = "needs "
NOT_DECIDED = "not decided"
AGAIN = "make it again: hyperloader params"


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        name: short, unique.
        proposition: what it is a part of.
        text: the claim in words.
        where: in the paper.
        rule: what has to hold, see `hyperloader.reports.tables.rules`; or `needs` and what is missing for a rule.
        margin: F1s that differ by less are equal; None for parameters.
    """

    name: str
    proposition: str
    text: str
    where: str
    rule: str
    margin: float | None = None

    @property
    def parts(self) -> list[Clause]:
        """The rule, parsed; empty if there is none."""
        return [] if self.rule.startswith(NEEDS) else parse(self.rule)


@dataclass(frozen=True)
class Judged:
    """A claim and what our numbers and the paper's say of it.

    Attributes:
        p, corrected: of the verdict, as it is and after Holm's correction over all claims that have one.
    """

    claim: Claim
    verdict: str
    p: float | None
    corrected: float | None
    numbers: str
    paper: str
    paper_numbers: str


def read_claims(path: str | Path) -> list[Claim]:
    """The claims of a CSV with the columns id, proposition, claim, where, rule, margin.

    Raises:
        UserError: it is missing, or a rule or a margin is not one; names the line.
    """
    claims = []
    for line, row in enumerate(read_published(path, FIELDS), 2):
        try:
            margin = float(row["margin"]) if row["margin"] else None
        except ValueError:
            raise UserError(f"'{row['margin']}' is no margin such as {MARGIN}", file=path, line=line) from None
        if not row["rule"].startswith(NEEDS):
            try:
                parse(row["rule"])
            except UserError as error:
                raise UserError(error.message, file=path, line=line) from None
        claims.append(Claim(row["id"], row["proposition"], row["claim"], row["where"], row["rule"], margin))
    return claims


def check_names(claims: Sequence[Claim], path: str | Path, titles: Collection[str], datasets: Collection[str]) -> None:
    """Refuse claims about corpora that there are not, which would be `not run` for ever, and warn of those about methods that there are
    not: these may be variants that another configuration has.

    Raises:
        UserError: a rule names such a corpus; names the line of the file that they were read from.
    """
    for line, part in ((line, part) for line, claim in enumerate(claims, 2) for part in claim.parts):
        if unknown := sorted(part.titles - {*titles}):
            log.warning("%s:%d: '%s' is the title of no method or variant here, so that nothing of it was run", path, line, unknown[0])
        if part.measure.dataset not in {"", AVERAGE, COUNTED, *datasets}:
            remedy = f"name {AVERAGE}, {COUNTED}, or one of {', '.join(datasets)}"
            raise UserError(f"'{part.measure.dataset}' is no corpus of the paper", file=path, line=line, remedy=remedy)


def judge(claims: Sequence[Claim], measured: Measured, printed: Printed) -> list[Judged]:
    """What our numbers and the paper's say of claims; ours with Holm's correction over all that have an error and were tested."""
    ours = {claim: measured.judge(claim.parts, MARGIN if claim.margin is None else claim.margin) for claim in claims if claim.parts}
    corrected = dict(zip(ours, verdicts([own.evidence for own in ours.values()]), strict=True))
    judged = []
    for claim in claims:
        if not claim.parts:
            judged.append(Judged(claim, NOT_DECIDED, None, None, claim.rule, BORNE_OUT[Verdict.NOT_RUN], ""))
            continue
        own, theirs = ours[claim], printed.judge(claim.parts)
        p, verdict = corrected[claim]
        borne_out = BORNE_OUT[theirs.evidence.verdict()]
        judged.append(Judged(claim, verdict, None if p is None else own.evidence.p, p, own.numbers, borne_out, theirs.numbers))
    return judged


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
    counted = _counted(parameters)
    measured, printed = Measured(paper, samples, counted), Printed(paper, read_brackets(published / "methods.csv"))
    claims = read_claims(published / "claims.csv")
    titles = {*paper.titles, *counted, *gathered.methods, *(method.title for method in methods().values())}
    check_names(claims, published / "claims.csv", titles, paper.datasets)
    judged = judge(claims, measured, printed)
    known = [*(gathered.signature.get(key, "") for key in TABLE_KEYS), " ".join(map(str, gathered.seeds)), bearing]
    rows = []
    for own in judged:
        claim = own.claim
        said = [
            own.verdict,
            *(decimals(value) for value in (own.p, own.corrected)),
            "" if claim.margin is None else f"{claim.margin:g}",
            own.numbers,
            own.paper,
        ]
        rows.append([claim.name, claim.proposition, claim.text, claim.where, claim.rule, *said, own.paper_numbers, *known])
    write_sheet(folder / "claims.csv", as_csv(COLUMNS, rows), _sheet(judged, gathered, bearing), latex=False)


def read_paper(published: Path) -> Paper:
    """The F1s of the paper's tables 3 and 4."""
    return Paper.read(published / "table3.csv", published / "table4.csv")


def _counted(path: str | Path) -> dict[str, dict[str, float]]:
    """Our numbers of parameters by title."""
    counted = {}
    for line, row in enumerate(read_rows(path, ("method", "runs", "trainable", "percent", "per_corpus"), remedy=AGAIN), 2):
        try:
            trainable, share, per_corpus = float(row["trainable"]), float(row["percent"]) / 100, float(row["per_corpus"])
            counted[row["method"]] = parameter_measures(trainable, share, int(row["runs"]), per_corpus)
        except ValueError:
            raise UserError("a cell of it is not a number", file=path, line=line, remedy=AGAIN) from None
    return counted


def _sheet(judged: Sequence[Judged], scores: Scores, bearing: str) -> Sheet:
    """The claims for people, a line in bold with its verdicts before those of each proposition."""
    propositions = list(dict.fromkeys(own.claim.proposition for own in judged))
    rows = []
    for proposition in propositions:
        members = [own for own in judged if own.claim.proposition == proposition]
        rows.append([f"**{proposition}**", "", "", _verdicts(members), "", "", "", ""])
        for own in members:
            claim = own.claim
            numbers = [f"**{own.verdict}**", decimals(own.corrected), own.numbers, own.paper, own.paper_numbers]
            rows.append([claim.text, claim.where, claim.rule, *numbers])
    made = f"{capitalised(describe(scores.signature))}, {seeds_in_words(scores.seeds)}. " if scores.seeds else "Nothing was run. "
    return Sheet(
        title="Claims",
        caption=f"what these runs say of the paper's claims, {len(judged)} in {len(propositions)} propositions: {_verdicts(judged)}. "
        f"Bearing on the paper: **{bearing}**. {made}A claim is confirmed or contradicted at 5 %, over test sentences and training seeds "
        "and after Holm's correction over all claims; equivalent if what is left of it are differences below its margin; "
        "its premise fails if what it takes for granted, a number of parameters, is not so here. One or two training "
        "seeds decide nothing about methods: the intervals, over test sentences alone, are then those of these models. The last two "
        "columns judge the paper's own printed numbers, which come without errors, by the same rule.",
        header=["Claim", "Where", "Rule", "Verdict", "p (Holm)", "Our numbers", "Borne out by the paper's tables", "The paper's numbers"],
        rows=rows,
        align="llllrlll",
    )


def _verdicts(judged: Sequence[Judged]) -> str:
    counts = Counter(own.verdict for own in judged)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in (*Verdict, NOT_DECIDED) if counts[verdict])

"""The endpoints of docs/protocol.md: what was fixed before the runs, computed from them and decided as it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from hyperloader.corpora.registry import known_corpora
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.reports.tables.samples import Samples
from hyperloader.reports.tables.scores import Scores, averaged, describe, seeds_in_words
from hyperloader.reports.tables.sheet import Sheet, as_csv, capitalised, decimals, interval, write_sheet
from hyperloader.scoring.decisions import Decision, Evidence, Verdict, all_of, decide, verdicts

# names of the methods and variants: HyperFormer++ with as many trained parameters, LoRA alone with as many, and HyperFormer++ as published
OURS, MATCHED, LORA, PUBLISHED = "hyperloader", "adapters_generated", "lora_generated", "hyperformer_pp"
# percent of the training data
FEW, MORE = 10.0, (20.0, 100.0)
# what has to be run
NEEDED = {OURS: (FEW, *MORE), MATCHED: (FEW, *MORE), LORA: (FEW,), PUBLISHED: (FEW,)}

COLUMNS = (
    *("scale", "recipe", "decoding", "kind", "endpoint", "percent", "other", "seeds", "f1", "f1_other", "difference"),
    *("ci_low", "ci_high", "p", "p_equivalent", "p_holm", "verdict"),
)
# fields of the scores' cells, and what they are
WAYS = {
    "unseen": "test sentences that do not occur in train",
    "cut": "slot types cut at the slash",
    "by_order": "labels aligned by their order",
}


@dataclass(frozen=True)
class Endpoint:
    """HyperLoader against another method.

    Attributes:
        kind: `primary`, `secondary` or `sensitivity`.
        text: which it is.
        percent: of the training data.
        other: title of the other method; empty if it was not run.
        decision: the difference; None if it was not run.
        evidence: for HyperLoader being better; None where nothing is tested.
    """

    kind: str
    text: str
    percent: float
    other: str
    decision: Decision | None
    evidence: Evidence | None


def endpoints(scores: Scores, datasets: Sequence[str]) -> list[Endpoint]:
    """All endpoints of the protocol, the primary one first.

    Args:
        scores: of the runs.
        datasets: titles of the corpora that averages are over.
    """
    samples, titles = Samples(scores, datasets), {name: title for title, name in scores.methods.items()}

    def compared(name: str, percent: float, corpora: Sequence[str]) -> Decision | None:
        both = ([samples.f1(titles.get(own, ""), percent, corpus) for corpus in corpora] for own in (OURS, name))
        return decide(*map(averaged, both))

    def tested(kind: str, text: str, name: str, percent: float, corpora: Sequence[str] = datasets) -> Endpoint:
        decision = compared(name, percent, corpora)
        evidence = decision.evidence if decision else Evidence.untested(Verdict.NOT_RUN)
        return Endpoint(kind, text, percent, titles.get(name, ""), decision, evidence)

    def shown(text: str, decision: Decision | None) -> Endpoint:
        return Endpoint("sensitivity", text, FEW, titles.get(MATCHED, ""), decision, None)

    primary = tested("primary", "average", MATCHED, FEW)
    lora = tested("secondary", "better than LoRA alone and than adapters alone", LORA, FEW)
    found = [primary, *(tested("secondary", "average", MATCHED, percent) for percent in MORE)]
    found.append(Endpoint(lora.kind, lora.text, FEW, lora.other, lora.decision, all_of([lora.evidence, primary.evidence])))
    found.append(tested("secondary", "HyperFormer++ as published", PUBLISHED, FEW))
    kinds = {corpus.title: corpus.task_kind for corpus in known_corpora().values()}
    for kind in sorted({kinds[name] for name in datasets}):
        found.append(tested("secondary", kind, MATCHED, FEW, [name for name in datasets if kinds[name] == kind]))
    if len(datasets) > 1:
        found += [shown(f"without {name}", compared(MATCHED, FEW, [own for own in datasets if own != name])) for name in datasets]
    return found + [shown(text, _as_scored(scores, [titles.get(OURS), titles.get(MATCHED)], datasets, way)) for way, text in WAYS.items()]


def _as_scored(scores: Scores, titles: Sequence[str | None], datasets: Sequence[str], way: str) -> Decision | None:
    """The primary difference in another way of scoring; a corpus that has none keeps its headline."""
    both = [
        averaged([scores.f1(title, FEW, name) | scores.f1(title, FEW, name, way) for name in datasets]) if title else {} for title in titles
    ]
    seeds = sorted(both[0].keys() & both[1].keys())
    return Decision(*(mean(own[seed] for seed in seeds) for own in both), tuple(seeds), 0.0, None) if seeds else None


def write_endpoints(scores: Iterable[str | Path], output: str | Path) -> None:
    """Write `endpoints.csv`, and Markdown and HTML beside it.

    Args:
        scores: `scores.json` of runs, each with `counts/` beside it; those of other methods and shares of the data are left out.
        output: the CSV.

    Raises:
        UserError: a file is missing or damaged, or runs do not belong together.
    """
    gathered = Scores.read(scores)
    # others would be resampled for nothing
    gathered.cells = {key: own for key, own in gathered.cells.items() if key[1] in NEEDED.get(gathered.methods[key[0]], ())}
    datasets = list(dict.fromkeys(dataset for _, _, dataset in gathered.cells))
    primary, *others = found = endpoints(gathered, datasets)
    family = {own: own.evidence for own in others if own.evidence}
    judged = dict(zip(family, verdicts([*family.values()]), strict=True))
    judged |= {primary: (None, primary.evidence.verdict())}
    known, lines, cells = [gathered.signature.get(key, "") for key in ("scale", "recipe", "decoding")], [], []
    for own in found:
        d, (corrected, verdict) = own.decision, judged.get(own, (None, None))
        said = verdict.of_first if verdict else _sign(own, primary)
        numbers = [d.first, d.other, d.difference] if d else [None] * 3
        tests = [*d.interval, d.p, d.evidence.ties if d.enough else None] if d and own.evidence else [None] * 4
        texts = [*map(decimals, (*numbers, *tests, corrected)), said]
        lines.append([*known, own.kind, own.text, f"{own.percent:g}", own.other, " ".join(map(str, d.seeds)) if d else "", *texts])
        change = [decimals(d.difference, "+") if d else "", interval(d.interval, "+") if d and own.evidence else ""]
        shown = [*texts[:2], *change, *texts[5:8], f"**{said}**" if own is primary else said]
        cells.append([f"**{own.kind}**", own.text, f"{own.percent:g} %", own.other, *shown])
    made = "Nothing was run. "
    if seeds := [own.decision.seeds for own in found if own.decision]:
        made = f"{capitalised(describe(gathered.signature))}, {seeds_in_words(*seeds)}, averages over {', '.join(datasets)}. "
    sheet = Sheet(
        title="Endpoints",
        caption=f"{HyperLoader.title} minus another method, micro F1, means over the training seeds; what docs/protocol.md fixed before "
        f"the runs at scale paper. {made}The primary endpoint is one test without a correction; the secondary ones are corrected together "
        "by Holm; for sensitivity the primary difference is computed in other ways, without a test. Intervals and p cover test sentences "
        "and, from three seeds on, training seeds; one or two seeds decide nothing about methods.",
        header=["Kind", "Endpoint", "Data", "Other", "F1", "Its F1", "Difference", "95 %", "p", "p, equivalent", "p (Holm)", "Verdict"],
        rows=cells,
        align="llrlrrrrrrrl",
    )
    write_sheet(output, as_csv(COLUMNS, lines), sheet, latex=False)


def _sign(own: Endpoint, primary: Endpoint) -> str:
    """Whether a difference has the sign of the primary one."""
    if own.decision is None or primary.decision is None:
        return str(Verdict.NOT_RUN)
    return "same sign" if own.decision.difference * primary.decision.difference > 0 else "other sign"

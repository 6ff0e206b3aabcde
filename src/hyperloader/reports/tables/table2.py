"""Table 2 of the paper: sentences per split and slot types, ours beside the published ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hyperloader.corpora.fetching.manifests import GENERATED
from hyperloader.corpora.prepared import PreparedManifest, read_prepared_manifest, slot_type
from hyperloader.corpora.registry import known_corpora
from hyperloader.reports.tables.sheet import Sheet, as_csv, write_sheet

_COLUMNS = {"train": "train", "val": "validation", "test": "test"}  # as in the paper's table: our split
CELLS = (*_COLUMNS, "labels")
FIELDS = ("dataset", *(f"{cell}{part}" for cell in CELLS for part in ("", "_paper", "_difference")), "note")
FREQUENT_SPANS = 200


def table2(manifests: Iterable[str | Path]) -> list[dict[str, int | str]]:
    """Compare prepared corpora with table 2 of the paper.

    Args:
        manifests: prepared folders or their `manifest.json`.

    Returns:
        One row per corpus, in the order of the paper's table 3: for each of train, val, test and labels ours,
        `_paper` and `_difference` (ours minus the paper's; both empty where the paper has no number), and a note.

    Raises:
        CorpusError: a manifest is missing or damaged.
    """
    read = [read_prepared_manifest(path) for path in manifests]
    order = list(known_corpora())
    read.sort(key=lambda manifest: order.index(manifest.corpus) if manifest.corpus in order else len(order))
    return [_row(manifest, _published(manifest.corpus)) for manifest in read]


def _published(name: str) -> dict[str, int]:
    """The paper's numbers; none for a corpus that it lacks."""
    corpus = known_corpora().get(name)
    counts = corpus.paper.model_dump() if corpus and corpus.paper else {}
    return {cell: counts[ours] for cell, ours in (_COLUMNS | {"labels": "labels"}).items() if ours in counts}


def write_table2(rows: list[dict[str, int | str]], output: str | Path) -> None:
    """Write the rows as CSV to `output`, and as Markdown and LaTeX beside it."""
    write_sheet(output, as_csv(FIELDS, ([row[name] for name in FIELDS] for row in rows)), sheet(rows))


def sheet(rows: list[dict[str, int | str]]) -> Sheet:
    """The rows for people: each cell ours, the paper's in brackets; notes below the table."""
    lines = [[str(row["dataset"]), *(f"{row[cell]} ({_or_dash(row[f'{cell}_paper'])})" for cell in CELLS)] for row in rows]
    return Sheet(
        title="Table 2",
        caption="sentences per split, and slot types over all splits: ours (the paper's).",
        header=["corpus", "train", "validation", "test", "labels"],
        rows=lines,
        align="lrrrr",
        notes=[f"{row['dataset']}: {row['note']}." for row in rows if row["note"]],
    )


def _or_dash(value: int | str) -> int | str:
    return "-" if value == "" else value


def _row(manifest: PreparedManifest, paper: dict[str, int]) -> dict[str, int | str]:
    ours = {cell: manifest.sentences[split] for cell, split in _COLUMNS.items()}
    ours["labels"] = manifest.slot_types
    row: dict[str, int | str] = {"dataset": manifest.title}
    for cell in CELLS:
        row[cell] = ours[cell]
        row[f"{cell}_paper"] = paper.get(cell, "")
        row[f"{cell}_difference"] = ours[cell] - paper[cell] if cell in paper else ""
    row["note"] = _note(manifest)
    return row


def _note(manifest: PreparedManifest) -> str:
    if any(source["provenance"] == GENERATED for source in manifest.sources):
        return "generated for the demo, so only its form is that of the real corpus"
    if manifest.corpus == "mtod":
        return _mtod_conventions(manifest)
    if nested := manifest.nested_slots.get("test"):
        return f"{nested} slots of the test set lie inside others and are left out"
    return ""


def _mtod_conventions(manifest: PreparedManifest) -> str:
    """The paper counts 9 labels where the corpus has 16 slot types; two ways of counting give 9."""
    types = {slot_type(tag) for tag in manifest.tags if tag != "O"}
    domains = {name.partition("/")[0] for name in types}
    frequent = [count for count in manifest.spans["train"].values() if count > FREQUENT_SPANS]
    return (
        f"{len(types)} slot types; {len(domains)} when types are cut at the slash (weather/noun as weather); "
        f"{len(frequent)} when only types with more than {FREQUENT_SPANS} spans in train count; "
        "the paper does not say how it counted"
    )

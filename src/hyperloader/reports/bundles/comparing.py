"""`hyperloader compare` of bundles: the same cells of several side by side, and what else is not the same in them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from statistics import mean, stdev
from typing import Any

from hyperloader.errors import RunError, one_line
from hyperloader.files import write_text
from hyperloader.reports.bundles.archive import Archive, counted, open_archive
from hyperloader.reports.bundles.packing import RUNS, Bundle
from hyperloader.reports.bundles.verifying import read_bundle
from hyperloader.reports.tables.published import AVERAGE
from hyperloader.reports.tables.scores import TIDY, averaged, seeds_in_words
from hyperloader.reports.tables.sheet import Sheet, as_csv, decimals, spread
from hyperloader.runs.run import Run
from hyperloader.scoring.signatures import data_of

COLUMNS = ("bundle", "percent", "method", "dataset", "f1", "sd_seeds", "seeds", "test_set", "difference")
# of a run's record, what else may make its scores other ones
REMEDY = "hyperloader verify says more"
RECORDED = ("checksums", "commit", "packages", "processor", "processes", "python", "threads")

Cell = tuple[float, str, str]


@dataclass
class Opened:
    """What is compared of a bundle.

    Attributes:
        name: that it goes by.
        f1s: headline F1s by seed, for each (fraction in percent, method title, corpus title).
        test_sets: checksum of the test set of each of them.
        facts: by run, settings and records as dotted keys with their values.
    """

    name: str
    f1s: dict[Cell, dict[int, float]] = field(default_factory=dict)
    test_sets: dict[Cell, str] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, name: str) -> Opened:
        """Open a bundle.

        Raises:
            RunError: it is none, or not what was packed.
        """
        with open_archive(path) as archive:
            bundle = read_bundle(archive)
            opened = cls(name)
            opened._add_scores(archive, bundle)
            for run in bundle.runs:
                settings, record = (_json(archive, bundle, f"{run}/{file}") for file in (Run.SETTINGS, Run.RECORD))
                facts = settings | {key: record[key] for key in RECORDED if key in record}
                opened.facts[run] = dict(_flat(facts, ""))
        return opened

    def _add_scores(self, archive: Archive, bundle: Bundle) -> None:
        titles = {name: corpus.title for name, corpus in bundle.corpora.items()}
        rows = csv.DictReader(_checked(archive, bundle, "scores.csv").decode(errors="replace").splitlines())
        try:
            seen = set()
            for row in rows:
                key = tuple(row[column] for column in TIDY[: TIDY.index("alignment")])
                if key in seen:  # the headline comes first
                    continue
                seen.add(key)
                cell, f1 = (float(row["percent"]), row["title"], titles[row["corpus"]]), float(row["f1"])
                if not (0 < cell[0] <= 100 and 0 <= f1 <= 1):
                    raise ValueError
                self.f1s.setdefault(cell, {})[int(row["seed"])] = f1
                self.test_sets[cell] = data_of(row["signature"])
        except (LookupError, TypeError, ValueError, csv.Error):
            raise RunError("is not the table that its version writes", file=archive.path / "scores.csv", remedy=REMEDY) from None


def _checked(archive: Archive, bundle: Bundle, name: str) -> bytes:
    content = archive.read(name) if name in archive.names else b""
    if hashlib.sha256(content).hexdigest() != bundle.files.get(name):
        raise RunError("is missing, or not what was packed", file=archive.path / name, remedy=REMEDY)
    return content


def _json(archive: Archive, bundle: Bundle, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(_checked(archive, bundle, name)))
    except (ValueError, TypeError, RecursionError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError("not a table of settings", file=archive.path / name, remedy=REMEDY) from None


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}" if key else str(name))
    else:
        yield key, json.dumps(value, ensure_ascii=False)


def compare_bundles(paths: Sequence[str | Path], output: str | Path | None = None, page: str | Path | None = None) -> str:
    """Put the scores of bundles side by side.

    Args:
        paths: of two bundles or more; differences are from the first.
        output: CSV to write.
        page: HTML page to write.

    Returns:
        The table and all that is not the same in the bundles, for the terminal.

    Raises:
        RunError: one is no bundle, or they have nothing in common.
    """
    bundles = [Opened.read(Path(path), name) for path, name in zip(paths, _names(paths), strict=True)]
    cells = _cells(bundles)
    if not any(len(values) > 1 for values in cells.values()):
        raise RunError(f"no method, corpus and share of the data in common with {paths[0]}", file=paths[1])
    sheet = _sheet(bundles, cells)
    if output is not None:
        write_text(output, as_csv(COLUMNS, _rows(bundles, cells)))
    if page is not None:
        write_text(page, sheet.html(sortable=True))
    return sheet.markdown()


def _names(paths: Sequence[str | Path]) -> list[str]:
    """A short name of each bundle: its file's, or with its folder's where these are the same, or its number."""
    for names in ([Path(path).stem for path in paths], ["/".join(Path(path).absolute().parts[-2:]) for path in paths]):
        if len(set(names)) == len(names):
            return names
    return [f"{number}: {path}" for number, path in enumerate(paths, 1)]


def _cells(bundles: Sequence[Opened]) -> dict[Cell, dict[str, dict[int, float]]]:
    """F1s by seed, for each bundle that has a cell, `_paired`; averages are over the corpora that all bundles with the method have."""
    keys = dict.fromkeys(key for bundle in bundles for key in bundle.f1s)
    cells: dict[Cell, dict[str, dict[int, float]]] = {}
    for fraction, title in dict.fromkeys(key[:2] for key in sorted(keys, key=lambda key: key[0])):
        having = [bundle for bundle in bundles if any(key[:2] == (fraction, title) for key in bundle.f1s)]
        names = [key[2] for key in keys if key[:2] == (fraction, title)]
        common = [name for name in names if _comparable(having, (fraction, title, name))]
        averages = {bundle.name: averaged([bundle.f1s[fraction, title, name] for name in common]) for bundle in having}
        if any(averages.values()):
            cells[fraction, title, AVERAGE] = _paired({name: seeds for name, seeds in averages.items() if seeds})
        for name in names:
            key = (fraction, title, name)
            cells[key] = _paired({bundle.name: bundle.f1s[key] for bundle in _with(having, key)})
    return cells


def _paired(values: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
    """F1s of the seeds that all bundles have; where there is none, those of each bundle's own."""
    common = set.intersection(*map(set, values.values()))
    return {name: {seed: f1 for seed, f1 in seeds.items() if seed in common or not common} for name, seeds in values.items()}


def _alike(values: Iterable[dict[int, float]]) -> bool:
    """Whether F1s are of the same seeds."""
    return len({frozenset(seeds) for seeds in values}) == 1


def _comparable(bundles: Iterable[Opened], key: Cell) -> bool:
    return len({bundle.test_sets.get(key) for bundle in bundles}) == 1


def _rows(bundles: Sequence[Opened], cells: dict[Cell, dict[str, dict[int, float]]]) -> Iterator[list[str]]:
    for (fraction, title, name), values in cells.items():
        for bundle in bundles:
            seeds = values.get(bundle.name)
            if seeds:
                sd = decimals(stdev(seeds.values()) if len(seeds) > 1 else None)
                test_set = bundle.test_sets.get((fraction, title, name), "")
                difference = _difference(bundles, (fraction, title, name), values, bundle)
                shown = [decimals(mean(seeds.values())), sd, " ".join(map(str, sorted(seeds))), test_set]
                yield [bundle.name, f"{fraction:g}", title, name, *shown, decimals(difference, "+")]


def _difference(bundles: Sequence[Opened], key: Cell, values: dict[str, dict[int, float]], bundle: Opened) -> float | None:
    """From the first bundle, as printed; None where that lacks the cell, or has other seeds or another test set."""
    first = bundles[0]
    if bundle is first or not {first.name, bundle.name} <= values.keys() or not _alike((values[first.name], values[bundle.name])):
        return None
    if key[2] != AVERAGE and not _comparable((first, bundle), key):
        return None
    return round(mean(values[bundle.name].values()), 4) - round(mean(values[first.name].values()), 4)


def _sheet(bundles: Sequence[Opened], cells: dict[Cell, dict[str, dict[int, float]]]) -> Sheet:
    rows = []
    for (fraction, title, name), values in cells.items():
        shown = []
        for bundle in bundles:
            seeds = values.get(bundle.name, {})
            difference = _difference(bundles, (fraction, title, name), values, bundle)
            shown.append(spread(seeds.values()) + ("" if difference is None else f" ({decimals(difference, '+')})"))
        seeds = dict.fromkeys(seeds_in_words(sorted(values[bundle.name])) for bundle in bundles if bundle.name in values)
        rows.append([f"{fraction:g} %", title, name, *shown, "; ".join(seeds)])
    other = [
        ", ".join(key[:0:-1]) + f" at {key[0]:g} %" for key in cells if key[2] != AVERAGE and not _comparable(_with(bundles, key), key)
    ]
    notes = [f"Other test sets, which are not compared: {'; '.join(other)}."] if other else []
    unpaired = dict.fromkeys(f"{title} at {fraction:g} %" for (fraction, title, _), own in cells.items() if not _alike(own.values()))
    notes += [f"No seed that all have, so that each is over its own seeds and not compared: {', '.join(unpaired)}."] if unpaired else []
    caption = (
        "micro F1, a mean over training seeds with its standard deviation where there are several, and the difference from the "
        f"first bundle, {bundles[0].name}. A row is over the seeds that all bundles in it have, or as said below. An average is over the "
        "corpora that every bundle with the method has, with the same test set. Differences say nothing of chance."
    )
    return Sheet(
        title="Bundles",
        caption=one_line(caption),
        header=["Data", "Method", "Dataset", *(one_line(bundle.name) for bundle in bundles), "Seeds"],
        rows=[list(map(one_line, row)) for row in rows],
        align="lll" + "r" * len(bundles) + "l",
        notes=[one_line(note) for note in (*notes, *_notes_on_runs(bundles))],
    )


def _with(bundles: Sequence[Opened], key: Cell) -> list[Opened]:
    return [bundle for bundle in bundles if key in bundle.f1s]


def _notes_on_runs(bundles: Sequence[Opened]) -> Iterator[str]:
    """What is not the same in runs that several bundles have, and which runs only one has."""
    times = Counter(run for bundle in bundles for run in bundle.facts)
    common = [run for run in times if times[run] > 1]
    changes = list(_changes(bundles, common))
    yield from (f"Not the same ({' | '.join(bundle.name for bundle in bundles)}): {change}" for change in changes)
    if not common:
        yield "No run is in common, so that settings, data, versions and processors were not compared."
    elif not changes:
        yield f"Settings, data, versions and processors of the {counted(len(common), 'run')} in common are the same."
    for bundle in bundles:
        alone: dict[PurePosixPath, list[str]] = {}
        for run in map(PurePosixPath, (run for run in bundle.facts if times[run] == 1)):
            alone.setdefault(run.relative_to(RUNS).parent, []).append(run.name)
        if alone:
            listed = "; ".join(f"{place} ({', '.join(names)})" for place, names in alone.items())
            yield f"Runs of {bundle.name} alone, which were not compared: {listed}."


def _changes(bundles: Sequence[Opened], runs: Iterable[str]) -> Iterator[str]:
    """The settings, versions and processors that are not the same in runs that several bundles have, with the number of runs."""
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for run in runs:
        facts = [bundle.facts.get(run) for bundle in bundles]
        known = [own for own in facts if own is not None]
        for key in dict.fromkeys(key for own in known for key in own):
            if len({own.get(key) for own in known}) > 1:
                values = tuple("" if own is None else own.get(key, "none") for own in facts)
                found[key, values] += 1
    for (key, values), count in found.items():
        yield f"{key}: {' | '.join(values)} ({counted(count, 'run')})"

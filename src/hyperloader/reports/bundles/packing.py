"""`hyperloader bundle`: the results of a scale as one archive, which `hyperloader verify` checks without training (docs/exchange.md)."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
from pydantic import NonNegativeInt, field_validator

from hyperloader import __version__
from hyperloader.config.records import Record, RecordPart
from hyperloader.config.settings import Name
from hyperloader.corpora.fetching.manifests import GENERATED
from hyperloader.corpora.prepared import MANIFEST, load_corpus, read_prepared_manifest
from hyperloader.corpora.registry import get_corpus
from hyperloader.errors import RunError, UserError
from hyperloader.files import as_json, read_rows, reading, there
from hyperloader.planning.plan import scale_of
from hyperloader.reports.bundles.archive import name_fault, track, write_archive
from hyperloader.reports.tables.scores import TIDY, Scores
from hyperloader.runs.predictions import with_numbers_for_words
from hyperloader.runs.records import Score, ScoresRecord
from hyperloader.runs.run import Run
from hyperloader.scoring import known_of_test
from hyperloader.scoring.signatures import data_of

TABLES = ("table2", "table3", "table4", "scores", "comparisons", "claims", "parameters")
PUBLISHED = ("table3.csv", "table4.csv", "methods.csv", "claims.csv")
PACKAGES = ("numpy", "seqeval")
RUNS = "runs"
INCOMPLETE = "make the results of this scale again by the workflow (README)"


class BundledCorpus(RecordPart):
    """A corpus of a bundle.

    Attributes:
        title, licence, citation, homepage: as in its `corpus.yaml`.
        test_set: checksum of its test set, as in signatures.
        words: whether the words of its sentences are in the bundle; numbers stand for them otherwise.
        seen: the places of the test sentences that are in the training set, by the folder of its draw (`draw_of`), where they are known.
        nested: gold slots of the test set that are left out since they lie inside others.
    """

    title: str
    licence: str
    citation: str
    homepage: str
    test_set: str
    words: bool
    seen: dict[str, list[NonNegativeInt]]
    nested: NonNegativeInt


class Bundle(Record):
    """`bundle.json`, the first file to read of a bundle.

    Attributes:
        NAME: of the file.
        scale: of the results.
        versions: of what computed the numbers.
        corpora: what may be done with them, and whether their words are here.
        runs: their folders, in the order of `scores.csv`.
        files: SHA-256 of every other file.
    """

    WHAT, REMEDY = "the manifest of a bundle", "have its owner make it again"
    VERSION = 2
    NAME: ClassVar[str] = "bundle.json"

    scale: Name
    versions: dict[str, str]
    corpora: dict[Name, BundledCorpus]
    runs: list[str]
    files: dict[str, str]

    @field_validator("runs", "files")
    @classmethod
    def _check_names(cls, names: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        for name in names:
            if fault := name_fault(name):
                raise ValueError(f"has {fault}")
        return names

    @field_validator("runs")
    @classmethod
    def _check_runs(cls, runs: list[str]) -> list[str]:
        times = Counter(runs)
        for run in runs:
            around = {str(folder) for folder in PurePosixPath(run).parents}
            if RUNS not in around or times[run] > 1 or around & times.keys():
                raise ValueError(f"{run!r} is no folder of its own in {RUNS}/")
        return runs


def versions() -> dict[str, str]:
    """Of what turns predictions into numbers here."""
    return {"hyperloader": __version__, "python": ".".join(map(str, sys.version_info[:3]))} | {name: version(name) for name in PACKAGES}


def draw_of(run: Run, corpus: str) -> str:
    """The name of the folder of a run's prepared corpora: one for each draw of held-out validation sets, and so of training sets."""
    return Path(run.settings.data.get(corpus, "")).parent.name or "data"


def write_bundle(results: str | Path, published: str | Path, output: str | Path) -> Bundle:
    """Pack the results of a scale: its tables, and of every run in `scores.csv` all but the weights.

    Args:
        results: their folder, `results/<scale>`; or that of a part's tables, `results/<scale>@<name>`, which come of the runs of the scale.
        published: folder of the paper's numbers.
        output: the archive.

    Raises:
        UserError: something is missing or damaged.
    """
    tables, published = Path(results), Path(published)
    results = Path(os.path.abspath(tables))
    results = results.with_name(scale_of(results.name)) if "@" in results.name else tables
    runs = _runs(tables / "scores.csv", results / RUNS)
    headlines = {name: entry.headline for scores in runs.values() for name, entry in scores.corpora.items()}
    draws = {(draw_of(run, name), name): run.data[name] for run, scores in runs.items() for name in scores.corpora if name in run.data}
    # those of the results, wherever they have been moved to, come before what the runs' settings say
    draws |= {(draw, name): results / draw / name for draw, name in draws if there(results / draw / name)}
    corpora = {
        name: _corpus(name, {draw: folder for (draw, own), folder in draws.items() if own == name}, headline)
        for name, headline in headlines.items()
    }
    places = {run: run.folder.relative_to(results).as_posix() for run in runs}
    files = {f"{name}.{kind}": tables / f"{name}.{kind}" for name in TABLES for kind in ("csv", "md")}
    # table 2 is made of the first draw, whatever the runs were trained on
    folders = {("data", name): results / "data" / name for name in corpora} | draws
    files |= {f"{draw}/{name}/{MANIFEST}": folder / MANIFEST for (draw, name), folder in folders.items()}
    for kind in sorted({Path(run.settings.backbone).name for run in runs if run.settings.backbone}):
        files |= {f"backbones/{kind}/{name}": results / "backbones" / kind / name for name in (Run.SETTINGS, MANIFEST)}
    files = {name: file for name, file in files.items() if there(file)}
    files |= {f"published/{name}": published / name for name in PUBLISHED}
    without_words = set()
    for run, scores in runs.items():
        own = [run.folder / name for name in (Run.SETTINGS, Run.RECORD, Run.PREDICTIONS, Run.SCORES)]
        own += [place for name in scores.corpora for place in (run.predictions_of(name), run.counts_of(name))]
        files |= {f"{places[run]}/{file.relative_to(run.folder).as_posix()}": file for file in own}
        without_words |= {run.predictions_of(name) for name in scores.corpora if not corpora[name].words}
    checksums: dict[str, str] = {}
    bundle = Bundle(
        scale=next(iter(runs.values())).scale,
        versions=versions(),
        corpora=corpora,
        runs=list(places.values()),
        files=checksums,
    )

    def contents() -> Iterator[tuple[str, bytes]]:
        for name, file in track(sorted(files.items()), "packing"):
            with reading(file, remedy=INCOMPLETE, error=RunError):
                content = file.read_bytes()
            content = with_numbers_for_words(content, file) if file in without_words else content
            checksums[name] = hashlib.sha256(content).hexdigest()
            yield name, content
        yield Bundle.NAME, as_json(bundle.model_copy(update={"files": checksums}).content()).encode()

    write_archive(output, contents())
    return bundle.model_copy(update={"files": checksums})


def _runs(table: Path, folder: Path) -> dict[Run, ScoresRecord]:
    """The scored runs in a folder that `scores.csv` is made of, in its order.

    Raises:
        RunError: a row of it comes of no run that is there.
    """
    rows = [tuple(row[column] for column in TIDY) for row in read_rows(table, TIDY, remedy=INCOMPLETE)]
    left, found = {row: line for line, row in enumerate(rows, 2)}, {}
    for file in sorted(folder.rglob(Run.SCORES)):
        with suppress(UserError):  # of another time; a row that it should have made is told below
            own = {tuple(map(str, row)) for row in Scores.read([file]).rows}
            if own and own <= left.keys():
                found[min(left.pop(row) for row in own)] = Run(file.parent)
    if left or not found:
        raise RunError(f"comes of no run in {folder}", file=table, line=min(left.values(), default=1), remedy=INCOMPLETE)
    return {run: run.scores() for _, run in sorted(found.items())}


def _corpus(name: str, draws: Mapping[str, Path], headline: Score) -> BundledCorpus:
    corpus, prepared = get_corpus(name), {draw: folder for draw, folder in draws.items() if there(folder / MANIFEST)}
    sources = [source for folder in prepared.values() for source in read_prepared_manifest(folder).sources]
    generated = bool(prepared) and all(source["provenance"] == GENERATED for source in sources)
    about = {key: getattr(corpus, key) for key in ("title", "licence", "citation", "homepage")}
    if generated:
        about |= {"licence": "generated", "citation": "", "homepage": ""}
    known = {draw: known_of_test(load_corpus(folder)) for draw, folder in prepared.items()}
    return BundledCorpus(
        **about,
        test_set=data_of(headline.signature),
        words=generated or corpus.redistributable,
        seen={draw: np.flatnonzero(~own.unseen).tolist() for draw, own in known.items()},
        nested=max((own.nested for own in known.values()), default=0),
    )

"""`hyperloader bundle`: the results of a scale as one archive, which `hyperloader verify` checks without training (docs/exchange.md)."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from pydantic import NonNegativeInt, ValidationInfo, field_validator

from hyperloader import __version__
from hyperloader.config.places import PUBLISHED_REMEDY, near
from hyperloader.config.records import Record, RecordPart
from hyperloader.config.settings import Ablations, Name, read_yaml
from hyperloader.corpora.fetching.manifests import GENERATED
from hyperloader.corpora.prepared import MANIFEST, load_corpus, read_prepared_manifest
from hyperloader.corpora.registry import get_corpus, known_corpora
from hyperloader.errors import RunError, UserError
from hyperloader.files import as_json, read_rows, readable, reading, there
from hyperloader.planning.plan import ABLATIONS, PlannedRun, scale_of
from hyperloader.reports.bundles.archive import name_fault, track, write_archive
from hyperloader.reports.tables.scores import TIDY, Scores
from hyperloader.runs.predictions import with_numbers_for_words
from hyperloader.runs.records import Score, ScoresRecord
from hyperloader.runs.run import Run
from hyperloader.scoring import known_of_test
from hyperloader.scoring.signatures import data_of

TABLES = ("table2", "table3", "table4", "scores", "comparisons", "claims", "ablations", "endpoints", "parameters", "tuning")
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
        runs: the folders of those in `scores.csv`, in its order.
        ablations: the folders of those in `ablations.csv`, which may be others.
        files: SHA-256 of every other file.
    """

    WHAT, REMEDY = "the manifest of a bundle", "have its owner make it again"
    VERSION = 2
    NAME: ClassVar[str] = "bundle.json"

    scale: Name
    versions: dict[str, str]
    corpora: dict[Name, BundledCorpus]
    runs: list[str]
    ablations: list[str] = []
    files: dict[str, str]

    @property
    def all_runs(self) -> list[str]:
        """Of all tables, each once."""
        return list(dict.fromkeys((*self.runs, *self.ablations)))

    @field_validator("runs", "ablations", "files")
    @classmethod
    def _check_names(cls, names: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        for name in names:
            if fault := name_fault(name):
                raise ValueError(f"has {fault}")
        return names

    @field_validator("runs", "ablations")
    @classmethod
    def _check_runs(cls, runs: list[str], info: ValidationInfo) -> list[str]:
        times = Counter(runs)
        every = times.keys() | {*info.data.get("runs", [])}
        for run in every:
            around = {str(folder) for folder in PurePosixPath(run).parents}
            if RUNS not in around or times[run] > 1 or around & every:
                raise ValueError(f"{run!r} is no folder of its own in {RUNS}/")
        return runs

    @field_validator("corpora")
    @classmethod
    def _check_titles(cls, corpora: dict[str, BundledCorpus]) -> dict[str, BundledCorpus]:
        if len({corpus.title for corpus in corpora.values()}) < len(corpora):
            raise ValueError("has two corpora of the same title")
        return corpora


def versions() -> dict[str, str]:
    """Of what turns predictions into numbers here."""
    return {"hyperloader": __version__, "python": ".".join(map(str, sys.version_info[:3]))} | {name: version(name) for name in PACKAGES}


def draw_of(run: Run, corpus: str) -> str:
    """The name of the folder of a run's prepared corpora: one for each draw of held-out validation sets, and so of training sets."""
    return Path(run.settings.data.get(corpus, "")).parent.name or "data"


def terms_of(name: str, prepared: Iterable[Path]) -> dict[str, Any]:
    """What a bundle says of a corpus that its `corpus.yaml` and the manifests of its draws decide."""
    corpus, sources = get_corpus(name), [source for folder in prepared for source in read_prepared_manifest(folder).sources]
    if sources and all(source["provenance"] == GENERATED for source in sources):
        return {"title": corpus.title, "licence": "generated", "citation": "", "homepage": "", "words": True}
    return {key: getattr(corpus, key) for key in ("title", "licence", "citation", "homepage")} | {"words": corpus.redistributable}


def write_bundle(results: str | Path, published: str | Path, output: str | Path) -> Bundle:
    """Pack the results of a scale: its tables, and of every run in `scores.csv` and `ablations.csv` all but the weights.

    Args:
        results: their folder, `results/<scale>`; or that of a part's tables, `results/<scale>@<name>`, which come of the runs of the scale.
        published: folder of the paper's numbers.
        output: the archive.

    Raises:
        UserError: something is missing or damaged.
    """
    tables, published = Path(results), Path(published)
    for name in PUBLISHED:
        readable(published / name, remedy=PUBLISHED_REMEDY, error=RunError)
    results = Path(os.path.abspath(tables))
    results = results.with_name(scale_of(results.name)) if "@" in results.name else tables
    runs = of_scores = _runs(tables / "scores.csv", results / RUNS)
    of_ablations, study = {}, {}
    if there(table := tables / "ablations.csv"):
        study = {ABLATIONS: near(Path("config", ABLATIONS), tables)}
        of_ablations = _runs_of_ablations(table, study[ABLATIONS], of_scores, results / RUNS)
        runs = of_scores | of_ablations
    headlines = {name: entry.headline for scores in runs.values() for name, entry in scores.corpora.items()}
    draws = {(draw_of(run, name), name): run.data[name] for run, scores in runs.items() for name in scores.corpora if name in run.data}
    # those of the results, wherever they have been moved to, come before what the runs' settings say
    draws |= {(draw, name): results / draw / name for draw, name in draws if there(results / draw / name)}
    corpora = {
        name: _corpus(name, {draw: folder for (draw, own), folder in draws.items() if own == name}, headline)
        for name, headline in headlines.items()
    }
    places = {run: run.folder.relative_to(results).as_posix() for run in runs}
    # the endpoints are of runs of the study
    named = [name for name in TABLES if name != "endpoints" or of_ablations]
    files = {f"{name}.{kind}": tables / f"{name}.{kind}" for name in named for kind in ("csv", "md")}
    # table 2 is made of the first draw, whatever the runs were trained on
    folders = {("data", name): results / "data" / name for name in corpora} | draws
    files |= {f"{draw}/{name}/{MANIFEST}": folder / MANIFEST for (draw, name), folder in folders.items()}
    for kind in sorted({Path(run.settings.backbone).name for run in runs if run.settings.backbone}):
        files |= {f"backbones/{kind}/{name}": results / "backbones" / kind / name for name in (Run.SETTINGS, MANIFEST)}
    files = {name: file for name, file in files.items() if there(file)} | study
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
        runs=[places[run] for run in of_scores],
        ablations=[places[run] for run in of_ablations],
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
    remedy = f"have the workflow make it of the same configuration as the other tables: snakemake --cores 2 -- {table}"
    rows = [tuple(row[column] for column in TIDY) for row in read_rows(table, TIDY, remedy=remedy)]
    left, found = {row: line for line, row in enumerate(rows, 2)}, {}
    for file in sorted(folder.rglob(Run.SCORES)):
        with suppress(UserError):  # of another time; a row that it should have made is told below
            own = {tuple(map(str, row)) for row in Scores.read([file]).rows}
            if own and own <= left.keys():
                found[min(left.pop(row) for row in own)] = Run(file.parent)
    if left or not found:
        raise RunError(f"comes of no run in {folder}", file=table, line=min(left.values(), default=1), remedy=INCOMPLETE)
    return {run: run.scores() for _, run in sorted(found.items())}


def _runs_of_ablations(table: Path, study: Path, scored: Mapping[Run, ScoresRecord], folder: Path) -> dict[Run, ScoresRecord]:
    """The runs that `ablations.csv` is made of: for each row and seed that on all corpora of `scores.csv`, or one run for each.

    Args:
        table: its path.
        study: what it answers.
        scored: the runs of `scores.csv`.
        folder: of all runs.

    Raises:
        UserError: a run is not there, or the table is not that of the study.
    """
    remedy = f"have the workflow make it again: snakemake --cores 2 -- {table}; or move it away to pack the other tables alone"
    readable(study, remedy=f"what {table} answers stands in config/{ABLATIONS} of a folder around it", error=RunError)
    asked = {
        (question.question, name, f"{percent:g}")
        for question, percent in read_yaml(Ablations, study).asked()
        for name in (question.against, *question.methods)
    }
    corpora = tuple(name for name in known_corpora() if any(name in scores.corpora for scores in scored.values()))
    together = PlannedRun("", "", "", corpora, 100, 0).tasks
    # where seeds have draws of the data of their own, the folder says it
    amounts = {(f"{run.settings.percent:g}", str(run.settings.seed)): run.folder.parent.name for run in scored}
    found: dict[Path, Run] = {}
    for line, row in enumerate(read_rows(table, ("recipe", "percent", "question", "method", "seeds")), 2):
        if (row["question"], row["method"], row["percent"]) not in asked:
            raise RunError(f"answers what {study} does not ask", file=table, line=line, remedy=remedy)
        for seed in row["seeds"].split():
            amount, method = amounts.get((row["percent"], seed), row["percent"]), folder / row["recipe"] / row["method"]
            whole, *parts = (Run(method / tasks / amount / f"seed{seed}") for tasks in (together, *corpora))
            own = [whole] if whole.has(Run.SCORES) else parts
            if missing := [run for run in own if not run.has(Run.SCORES)]:
                raise RunError(f"comes of a run that is not there, {whole} or {missing[0]}", file=table, line=line, remedy=remedy)
            found |= {run.folder: run for run in own}
    known = {run.folder: run for run in scored}
    return {known.get(place, run): run.scores() for place, run in found.items()}


def _corpus(name: str, draws: Mapping[str, Path], headline: Score) -> BundledCorpus:
    prepared = {draw: folder for draw, folder in draws.items() if there(folder / MANIFEST)}
    known = {draw: known_of_test(load_corpus(folder)) for draw, folder in prepared.items()}
    return BundledCorpus(
        **terms_of(name, prepared.values()),
        test_set=data_of(headline.signature),
        seen={draw: np.flatnonzero(~own.unseen).tolist() for draw, own in known.items()},
        nested=max((own.nested for own in known.values()), default=0),
    )

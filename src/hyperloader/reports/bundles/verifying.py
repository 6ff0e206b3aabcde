"""`hyperloader verify`: every number of a bundle's tables again from its predictions, and what differs from the bundle's own."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import zip_longest
from math import isclose
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from hyperloader.corpora.prepared import MANIFEST, load_corpus
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import RunError, UserError, one_line
from hyperloader.files import read_rows, reading, sha256, there, write_bytes
from hyperloader.planning.plan import ABLATIONS
from hyperloader.reports.bundles.archive import NO_BUNDLE, Archive, counted, open_archive, track
from hyperloader.reports.bundles.packing import PUBLISHED, RUNS, Bundle, draw_of, terms_of, versions
from hyperloader.reports.tables.ablations import write_ablations
from hyperloader.reports.tables.claims import write_claims
from hyperloader.reports.tables.endpoints import write_endpoints
from hyperloader.reports.tables.results import write_table
from hyperloader.reports.tables.scores import write_scores
from hyperloader.reports.tables.table2 import table2, write_table2
from hyperloader.runs.predictions import parse_predictions, with_numbers_for_words, with_words
from hyperloader.runs.run import Run
from hyperloader.scoring import KnownOfTest, known_of_test, score_run
from hyperloader.scoring.signatures import data_of
from hyperloader.text.sentences import Sentence

TOLERANCE = 1e-9
# fields of signatures that say which versions computed, not what
OF_VERSIONS = re.compile(r"\|seqeval:[^|\s\"]*\|hyperloader:[^|,\s\"]*")

# manifests of corpora and backbones
OF_INPUTS = re.compile(r"[^/]+/[^/]+/(manifest|settings)\.json")


class Difference(NamedTuple):
    """What is wrong with a file of a bundle."""

    file: str
    what: str

    def __str__(self) -> str:
        return one_line(f"{self.file}: {self.what}")


class Verified(NamedTuple):
    """What `verify` found.

    Attributes:
        bundle: the manifest.
        found: all that differs.
        again: files of tables that were made again; whether they are the same, `found` says.
        unchecked: files that nothing is made again of, nor were they.
    """

    bundle: Bundle
    found: list[Difference]
    again: list[str]
    unchecked: list[str]


def read_bundle(archive: Archive) -> Bundle:
    """The manifest of a bundle.

    Raises:
        RunError: there is none, or it is none.
    """
    if Bundle.NAME not in archive.names:
        raise RunError(f"is no bundle: there is no {Bundle.NAME} in it", file=archive.path, remedy=NO_BUNDLE)
    path, content = archive.path / Bundle.NAME, archive.read(Bundle.NAME)
    try:
        value = json.loads(content)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RunError(f"not valid JSON ({error})", file=path, remedy=Bundle.REMEDY) from None
    return Bundle.checked(value, path)


def unpack(archive: Archive, bundle: Bundle, folder: Path) -> Iterator[Difference]:
    """Write the files of a bundle to a folder; yields those that are missing, not listed, or other ones than were packed."""
    for name in sorted(archive.names - {*bundle.files, Bundle.NAME}):
        yield Difference(name, f"is not listed in {Bundle.NAME}")
    for name, checksum in track(sorted(bundle.files.items()), "unpacking"):
        if name not in archive.names:
            yield Difference(name, "is missing")
        elif archive.extract(name, folder) != checksum:
            yield Difference(name, f"has another SHA-256 than in {Bundle.NAME}")


def verify(path: str | Path, data: str | Path | None = None) -> Verified:
    """Compute every number of a bundle's tables again, from its predictions.

    Args:
        path: of the bundle.
        data: folder of prepared corpora, `results/<scale>/data`; its test sets must be those of the bundle, and words that the bundle
            lacks are taken from it.

    Raises:
        UserError: it is no bundle, or `data` lacks a corpus.
    """
    with open_archive(path) as archive, TemporaryDirectory(prefix="hyperloader-") as temporary:
        bundle = read_bundle(archive)
        prepared = {name: load_corpus(Path(data) / name) for name in bundle.corpora} if data is not None else {}
        test_sets = None if data is None else {name: corpus.test for name, corpus in prepared.items()}
        found = list(unpack(archive, bundle, Path(temporary, "packed")))
        for name in prepared:
            known, ours = bundle.corpora[name], known_of_test(prepared[name])
            if np.flatnonzero(~ours.unseen).tolist() not in known.seen.values() or known.nested != ours.nested:
                found.append(Difference(Bundle.NAME, f"corpora.{name} has other seen or nested ones than the prepared corpus"))
        again = Again(bundle, Path(temporary), test_sets)
        for run in track(bundle.all_runs, "scoring"):
            found += again.run(run)
        found += again.corpora()
        found += again.tables()
    return Verified(bundle, found, again.made_again(), again.unchecked())


class Again:
    """The numbers of a bundle, made again beside its own.

    Args:
        bundle: its manifest.
        folder: with its files in `packed/`.
        test_sets: of its corpora, by name, where they are there.
    """

    def __init__(self, bundle: Bundle, folder: Path, test_sets: dict[str, list[Sentence]] | None):
        self.bundle, self.test_sets = bundle, test_sets
        self.packed, self.made = folder / "packed", folder / "made"
        self.made.mkdir()
        self.scored: dict[str, Path] = {}
        # files of the bundle that were made again, and the predictions that they were made of
        self.checked: set[str] = set()
        # of test sets whose words are not there: their checksum with numbers for words, and with words
        self.checksums: dict[str, str] = {}

    def run(self, place: str) -> Iterator[Difference]:
        """Score a run again; yields what differs in its folder."""
        if f"{place}/{Run.SETTINGS}" not in self.bundle.files or not (self.packed / place / Run.SETTINGS).is_file():
            yield Difference(place, f"has no {Run.SETTINGS}")
            return
        old, new = Run(self.packed / place), Run(self.made / place)
        new.folder.mkdir(parents=True)
        shutil.copyfile(old.folder / Run.SETTINGS, new.folder / Run.SETTINGS)
        # numbers of parameters and seconds of training are in some tables
        if (old.folder / Run.RECORD).is_file():
            shutil.copyfile(old.folder / Run.RECORD, new.folder / Run.RECORD)
        try:
            if new.settings.scale != self.bundle.scale:
                yield Difference(f"{place}/{Run.SETTINGS}", f"is of scale {new.settings.scale}, and {Bundle.NAME} of {self.bundle.scale}")
            manifest = old.predictions()
            entries = {}
            for name, entry in manifest.corpora.items():
                yield from self._predictions(name, entry.sha256, old.predictions_of(name), new.predictions_of(name))
                entries[name] = entry.model_copy(update={"sha256": sha256(new.predictions_of(name))})
            manifest.model_copy(update={"corpora": entries}).write(new.folder / Run.PREDICTIONS)
            score_run(new.folder, {name: self._known(name, draw_of(new, name), entry.sentences) for name, entry in entries.items()})
            for name, entry in new.scores().corpora.items():
                known = self.bundle.corpora.get(name)
                if known and not known.words and self.test_sets is None:
                    self.checksums[data_of(entry.headline.signature)] = known.test_set
        except UserError as error:
            yield self._told(error, place)
            return
        self.scored[place] = new.folder
        for file in (new.folder / Run.SCORES, *map(new.counts_of, manifest.corpora)):
            yield from self._compared(file)

    def corpora(self) -> Iterator[Difference]:
        """What is said of corpora and their terms that is not what their manifests and the `corpus.yaml` of this place say."""
        for name in filter(known_corpora().__contains__, self.bundle.corpora):
            try:
                terms = terms_of(name, [file.parent for file in self.packed.glob(f"*/{name}/{MANIFEST}")])
            except UserError as error:
                yield self._told(error, name)
                continue
            own = {key: getattr(self.bundle.corpora[name], key) for key in terms}
            for key in (key for key in terms if own[key] != terms[key]):
                yield Difference(Bundle.NAME, f"corpora.{name}.{key} is {own[key]!r}, here {terms[key]!r}")

    def tables(self) -> Iterator[Difference]:
        """Make the tables again; yields what differs in them, and runs that are in none."""
        packed = (PurePosixPath(name) for name in self.bundle.files)
        others = {str(file.parent) for file in packed if file.name == Run.SETTINGS and file.parts[0] == RUNS} - {*self.bundle.all_runs}
        yield from (Difference(place, f"is not among the runs of {Bundle.NAME}") for place in sorted(others))
        published, manifests = self.packed / "published", sorted(self.packed.glob(f"data/*/{MANIFEST}"))
        scores = [self.scored[run] / Run.SCORES for run in self.bundle.runs if run in self.scored]
        compared = [self.scored[run] for run in self.bundle.ablations if run in self.scored]
        csvs = {name: self.made / f"{name}.csv" for name in ("table2", "scores", "table3", "table4", "ablations", "endpoints")}
        steps: dict[tuple[str, ...], Callable[[], Any]] = {
            ("table2",): lambda: write_table2(table2(manifests), csvs["table2"]),
            ("scores",): lambda: write_scores(scores, csvs["scores"]),
            ("table3",): lambda: write_table(3, scores, published / "table3.csv", csvs["table3"]),
            ("table4",): lambda: write_table(4, scores, published / "table4.csv", csvs["table4"]),
            ("claims", "comparisons"): lambda: write_claims(scores, self.packed / "parameters.csv", published, self._bearing(), self.made),
            ("ablations",): lambda: write_ablations(compared, self.packed / ABLATIONS, csvs["ablations"]),
            ("endpoints",): lambda: write_endpoints([run / Run.SCORES for run in self.scored.values()], csvs["endpoints"]),
        }
        files = [PurePosixPath(name) for name in sorted(self.bundle.files) if "/" not in name and name != ABLATIONS]
        for names, make in track(list(steps.items()), "making tables"):
            if any(file.stem in names for file in files):
                try:
                    make()
                except UserError as error:
                    yield self._told(error, f"{names[0]}.csv")
        if "scores.csv" not in self.bundle.files:
            yield Difference("scores.csv", "is missing")
        for file in files:
            if (csv_file := f"{file.stem}.csv") not in self.bundle.files:
                yield Difference(str(file), f"there is no {csv_file}, by which it could be checked")
            if (self.made / file).is_file():
                yield from self._compared(self.made / file)

    def made_again(self) -> list[str]:
        """The files of tables that were made again."""
        return sorted(name for name in self.checked if "/" not in name)

    def unchecked(self) -> list[str]:
        """The files that were neither made again nor is anything made again of them."""
        inputs = {ABLATIONS, *(f"published/{name}" for name in PUBLISHED)}
        inputs |= {f"{run}/{name}" for run in self.bundle.all_runs for name in (Run.SETTINGS, Run.RECORD, Run.PREDICTIONS)}
        return [name for name in sorted(self.bundle.files.keys() - inputs - self.checked) if not OF_INPUTS.fullmatch(name)]

    def _bearing(self) -> str:
        table = self.packed / "claims.csv"
        rows = read_rows(table, ["bearing"]) if there(table) else []
        return rows[0]["bearing"] if rows else ""

    def _known(self, name: str, draw: str, sentences: int) -> KnownOfTest:
        known = self.bundle.corpora.get(name)
        if known is None or draw not in known.seen:
            return KnownOfTest(None, known.nested if known else 0)
        unseen = np.ones(sentences, dtype=bool)
        unseen[[place for place in known.seen[draw] if place < sentences]] = False
        return KnownOfTest(unseen, known.nested)

    def _predictions(self, name: str, recorded: str, old: Path, new: Path) -> Iterator[Difference]:
        """Have a file of predictions to score, with the words of the test set where those are there."""
        place, known = old.relative_to(self.packed).as_posix(), self.bundle.corpora.get(name)
        self.checked.add(place)
        with reading(old, error=RunError):
            content = old.read_bytes()
        if known is None:
            yield Difference(place, f"is of a corpus that {Bundle.NAME} does not name")
        elif self.test_sets is not None:
            test_set, packed = self.test_sets[name], content
            line = _other_line(content, old, [tuple(sentence.tags) for sentence in test_set])
            if line:
                yield Difference(place, f"line {line} has other gold tags than the test set")
            else:
                content = with_words(content, old, lambda number: test_set[number].words)
                if packed != (content if known.words else with_numbers_for_words(content, old)):
                    yield Difference(place, "has other words than the test set")
        if known is None or known.words or self.test_sets is not None:
            if hashlib.sha256(content).hexdigest() != recorded:
                yield Difference(place, f"has another SHA-256 than in {Run.PREDICTIONS}")
        write_bytes(new, content)

    def _compared(self, made: Path) -> Iterator[Difference]:
        name = made.relative_to(self.made).as_posix()
        if name not in self.bundle.files:
            yield Difference(name, f"is not in {Bundle.NAME}")
        elif (self.packed / name).is_file():
            self.checked.add(name)
            try:
                found = list(differences(self.packed / name, made, self._unversioned))
            except (ValueError, RecursionError, csv.Error) as error:
                found = [f"cannot be read ({error})"]
            if found:
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                yield Difference(name, found[0] + more)

    def _unversioned(self, text: str) -> str:
        """A text whose signatures name no versions, and test sets by their words."""
        text = OF_VERSIONS.sub("", text)
        return re.sub(r"data:([0-9a-f]{8})", lambda match: f"data:{self.checksums.get(match[1], match[1])}", text)

    def _told(self, error: UserError, name: str) -> Difference:
        """An error about a file of the bundle, by its name there."""
        file = Path(error.file) if error.file is not None else None
        for root in (self.packed, self.made):
            if file and file.is_relative_to(root):
                name, file = file.relative_to(root).as_posix(), None
        line = f"line {error.line}: " if error.line is not None else ""
        return Difference(name, f"{f'{file}: ' if file else ''}{line}{error.message}")


def _other_line(content: bytes, path: Path, gold: list[tuple[str, ...]]) -> int | None:
    """The first line of a file of predictions whose gold tags are not those given."""
    ours = (tuple(sentence.gold) for sentence in parse_predictions(content, path))
    return next((line for line, (own, other) in enumerate(zip_longest(ours, gold), 1) if own != other), None)


def differences(recorded: Path, made: Path, normal: Callable[[str], str] = str) -> Iterator[str]:
    """The entries in which a file differs from how it was made again: cells of a CSV file, keys of a JSON file, lines of any other."""
    old, new = (normal(path.read_text(encoding="utf-8")) for path in (recorded, made))
    if old == new:
        return
    if made.suffix == ".json":
        yield from _values(json.loads(old), json.loads(new), "")
    elif made.suffix == ".csv":
        yield from _cells(*(list(csv.reader(text.splitlines())) for text in (old, new)))
    else:
        lines = enumerate(zip_longest(old.split("\n"), new.split("\n")), 1)
        yield from (f"line {number} is not as it was made again" for number, (own, other) in lines if own != other)


def _cells(old: list[list[str]], new: list[list[str]]) -> Iterator[str]:
    header = new[0]
    for line, (own, other) in enumerate(zip_longest(old, new), 1):
        if own is None or other is None or len(own) != len(other):
            yield f"line {line} is {'missing' if own is None else 'too many' if other is None else 'not of the same columns'}"
            continue
        for column, before, after in zip(header, own, other, strict=False):
            if before != after and not (line > 1 and _close(before, after)):
                yield f"line {line}, {column}: {before!r}, made again {after!r}"


def _values(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            where = f"{place}.{key}" if place else str(key)
            if key in old and key in new:
                yield from _values(old[key], new[key], where)
            else:
                yield f"{where} is {'too many' if key in old else 'missing'}"
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (own, other) in enumerate(zip(old, new, strict=True)):
            yield from _values(own, other, f"{place}[{number}]")
    elif old != new and not _close(old, new):
        yield f"{place}: {old!r}, made again {new!r}"


def _close(old: Any, new: Any) -> bool:
    """Whether two numbers differ by no more than the rounding of sums."""
    try:
        return isclose(float(old), float(new), rel_tol=0, abs_tol=TOLERANCE)
    except (TypeError, ValueError, OverflowError):
        return False


def as_text(path: str | Path, verified: Verified) -> str:
    """What `verify` found, a line for each file and kind of difference, and what it has not looked at."""
    bundle, found, again, unchecked = verified
    lines = [str(difference) for difference in found]
    here = versions()
    other = [f"{name} {version} (here {here.get(name)})" for name, version in bundle.versions.items() if here.get(name) != version]
    if other:
        lines.append(f"computed with {', '.join(other)}: where only intervals and p-values differ, that may be why")
    about = f"{path}: {counted(len(bundle.all_runs), 'run')} of scale {bundle.scale}, {counted(len(bundle.files), 'file')}"
    numbers = [corpus.title for corpus in bundle.corpora.values() if not corpus.words]
    if numbers:
        about += f"; numbers stand for the words of {', '.join(numbers)}"
    if unchecked:
        lines.append(f"not made again, of which only the checksums were looked at: {', '.join(unchecked)}")
    if not found:
        scores = f"the scores of {counted(len(bundle.all_runs), 'run')}"
        lines.append(f"all checksums are right; made again, and the same: {', '.join([scores, *again])}")
    return "".join(f"{one_line(line)}\n" for line in (about, *lines))

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
from hyperloader.errors import RunError, UserError
from hyperloader.files import read_rows, reading, sha256, there, write_bytes
from hyperloader.reports.bundles.archive import Archive, open_archive, track
from hyperloader.reports.bundles.packing import RUNS, TABLES, Bundle, draw_of, versions
from hyperloader.reports.tables.claims import write_claims
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


class Difference(NamedTuple):
    """What is wrong with a file of a bundle."""

    file: str
    what: str

    def __str__(self) -> str:
        # one line, whatever a name from elsewhere has in it
        return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in f"{self.file}: {self.what}")


def read_bundle(archive: Archive) -> Bundle:
    """The manifest of a bundle.

    Raises:
        RunError: there is none, or it is none.
    """
    path = archive.path / Bundle.NAME
    try:
        value = json.loads(archive.read(Bundle.NAME))
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


def verify(path: str | Path, data: str | Path | None = None) -> tuple[Bundle, list[Difference]]:
    """Compute every number of a bundle's tables again, from its predictions.

    Args:
        path: of the bundle.
        data: folder of prepared corpora, `results/<scale>/data`; its test sets must be those of the bundle, and words that the bundle
            lacks are taken from it.

    Returns:
        Its manifest, and all that differs.

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
        for run in track(bundle.runs, "scoring"):
            found += again.run(run)
        found += again.tables()
    return bundle, found


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
        self.scored: list[Path] = []
        # of test sets whose words are not there: their checksum with numbers for words, and with words
        self.checksums: dict[str, str] = {}

    def run(self, place: str) -> Iterator[Difference]:
        """Score a run again; yields what differs in its folder."""
        if f"{place}/{Run.SETTINGS}" not in self.bundle.files or not there(self.packed / place / Run.SETTINGS):
            yield Difference(place, f"has no {Run.SETTINGS}")
            return
        old, new = Run(self.packed / place), Run(self.made / place)
        new.folder.mkdir(parents=True)
        shutil.copyfile(old.folder / Run.SETTINGS, new.folder / Run.SETTINGS)
        try:
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
        self.scored.append(new.folder / Run.SCORES)
        for file in (new.folder / Run.SCORES, *map(new.counts_of, manifest.corpora)):
            yield from self._compared(file)

    def tables(self) -> Iterator[Difference]:
        """Make the tables again; yields what differs in them, and runs that are in none."""
        packed = (PurePosixPath(name) for name in self.bundle.files)
        others = {str(file.parent) for file in packed if file.name == Run.SETTINGS and file.parts[0] == RUNS} - {*self.bundle.runs}
        yield from (Difference(place, f"is not among the runs of {Bundle.NAME}") for place in sorted(others))
        published, manifests = self.packed / "published", sorted(self.packed.glob(f"data/*/{MANIFEST}"))
        steps: dict[str, Callable[[], None]] = {
            "table2.csv": lambda: write_table2(table2(manifests), self.made / "table2.csv"),
            "scores.csv": lambda: write_scores(self.scored, self.made / "scores.csv"),
            "table3.csv": lambda: write_table(3, self.scored, published / "table3.csv", self.made / "table3.csv"),
            "table4.csv": lambda: write_table(4, self.scored, published / "table4.csv", self.made / "table4.csv"),
            "claims.csv": lambda: write_claims(self.scored, self.packed / "parameters.csv", published, self._bearing(), self.made),
        }
        for name, make in track(list(steps.items()), "making tables"):
            if name in self.bundle.files:
                try:
                    make()
                except UserError as error:
                    yield self._told(error, name)
        for name in (f"{table}.{kind}" for table in TABLES for kind in ("csv", "md")):
            if name in self.bundle.files and there(self.made / name):
                yield from self._compared(self.made / name)

    def _bearing(self) -> str:
        rows = read_rows(self.packed / "claims.csv", ["bearing"])
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
        elif there(self.packed / name):
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


def as_text(path: str | Path, bundle: Bundle, found: list[Difference]) -> str:
    """What `verify` found, a line for each file and kind of difference."""
    lines = [str(difference) for difference in found]
    here = versions()
    other = [f"{name} {version} (here {here.get(name)})" for name, version in bundle.versions.items() if here.get(name) != version]
    if other:
        lines.append(f"computed with {', '.join(other)}: where only intervals and p-values differ, that may be why")
    about = f"{path}: {len(bundle.runs)} runs of scale {bundle.scale}, {len(bundle.files)} files"
    numbers = [corpus.title for corpus in bundle.corpora.values() if not corpus.words]
    if numbers:
        about += f"; numbers stand for the words of {', '.join(numbers)}"
    return "\n".join([about, *lines, "" if found else "all checksums are right, and all tables are as their predictions make them\n"])

"""The results of a scale as one page: every score and what it came from, figures, and the errors behind the scores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from hyperloader.corpora.registry import get_corpus
from hyperloader.files import readable, write_text
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.methods.registry import get_method
from hyperloader.reports.outputs.confusion import confusion
from hyperloader.reports.outputs.disagreements import as_counts, as_table, disagreements, names_of
from hyperloader.reports.outputs.reading import predictions_of
from hyperloader.reports.tables.scores import called, seeds_in_words
from hyperloader.reports.tables.sheet import capitalised
from hyperloader.reports.tables.web_page import Table, contents, heading, link, page, paragraph, picture
from hyperloader.runs.run import Run

HEADER = ("Method", "Corpus", "Data", "Seed", "F1", "95 % interval", "Unseen", "Precision", "Recall", "Malformed", "Come from")
ALIGN = "llrrrrrrrrl"
FILES = {"settings": Run.SETTINGS, "training": Run.RECORD, "scores": Run.SCORES}
LOGS = ("train", "predict")
FIGURE2, SCORES, LOSSES = "F1 against trainable parameters", "Scores and where they come from", "Losses"
CONFUSED, DISAGREEMENTS = "Confused slot types", "Disagreements"
# of each corpus; all are in the output of `hyperloader disagreements`
MOST_SENTENCES = 50


def write_score_page(runs: Iterable[str | Path], output: str | Path, figures: str | Path | None = None, against: str | None = None) -> None:
    """Write the page. It needs nothing beside it; its links are relative, and lead to the files of the runs that are there.

    Args:
        runs: folders of scored runs.
        output: the HTML file.
        figures: folder of the figures to show; none without.
        against: the method whose answers are put beside HyperLoader's, where both were run on the same data with the same seed.

    Raises:
        UserError: the scores or predictions of a run are missing or damaged.
    """
    output, runs = Path(output), [Run(run) for run in runs]
    scored = {run: run.scores() for run in runs}
    largest = max((own.percent for own in scored.values()), default=0)
    trained = [run for run, own in scored.items() if own.percent == largest and get_method(own.method).trains_network]
    whole = [run for run in trained if run.has(Run.PREDICTIONS)]
    parts = [*_figure(figures, "figure2.svg", FIGURE2), *_scores(runs, output.parent), *_figure(figures, "curves.svg", LOSSES)]
    parts += [*_confused(whole), *_disagreements(whole, against)]
    titles = [name for name in (FIGURE2, SCORES, LOSSES, CONFUSED, DISAGREEMENTS) if heading(name) in parts]
    write_text(output, page("Results", contents(*titles), *parts))


def _figure(folder: str | Path | None, file: str, name: str) -> Iterator[str]:
    if folder is not None:
        yield heading(name)
        yield paragraph("Point at a mark or a line, or touch it, to read its numbers.")
        yield picture(readable(Path(folder) / file).read_text(encoding="utf-8"))


def _scores(runs: Sequence[Run], here: Path) -> Iterator[str | Table]:
    yield heading(SCORES)
    seeds = sorted({run.scores().seed for run in runs})
    yield paragraph(
        f"{capitalised(seeds_in_words(seeds)) if seeds else 'Nothing was run'}. Micro F1 of each run on each test set, with bootstrap "
        "intervals over test sentences, which say nothing about other seeds; and F1 on the test sentences that are not in the training "
        "set. Point at a score to see its signature."
    )
    yield Table(HEADER, [row for run in runs for row in _rows(run, here)], ALIGN)


def _confused(runs: Sequence[Run]) -> Iterator[str | Table]:
    """Which slot types are taken for which, summed over seeds."""
    counts: dict[tuple[str, str, str, str], list[int]] = {}
    for run in runs:
        for corpus in run.predictions().corpora:
            for found in filter(lambda own: own.wrong, confusion(predictions_of(run, corpus))):
                place = counts.setdefault((called(run.settings)[1], get_corpus(corpus).title, found.gold, found.predicted), [0, 0])
                place[:] = place[0] + found.wrong - found.other_words, place[1] + found.other_words
    yield heading(CONFUSED)
    yield paragraph(
        "Of the runs on the most data, over all seeds: gold spans that were missed or taken for something else, and spans that were "
        "predicted where there are none. A gold and a predicted span are a pair where their words are the same, or else where they overlap."
    )
    rows = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
    cells = [[*(escape(part) or "<em>nothing</em>" for part in key), *map(str, numbers), str(sum(numbers))] for key, numbers in rows]
    yield Table(("Method", "Corpus", "Gold", "Predicted", "Same words", "Other words", "In all"), cells, "llllrrr")


def _disagreements(runs: Sequence[Run], against: str | None) -> Iterator[str | Table]:
    """Where HyperLoader and another method disagree, by their first seed in common."""
    ours, theirs = (
        {run.settings.seed: run for run in reversed(runs) if called(run.settings)[0] == name} for name in (HyperLoader.name, against)
    )
    for seed in sorted(ours.keys() & theirs.keys())[:1]:
        first, second = ours[seed], theirs[seed]
        yield heading(DISAGREEMENTS)
        names = names_of(first, second)
        yield paragraph(f"First: {names[0]}. Second: {names[1]}. At most {MOST_SENTENCES} sentences of each corpus are shown.")
        corpora = [name for name in first.predictions().corpora if name in second.predictions().corpora]
        found = [disagreements(first.folder, second.folder, name) for name in corpora]
        yield f'<div class="wide">{as_counts(found)}</div>'
        yield as_table(found, MOST_SENTENCES)


def _rows(run: Run, here: Path) -> Iterator[list[str]]:
    scores = run.scores()
    title = called(scores)[1]
    for name, entry in scores.corpora.items():
        best = entry.headline
        interval = f"{best.ci_low:.4f} – {best.ci_high:.4f}"
        unseen = entry.score(subset="unseen")
        numbers = [
            f"{unseen.f1:.4f} ({entry.unseen} of {entry.sentences})" if unseen else "",
            f"{best.precision:.4f}",
            f"{best.recall:.4f}",
            f"{100 * entry.malformed:.1f} %",
        ]
        f1 = f'<span title="{escape(best.signature)}">{best.f1:.4f}</span>'
        cells = [escape(title), get_corpus(name).title, f"{scores.percent:g} %", str(scores.seed), f1, interval, *numbers]
        yield [*cells, f'<span class="links">{" ".join(_links(run, name, here))}</span>']


def _links(run: Run, corpus: str, here: Path) -> Iterator[str]:
    files = {name: run.folder / file for name, file in FILES.items()}
    files |= {"predictions": run.predictions_of(corpus)} | {f"{job} log": run.log(job) for job in LOGS}
    for name, file in files.items():
        if file.is_file():
            yield link(name, quote(os.path.relpath(file, here).replace(os.sep, "/")))

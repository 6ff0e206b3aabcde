"""A page on which every score leads to what it came from: the settings, logs and predictions of its run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from hyperloader.corpora.registry import get_corpus
from hyperloader.files import write_text
from hyperloader.reports.tables.scores import called
from hyperloader.reports.tables.web_page import link, page, paragraph, table
from hyperloader.runs.run import Run

HEADER = ("Method", "Corpus", "Data", "Seed", "F1", "95 % interval", "Precision", "Recall", "Malformed", "Come from")
ALIGN = "llrrrrrrrl"
FILES = {"settings": Run.SETTINGS, "training": Run.RECORD, "scores": Run.SCORES}
LOGS = ("train", "predict")
# shows the rows whose method, corpus, fraction and seed hold every word of the field
FILTER = """<p><input id="filter" type="search" placeholder="hyperloader atis 100" size="40" aria-label="words that a row must have"></p>"""
SCRIPT = """<script>
document.getElementById("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\\s+/);
  for (const row of document.querySelectorAll("tbody tr")) {
    const text = [...row.cells].slice(0, 4).map((cell) => cell.textContent.toLowerCase()).join(" ");
    row.hidden = !words.every((word) => text.includes(word));
  }
});
</script>"""


def write_score_page(runs: Iterable[str | Path], output: str | Path) -> None:
    """Write the page; its links are relative to it, and lead to the files that are there.

    Args:
        runs: folders of scored runs.
        output: the HTML file.

    Raises:
        UserError: the scores of a run are missing or damaged.
    """
    output = Path(output)
    rows = [row for run in runs for row in _rows(Run(run), output.parent)]
    about = "Micro F1 of each run on each test set, with bootstrap intervals over test sentences. Point at a score to see its signature."
    write_text(output, page("Scores and where they come from", paragraph(about), FILTER, table(HEADER, rows, ALIGN), SCRIPT))


def _rows(run: Run, here: Path) -> Iterator[list[str]]:
    scores = run.scores()
    title = called(scores)[1]
    for name, entry in scores.corpora.items():
        best = entry.headline
        interval = f"{best.ci_low:.4f} – {best.ci_high:.4f}"
        numbers = [f"{best.precision:.4f}", f"{best.recall:.4f}", f"{100 * entry.malformed:.1f} %"]
        f1 = f'<span title="{escape(best.signature)}">{best.f1:.4f}</span>'
        cells = [escape(title), get_corpus(name).title, f"{scores.percent:g} %", str(scores.seed), f1, interval, *numbers]
        yield [*cells, " ".join(_links(run, name, here))]


def _links(run: Run, corpus: str, here: Path) -> Iterator[str]:
    files = {name: run.folder / file for name, file in FILES.items()}
    files |= {"predictions": run.predictions_of(corpus)} | {f"{job} log": run.log(job) for job in LOGS}
    for name, file in files.items():
        if file.is_file():
            yield link(name, quote(os.path.relpath(file, here).replace(os.sep, "/")))

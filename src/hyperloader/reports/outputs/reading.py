"""The predictions of scored runs, as spans."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from hyperloader.errors import RunError
from hyperloader.runs.predictions import PredictedSentence, read_predictions
from hyperloader.runs.run import Run


def predictions_of(run: Run, corpus: str) -> Iterator[PredictedSentence]:
    """A run's predictions on a corpus.

    Raises:
        RunError: it was not predicted, or the file is damaged.
    """
    entries = run.predictions().corpora
    if corpus not in entries:
        close = get_close_matches(corpus, entries, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise RunError(f"has no predictions on '{corpus}'", file=run.folder, remedy=f"{hint}it has those on {', '.join(entries)}")
    return read_predictions(run.predictions_of(corpus), entries[corpus])

"""`hyperloader evaluate`: a run scored on any tagged text, with the scores of `scores.json` (docs/scores.md)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from hyperloader.config.settings import Decoding
from hyperloader.corpora.prepared import MANIFEST, SPLITS, PreparedCorpus, load_corpus
from hyperloader.corpora.readers.columns import read_conll
from hyperloader.errors import CorpusError
from hyperloader.files import there
from hyperloader.methods.loading import tasks_of
from hyperloader.predicting.prediction import load_predictor, long_sentences, predicted_sentences
from hyperloader.predicting.tagger import Tagger, known_task
from hyperloader.runs.predictions import write_predictions
from hyperloader.runs.records import ScoredCorpus
from hyperloader.runs.run import Run
from hyperloader.scoring import score_sentences, score_split
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import opened_inside, spans

log = logging.getLogger(__name__)


class Report(ScoredCorpus):
    """A run's scores on a corpus: which run, corpus, split (None for a file without splits) and task's labels, then the scores."""

    run: str
    corpus: str
    split: str | None
    task: str


def evaluate(
    run: str | Path,
    corpus: str,
    split: str | None = None,
    task: str | None = None,
    decoding: Decoding = "free",
    output: str | Path | None = None,
    backbone: str | Path | None = None,
    columns: str | None = None,
) -> Report:
    """Tag a corpus with a trained run and score the tags.

    Args:
        run: its folder.
        corpus: a task of the run, for the data that it was trained on; the folder of a prepared corpus; or a CoNLL file.
        split: `train`, `validation` or `test` (the default); a CoNLL file has none.
        task: whose labels to predict; not needed where the corpus is a task of the run, or a CoNLL file and the run has one task.
        decoding: `free` or `constrained`.
        output: where to keep the predictions, as JSON lines.
        backbone: see `Tagger.from_pretrained`.
        columns: of a CoNLL file, see `read_conll`.

    Returns:
        The entry that the corpus would have in `scores.json`, and what it is of.

    Raises:
        UserError: run, corpus or task are unknown or damaged; names the file and the line.
    """
    name, sentences, prepared = read_corpus(run, corpus, split, columns)
    if (known := tasks_of(run)) is not None:
        known_task(task or name, known)
    if opened := sum(opened_inside(sentence.tags) for sentence in sentences):
        log.warning("%d gold spans begin with I-, as in IOB1; they count as spans, as in the CoNLL scorer", opened)
    predictor = load_predictor(run, decoding, backbone=backbone)
    task = Tagger(predictor).task(task or name)
    _warn_of_unknown(sentences, predictor.slot_types(task))
    predicted = predicted_sentences(predictor, task, sentences)
    if output is not None:
        write_predictions(output, predicted)
    split = split or ("test" if name else None)
    entry, _ = score_split(prepared, split, predicted, decoding) if prepared and split else score_sentences(predicted, decoding)
    long_sentences(predictor, str(corpus), sentences)
    return Report(run=str(run), corpus=str(corpus), split=split, task=task, **dict(entry))


def read_corpus(
    run: str | Path, corpus: str, split: str | None, columns: str | None = None
) -> tuple[str | None, list[Sentence], PreparedCorpus | None]:
    """Name, sentences and prepared corpus of what `corpus` says, see `evaluate`; a CoNLL file has only sentences."""
    if split not in (None, *SPLITS):
        raise CorpusError(f"unknown split '{split}'", remedy=f"name one of {', '.join(SPLITS)}")
    path = Path(corpus)
    if columns is not None and (path.is_dir() or not there(path)):
        raise CorpusError("only a CoNLL file has columns", file=path, remedy="leave --columns out")
    if there(path / MANIFEST):
        prepared = load_corpus(path)
        return prepared.name, getattr(prepared, split or "test"), prepared
    if there(path) and not path.is_dir():
        if split is not None:
            raise CorpusError("a CoNLL file has no splits", file=path, remedy="leave --split out")
        return None, read_conll(path, columns), None
    data = Run(run).data
    if corpus not in data:
        close = get_close_matches(corpus, data, n=1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        remedy = f"name a task of the run ({', '.join(data)}), the folder of a prepared corpus, or a CoNLL file"
        raise CorpusError(f"no corpus '{corpus}'{hint}", remedy=remedy)
    prepared = load_corpus(data[corpus])
    return corpus, getattr(prepared, split or "test"), prepared


def _warn_of_unknown(sentences: Sequence[Sentence], known: Sequence[str] | None) -> None:
    if known is None:
        return
    unknown = Counter(slot_type for sentence in sentences for slot_type, _, _ in spans(sentence.tags) if slot_type not in known)
    if unknown:
        names = ", ".join(sorted(unknown))
        log.warning("gold spans with labels that the model does not know count as missed, here %d: %s", unknown.total(), names)


def as_text(report: Report) -> str:
    """What `evaluate` returned, as a table and the signature of its first row."""
    from tabulate import tabulate

    header = ["alignment", "gold", "mode", "labels", "sentences", "precision", "recall", "F1", "95 %", "gold spans", "predicted", "correct"]
    rows = [
        [
            *(score.alignment, score.gold, score.mode, score.labels, score.subset),
            *(f"{value:.4f}" for value in (score.precision, score.recall, score.f1)),
            f"{score.ci_low:.4f}-{score.ci_high:.4f}",
            *(score.gold_spans, score.predicted_spans, score.correct_spans),
        ]
        for score in report.scores
    ]
    text = [report.corpus, *([report.split] if report.split else []), f"labels of {report.task}"]
    in_parts = f" {report.in_parts} of them tagged in parts," if report.in_parts else ""
    about = f"{', '.join(text)}: {report.sentences} sentences,{in_parts} {report.malformed:.1%} of the outputs malformed"
    table = tabulate(rows, header, disable_numparse=True)
    return f"{about}\n\n{table}\n\nfirst row: {report.headline.signature}\n"

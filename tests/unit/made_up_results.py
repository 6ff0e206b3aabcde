"""The results of a small scale without a training: predictions made of gold tags, and all that the workflow makes of them."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from made_up_runs import PARAMETERS
from tiny_runs import write_settings

from hyperloader.corpora.prepared import load_corpus
from hyperloader.files import sha256
from hyperloader.reports.tables.claims import write_claims
from hyperloader.reports.tables.results import write_table
from hyperloader.reports.tables.scores import write_scores
from hyperloader.reports.tables.table2 import table2, write_table2
from hyperloader.runs.predictions import PredictedSentence, write_predictions
from hyperloader.runs.records import PredictedCorpus, PredictionsManifest, TrainingRecord
from hyperloader.runs.run import Run
from hyperloader.scoring import score_run

PUBLISHED = Path(__file__).parents[2] / "workflow/published"
METHODS = {"hyperloader": 0.1, "full_finetuning": 0.3}


def wrong(tags: list[str], types: list[str], share: float, draw: random.Random) -> list[str]:
    """Tags of which a share is another one."""
    return [f"B-{draw.choice(types)}" if draw.random() < share / 2 else "O" if draw.random() < share / 2 else tag for tag in tags]


def _written(words: Sequence[str]) -> str:
    """As a model that repeats a word."""
    return f"<extra_id_0> O <extra_id_1>  {words[-1]} x{words[0]} {words[-1]}"


def make_run(folder: Path, data: dict[str, Path], method: str, share: float, seed=1, percent=100, **changes) -> Run:
    """A scored run whose predictions are wrong in a share of the tags."""
    run, draw = Run(write_settings(folder, data, None, method, percent=percent, seed=seed, **changes)), random.Random(f"{method} {seed}")
    entries = {}
    for name, place in data.items():
        corpus = load_corpus(place)
        types = list(corpus.train_label_types)
        sentences = []
        for sentence in corpus.test:
            tags = wrong(list(sentence.tags), types, share, draw)
            sentences.append(
                PredictedSentence(
                    list(sentence.words), list(sentence.tags), tags, tags, [0.5] * len(tags), _written(sentence.words), False, len(tags)
                )
            )
        write_predictions(run.predictions_of(name), sentences)
        entries[name] = PredictedCorpus(sentences=len(sentences), sha256=sha256(run.predictions_of(name)))
    settings = {"scale": "test", "recipe": "test", "method": method, "data": {name: str(place) for name, place in data.items()}}
    settings |= {"percent": percent, "seed": seed, "training": {"batch_size": 4}}
    curve = [{"step": step, "loss": 1 / step, "validation_loss": 2 / step} for step in (1, 2)]
    checksums = {"backbone": None, "data": {}}
    record = {
        "settings": settings | changes,
        "parameters": {"total": 100, "trainable": 10},
        "steps": 2,
        "best_step": 2,
        "curve": curve,
        "checksums": checksums,
        "processor": "a processor",
    }
    TrainingRecord.model_validate(record | {"packages": {"torch": "2"}}).write(folder / Run.RECORD)
    PredictionsManifest(decoding="free", corpora=entries).write(folder / Run.PREDICTIONS)
    score_run(folder)
    return run


def make_results(folder: Path, data: Path, methods=METHODS, **changes) -> Path:
    """`folder`, with the runs of some methods on the corpora in `data`, and their tables."""
    shutil.copytree(data, folder / "data", ignore=shutil.ignore_patterns("tokenised"))
    places = {place.name: place for place in sorted((folder / "data").iterdir())}
    runs = [make_run(folder / f"runs/test/{method}/all/100/seed1", places, method, share, **changes) for method, share in methods.items()]
    scores = [run.folder / Run.SCORES for run in runs]
    (folder / "parameters.csv").write_text(PARAMETERS)
    write_table2(table2(places.values()), folder / "table2.csv")
    write_scores(scores, folder / "scores.csv")
    write_table(3, scores, PUBLISHED / "table3.csv", folder / "table3.csv")
    write_claims(scores, folder / "parameters.csv", PUBLISHED, "none", folder)
    return folder


def as_if_real(data: Path, target: Path) -> Path:
    """Prepared corpora that say that they were not generated."""
    shutil.copytree(data, target, ignore=shutil.ignore_patterns("tokenised"))
    for manifest in target.glob("*/manifest.json"):
        manifest.write_text(manifest.read_text().replace('"generated"', '"official"'))
    return target

"""Scored runs without a training: `scores.json` and `counts/` as `hyperloader score` writes them."""

from pathlib import Path

import numpy as np

from hyperloader.corpora.registry import known_corpora
from hyperloader.runs.records import Score, ScoredCorpus, ScoresRecord
from hyperloader.scoring.counts import SentenceCounts, write_counts

# `parameters.csv`, with the variants that claims name
PARAMETERS = """method,runs,trainable,percent,per_corpus
HyperLoader,1,600,6,1
HyperFormer,1,500,5,1
Hyperdecoder,1,1600,16,1
UniPELT-T5,7,400,4,400
UniPELT-BERT,7,900,19,900
Shared adapters + LoRA,1,600,6,1
HyperLoader (single-task),7,600,6,600
HyperFormer++ at equal budget (embedding),1,600,6,1
HyperFormer++ at equal budget (bottleneck),1,600,6,1
Generated LoRA,1,600,6,1
"""


def right(f1: float, sentences: int = 100, start: int = 0) -> np.ndarray:
    """Counts of a system that finds the one span of a share of the sentences, those from `start` on."""
    counts = np.ones((sentences, 3), dtype=int)
    counts[:, 2] = 0
    counts[(start + np.arange(round(f1 * sentences))) % sentences, 2] = 1
    return counts


def write_run(
    folder: Path, counts: dict[str, np.ndarray], method="hyperloader", percent=100.0, seed=42, align="sentinel", clusters=None, **changes
) -> Path:
    """Write the counts of each corpus and what follows from them; returns the `scores.json`."""
    entries = {}
    for name, own in counts.items():
        write_counts(
            folder / "counts" / f"{name}.csv", SentenceCounts(own, np.arange(len(own)) if clusters is None else np.asarray(clusters))
        )
        scores = [
            Score.of(
                *own.sum(0).tolist(),
                **{"alignment": way, "gold": "full", "mode": "conll"},
                **{"ci_low": 0.1, "ci_high": 0.9, "signature": f"f1:micro|align:{way}|data:{len(own)}"},
            )
            for way in (align, "order")
        ]
        entries[name] = ScoredCorpus(sentences=len(own), malformed=0.25, scores=scores, labels={})
    run = {"scale": "demo", "recipe": "paper", "decoding": "free"} | changes
    run |= {"method": method, "percent": percent, "seed": seed, "corpora": entries}
    ScoresRecord(**run).write(folder / "scores.json")
    return folder / "scores.json"


def all_corpora(f1: float, **changes) -> dict[str, np.ndarray]:
    """The same counts on all seven corpora."""
    return {name: right(f1, **changes) for name in known_corpora()}

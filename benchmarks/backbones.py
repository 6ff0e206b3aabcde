"""How good a T5 is to sit on: a method is trained on it for a short time, and tags validation sets.

By default HyperLoader at scale mini's settings, 800 steps on Restaurant, SNIPS and ATIS, and 150 sentences of each:

    snakemake --cores 2 results/mini/data/{restaurant,snips,atis}/manifest.json results/mini/backbones/t5/manifest.json
    python benchmarks/backbones.py results/mini/backbones/t5 [ANOTHER ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from hyperloader.cli.standard_streams import told_in_one_line
from hyperloader.corpora.prepared import load_corpus
from hyperloader.files import write_json
from hyperloader.methods.loading import load_predictor
from hyperloader.methods.training_run import train_run
from hyperloader.planning.plan import Plan, PlannedRun
from hyperloader.predicting.prediction import predicted_sentences
from hyperloader.runs.run import Run
from hyperloader.scoring import score_sentences

CONFIG = Path(__file__).parents[1] / "config/config.yaml"
SEED = 1


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    for backbone in options.backbones:
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            train_run(settings(options, backbone, Path(folder)))
            seconds, predictor, scores = time.process_time() - started, load_predictor(folder), {}
            for name in options.corpora:
                sentences = load_corpus(data(options, name)).validation
                chosen = np.random.default_rng(0).permutation(len(sentences))[: options.sentences]
                predicted = predicted_sentences(predictor, name, [sentences[index] for index in chosen])
                scores[name] = round(score_sentences(predicted, "free")[0].headline.f1, 4)
            loss = Run(folder).record().curve[-1]["validation_loss"]
        print(json.dumps({"backbone": backbone, "f1": scores, "validation_loss": round(loss, 4), "cpu_s": round(seconds)}), flush=True)


def data(options: argparse.Namespace, name: str) -> str:
    return str(Path(f"results/{options.scale}/data/{name}").resolve())


def settings(options: argparse.Namespace, backbone: str, folder: Path) -> str:
    """Write the settings of a run; returns its folder."""
    planned = Plan.read(CONFIG).run_settings(PlannedRun(options.scale, "matched", options.method, tuple(options.corpora), 100, SEED))
    changes = {"steps": options.steps, "evaluate_every": options.steps, "warmup_steps": 50, "learning_rate": options.rate}
    training = planned.training.model_copy(update=changes)
    places = {"data": {name: data(options, name) for name in options.corpora}, "backbone": str(Path(backbone).resolve())}
    write_json(folder / Run.SETTINGS, planned.model_copy(update=places | {"training": training}).model_dump(mode="json"))
    return str(folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+")
    parser.add_argument("--scale", default="mini")
    parser.add_argument("--method", default="hyperloader")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--corpora", nargs="+", default=["restaurant", "snips", "atis"])
    parser.add_argument("--sentences", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    with told_in_one_line():
        main()

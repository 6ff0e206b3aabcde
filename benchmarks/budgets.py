"""How many steps methods with a model for each corpus need: validation loss and F1 after several budgets, each at its configured rate.

Restaurant, ATIS and SNIPS stand for all corpora; the seed is one that is not reported. At scale demo:

    snakemake --cores 2 results/demo/data/{restaurant,atis,snips}/manifest.json results/demo/backbones/{t5,bert}/manifest.json
    python benchmarks/budgets.py unipelt_bert unipelt_t5 --steps 72 144 288 576
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean

import torch

from hyperloader.files import write_json
from hyperloader.methods.training_run import try_run
from hyperloader.planning.plan import Plan, PlannedRun
from hyperloader.runs.records import TrialRecord
from hyperloader.runs.run import Run

CONFIG = Path(__file__).parents[1] / "config/config.yaml"
CORPORA = ("restaurant", "atis", "snips")


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    plan = Plan.read(CONFIG)
    print("| method | steps | validation loss | validation F1 |\n|---|---:|---:|---:|")
    for method in options.methods:
        for steps in options.steps:
            last = [tried(plan, options.scale, method, corpus, steps) for corpus in CORPORA]
            loss, f1 = (fmean(point[key] for point in last) for key in ("validation_loss", "validation_f1"))
            print(f"| {plan.method(method, options.scale).title} | {steps} | {loss:.4f} | {f1:.4f} |", flush=True)


def tried(plan: Plan, scale: str, method: str, corpus: str, steps: int) -> dict[str, float]:
    """What the end of a training is like, on all validation sentences."""
    planned = plan.run_settings(PlannedRun(scale, plan.config.recipe, method, (corpus,), 100, plan.scale(scale).tuning.seeds[0]))
    warmup = planned.training.warmup_steps * steps // planned.training.steps
    changes = {"steps": steps, "warmup_steps": warmup, "evaluate_every": steps, "evaluation_batches": None, "selection": "best_f1"}
    places = {"data": {name: str(Path(path).resolve()) for name, path in planned.data.items()}}
    if planned.backbone:
        places["backbone"] = str(Path(planned.backbone).resolve())
    settings = planned.model_copy(update=places | {"training": planned.training.model_copy(update=changes)})
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / Run.SETTINGS, settings.model_dump(mode="json"))
        try_run(folder)
        return TrialRecord.read(Path(folder) / Run.TRIAL).curve[-1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", help="or variants, each with one model for each corpus")
    parser.add_argument("--scale", default="demo")
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()

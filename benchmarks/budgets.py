"""How many steps methods need: validation loss and F1 after several budgets, each at its configured rate.

The seed, which is not reported, and the corpora that stand for all where a method has a model for each are those of the scale's
`tuning`. At scale demo:

    snakemake --cores 2 results/demo/data/{restaurant,atis,snips}/manifest.json results/demo/backbones/{t5,bert}/manifest.json
    python benchmarks/budgets.py unipelt_bert unipelt_t5 --steps 72 144 288 576
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean

import torch

from hyperloader.cli.standard_streams import told_in_one_line
from hyperloader.files import write_json
from hyperloader.methods.training_run import try_run
from hyperloader.planning.plan import Plan, PlannedRun
from hyperloader.runs.records import TrialRecord
from hyperloader.runs.run import Run

CONFIG = Path(__file__).parents[1] / "config/config.yaml"


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    plan = Plan.read(CONFIG)
    print("| method | steps | validation loss | validation F1 |\n|---|---:|---:|---:|")
    alone = plan.scale(options.scale).tuning.single_task_corpora or plan.corpora
    for method in options.methods:
        tasks = [plan.corpora] if plan.method(method, options.scale).multitask else [(corpus,) for corpus in alone]
        for steps in options.steps:
            records = [tried(plan, options.scale, method, corpora, steps) for corpora in tasks]
            numbers = ["diverged", ""]
            if not any(record.failure for record in records):
                numbers = [f"{fmean(own.curve[-1][key] for own in records):.4f}" for key in ("validation_loss", "validation_f1")]
            print(f"| {plan.method(method, options.scale).title} | {steps} | {' | '.join(numbers)} |", flush=True)


def tried(plan: Plan, scale: str, method: str, corpora: tuple[str, ...], steps: int) -> TrialRecord:
    """What comes of a training, of which the end alone is looked at, on all validation sentences."""
    run = PlannedRun(scale, plan.config.recipe, method, corpora, 100, plan.scale(scale).tuning.seeds[0])
    settings = plan.run_settings(run, str(Path("results").resolve()))
    warmup = settings.training.warmup_steps * steps // settings.training.steps
    changes = {"steps": steps, "warmup_steps": warmup, "evaluate_every": steps, "evaluation_batches": None, "selection": "best_f1"}
    settings = settings.model_copy(update={"training": settings.training.model_copy(update=changes)})
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / Run.SETTINGS, settings.model_dump(mode="json"))
        try_run(folder)
        return TrialRecord.read(Path(folder) / Run.TRIAL)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", help="or variants")
    parser.add_argument("--scale", default="demo")
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    with told_in_one_line():
        main()

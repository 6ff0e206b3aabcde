"""Learning rates of the methods at a scale: each is tried on one seed that is not reported, and the best validation loss decides.

Every method gets the same rates at 100 % of the data. Of a single-task method some corpora stand for all; their losses are averaged.
Prepared corpora and backbones have to be there. Trials lie below `results/<scale>/tuning/` and are not repeated; their table is
`results/<scale>/tuning.csv`:

    snakemake --cores 2 results/demo/backbones/{t5,bert}/manifest.json results/demo/data/{restaurant,atis,snips}/manifest.json ...
    python benchmarks/tuning.py demo --processes 2
"""

from __future__ import annotations

import argparse
import csv
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from hyperloader.files import write_json
from hyperloader.methods.registry import get_method
from hyperloader.methods.training_run import train_run
from hyperloader.planning.plan import Plan, PlannedRun
from hyperloader.runs.run import Run

CONFIG = Path(__file__).parents[1] / "config/config.yaml"
SEED = 1


def main() -> None:
    options = arguments()
    plan = Plan.read(CONFIG, [f"seeds=[{SEED}]"])
    methods = options.methods or [name for name in plan.config.methods if get_method(name).trains_network]
    trials = [trial for method in methods for rate in options.rates for trial in folders(plan, options, method, rate)]
    # each process has a GPU or a thread of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        list(pool.map(train, trials))
    write(options, methods)


def folders(plan: Plan, options: argparse.Namespace, method: str, rate: float) -> list[str]:
    """The folders of the trials of a method at a rate, with their settings."""
    tasks = [plan.corpora] if get_method(method).multitask else [(name,) for name in options.corpora]
    made = []
    for corpora in tasks:
        planned = PlannedRun(options.scale, plan.config.recipe, method, corpora, 100, SEED)
        settings = plan.run_settings(planned)
        training = settings.training.model_copy(update={"learning_rate": rate} | ({"steps": options.steps} if options.steps else {}))
        folder = Path(f"results/{options.scale}/tuning/{method}/{rate:g}/{planned.tasks}")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / Run.SETTINGS, settings.model_copy(update={"training": training}).model_dump(mode="json"))
        made.append(str(folder))
    return made


def train(folder: str) -> None:
    if not Run(folder).has(Run.RECORD):
        try:
            train_run(folder)
        except Exception as error:  # a rate too high is a result
            print(f"{folder}: {error}", flush=True)


def write(options: argparse.Namespace, methods: list[str]) -> None:
    """The table: a row for each method and rate, the best of each method marked."""
    rows = []
    for method in methods:
        own = []
        for rate in options.rates:
            runs = [Run(path) for path in sorted(Path(f"results/{options.scale}/tuning/{method}/{rate:g}").iterdir())]
            losses = [min(point["validation_loss"] for point in run.record().curve) for run in runs if run.has(Run.RECORD)]
            own.append((sum(losses) / len(runs) if len(losses) == len(runs) else float("inf"), rate))
        rows += [[method, f"{rate:g}", f"{loss:.4f}", "best" if loss == min(own)[0] else ""] for loss, rate in own]
    path = Path(f"results/{options.scale}/tuning.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([["method", "learning_rate", "validation_loss", "chosen"], *rows])
    print(path.read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scale")
    parser.add_argument("--methods", nargs="*", help="those of config.yaml that train a network")
    parser.add_argument("--rates", nargs="*", type=float, default=[1e-3, 3e-3, 1e-2, 3e-2])
    parser.add_argument("--corpora", nargs="*", default=["restaurant", "atis", "snips"], help="of single-task methods")
    parser.add_argument("--steps", type=int, help="of a shorter trial; those of the scale")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()

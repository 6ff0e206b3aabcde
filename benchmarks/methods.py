"""Speed of each method's training at scale paper, by a few steps with random weights on one core; each line is JSON.

python benchmarks/methods.py hyperloader hyperdecoder ...

Seconds are those of the processor, so that what else the machine does matters little.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from hyperloader.cli.standard_streams import told_in_one_line
from hyperloader.methods.registry import get_method
from hyperloader.planning import trials
from hyperloader.planning.parameters import config_of
from hyperloader.planning.plan import Plan

SCALE, BATCH = "paper", 4


def main() -> None:
    torch.set_num_threads(1)
    time.perf_counter = time.process_time
    trials.STEPS, trials.WARM_UP = 3, 1
    plan = Plan.read("config/config.yaml", [f"methods={json.dumps(sys.argv[1:])}"])
    for name in sys.argv[1:]:
        settings, method = plan.run_settings(next(run for run in plan.runs(SCALE) if run.method == name)), get_method(name)
        config = config_of(plan, SCALE, method.backbone, "results", roughly=True)
        lengths = trials.TEXTS["real"].lengths[method.backbone]
        training = settings.training.model_copy(update={"batch_size": BATCH})
        trial = trials.Trial(name, settings.method_settings, config, method.backbone, lengths, list(settings.data), training)
        speed = BATCH / trial.seconds()
        print(json.dumps({"benchmark": "methods", "method": name, "sentences_per_second": round(speed, 2)}), flush=True)


if __name__ == "__main__":
    with told_in_one_line():
        main()

"""Cost of a HyperLoader training step as tasks grow from 7 to 70 and layers from 2 to 12, in one process; the last line is JSON.

python benchmarks/growth.py --plot docs/growth.svg
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.cli.standard_streams import told_in_one_line
from hyperloader.methods.registry import get_method
from hyperloader.training.loss import token_loss

D_MODEL, BATCH, LENGTH, REPEATS = 256, 32, 32, 15
TASKS, LAYERS = (7, 14, 28, 49, 70), (2, 4, 6, 8, 10, 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, help="picture to write")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tasks = interleaved([(number, 6) for number in TASKS])
    layers = interleaved([(7, number) for number in LAYERS])
    result = {
        "benchmark": "growth",
        "threads": options.threads,
        "milliseconds_by_tasks": dict(zip(TASKS, tasks, strict=True)),
        "milliseconds_by_layers": dict(zip(LAYERS, layers, strict=True)),
    }
    if options.plot:
        plot(options.plot, tasks, layers)
    print(json.dumps(result))


def interleaved(shapes: list[tuple[int, int]]) -> list[float]:
    """Median milliseconds of a step for each (tasks, layers), the shapes taking turns."""
    steps = [stepper(*shape) for shape in shapes]
    seconds: list[list[float]] = [[] for _ in shapes]
    for repeat in range(REPEATS + 1):
        for step, own in zip(steps, seconds, strict=True):
            started = time.perf_counter()
            step(repeat)
            own.append(time.perf_counter() - started)
    # the first one warms up
    return [round(1000 * statistics.median(own[1:]), 1) for own in seconds]


def stepper(tasks: int, layers: int):
    """A function that makes one optimiser step."""
    torch.manual_seed(0)
    config = T5Config(d_model=D_MODEL, d_kv=32, d_ff=4 * D_MODEL, num_layers=layers, num_heads=8, vocab_size=2000)
    method, names = get_method("hyperloader"), [f"task{number}" for number in range(tasks)]
    model = method.build(T5ForConditionalGeneration(config), dict.fromkeys(names, ()), method.settings({})).train()
    weights = list(model.trainable_state().values())
    optimizer = torch.optim.AdamW(weights, lr=3e-4, fused=True)
    ids = torch.randint(3, 2000, (BATCH, LENGTH))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": ids}

    def step(repeat: int) -> None:
        token_loss(model.states(names[repeat % tasks], **inputs), model.head(None), ids).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def plot(path: Path, tasks: list[float], layers: list[float]) -> None:
    import matplotlib

    matplotlib.use("svg" if path.suffix == ".svg" else "agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
    panels = ((TASKS, tasks, "tasks (6 layers each stack)"), (LAYERS, layers, "layers of each stack (7 tasks)"))
    for ax, (x, y, label) in zip(axes, panels, strict=True):
        ax.plot(x, y, "o-", color="#0072B2")
        ax.set(xlabel=label, ylim=(0, 1.1 * max(y)), xlim=(0, 1.05 * max(x)), xticks=x)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("milliseconds per step")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    with told_in_one_line():
        main()

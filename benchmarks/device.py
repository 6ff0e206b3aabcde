"""Training speed of HyperLoader on this machine's accelerator through the training loop itself: what each part of the fast step brings.

    python benchmarks/device.py                            # T5-base shape, batches of 32, bf16
    python benchmarks/device.py --size tiny --steps 5      # that it works, on a CPU

    plain        Transformers' layers, kernel by kernel
    fused        attention and norms in one kernel each
    graphs       fused, a step replayed as one CUDA graph
    compiled     fused, each block compiled by torch.compile
    compiled+graphs

Weights are random; the batches have the mean lengths of the seven real corpora. Prints steps per second, the share of the speed of a
large matrix product in the same precision, peak memory, and how far the losses are from those of the first arrangement; the last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.cli.standard_streams import told_in_one_line
from hyperloader.formulations.text_to_text import collate
from hyperloader.methods.registry import get_method
from hyperloader.models.fused_t5 import unfuse
from hyperloader.planning.plan import Plan
from hyperloader.text.batches import Batch, Example
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.loop import fit
from hyperloader.training.loss import token_loss

SHAPES = {
    "t5-base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "vocab_size": 32128},
    "tiny": {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 1000},
}
# mean source and target length in T5's sub-words
LENGTHS = {
    "atis": (31, 41),
    "snips": (24, 25),
    "movietrivia": (51, 45),
    "movie": (26, 27),
    "restaurant": (23, 22),
    "mtop": (19, 30),
    "mtod": (18, 21),
}
ARRANGEMENTS = ("plain", "fused", "graphs", "compiled", "compiled+graphs")
CONFIG = Path(__file__).parents[1] / "config/config.yaml"
SEED = 42
# a graph is recorded when a shape comes for the third time
WARM_UP = 4


def main() -> None:
    options = arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    ceiling = matrix_speed(device, dtype, 8192 if device.type == "cuda" else 1024)
    batches = [batch_of(task, *lengths, options.batch_size, SHAPES[options.size]["vocab_size"]) for task, lengths in LENGTHS.items()]
    operations = operations_per_step(options.size, batches)
    print(f"{device}: {ceiling / 1e12:.2f} TFLOP/s in matrix products; {operations / 1e12:.3f} TFLOP a step", flush=True)
    results, losses = {}, None
    for name in options.arrangements:
        steps, loss = train(options, batches, name)
        losses = losses or loss
        results[name] = {
            "steps_per_second": round(steps, 3),
            "share_of_matrix_speed": round(operations * steps / ceiling, 3),
            "peak_memory_gib": peak_memory_gib(device),
            "loss_apart": float(f"{abs(loss / losses - 1):.1e}"),
        }
        print(f"{name:10}", results[name], flush=True)
    summary = {"benchmark": "device", "device": name_of(device), "size": options.size, "precision": options.precision}
    print(json.dumps(summary | {"batch_size": options.batch_size, "arrangements": results}))


def train(options, batches: list[Batch], arrangement: str) -> tuple[float, float]:
    """Steps per second of the training loop after a warm-up in which every batch occurs some times, and the mean loss."""
    warm_up = WARM_UP * len(batches)
    training = Plan.read(CONFIG).recipe.training.model_copy(
        update={
            "steps": warm_up + options.steps,
            "evaluate_every": warm_up + options.steps,
            "selection": "last",
            "precision": options.precision,
            "batch_size": options.batch_size,
            "compile": arrangement.startswith("compiled"),
            "cuda_graphs": arrangement.endswith("graphs"),
        }
    )
    model = build(options.size)
    if arrangement == "plain":
        unfuse(model.backbone)
    clock = Clock(warm_up, training.steps - 1)
    with tempfile.TemporaryDirectory() as folder:
        progress = fit(model, training, clock.before(batches), checkpoints=Checkpoints(Path(folder), "benchmark"), seed=SEED)
    # the clock is read when the last step begins
    return (options.steps - 1) / clock.seconds, progress.curve[-1]["loss"]


class Clock:
    """Time between the starts of two steps, with nothing left to do on the device."""

    def __init__(self, first: int, last: int):
        self._marks, self._times = (first, last), []

    @property
    def seconds(self) -> float:
        return self._times[1] - self._times[0]

    def before(self, batches: list[Batch]) -> Callable[[int], Batch]:
        """The batches in turn, with a look at the clock."""

        def batch(step: int) -> Batch:
            if step in self._marks:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                self._times.append(time.perf_counter())
            return batches[step % len(batches)]

        return batch


def build(size: str):
    """HyperLoader on a T5 of this shape with random weights."""
    torch.manual_seed(SEED)
    method = get_method("hyperloader")
    backbone = T5ForConditionalGeneration(T5Config(**SHAPES[size], dropout_rate=0.1, decoder_start_token_id=0))
    return method.build(backbone, dict.fromkeys(LENGTHS, ()), method.settings({}))


def batch_of(task: str, source: int, target: int, size: int, vocabulary: int) -> Batch:
    """A batch without padding, of random ids."""
    generator = torch.Generator().manual_seed(SEED)
    ids = [torch.randint(3, vocabulary, (size, length), generator=generator).tolist() for length in (source, target)]
    return collate(task, [Example(*pair) for pair in zip(*ids, strict=True)])


def operations_per_step(size: str, batches: list[Batch]) -> float:
    """Floating-point operations of forward and backward pass, averaged over the batches."""
    model, total = build(size).train(), 0
    for batch in batches:
        with FlopCounterMode(display=False) as counter:
            # two sentences, since all have the same number of operations
            part = batch.part(0, len(batch.labels) // 2)
            token_loss(model.states(part.task, **part.inputs), model.head(None), part.labels).backward()
        total += counter.get_total_flops() * len(batch.labels) / len(part.labels)
    return total / len(batches)


def matrix_speed(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Operations per second of a large matrix product, the best of some."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        a @ b
        if device.type != "cpu":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def peak_memory_gib(device: torch.device) -> float | None:
    """Since the last call; of a GPU only."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return round(peak, 2)


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=list(SHAPES), default="t5-base")
    parser.add_argument("--steps", type=int, default=200, help="timed steps")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", choices=["bf16", "tf32", "fp32"], default="bf16")
    parser.add_argument("--arrangements", nargs="+", choices=ARRANGEMENTS, default=list(ARRANGEMENTS))
    return parser.parse_args()


if __name__ == "__main__":
    with told_in_one_line():
        main()

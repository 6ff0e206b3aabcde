"""Training speed on the lengths of the seven real corpora, at T5-base shape or another scale's: the plain arrangement beside ours.

    plain             weights generated position by position in every forward pass, Transformers' layers, all logits at once, random batches
    random batches    ours on random batches: one batched pass per step, fused layers, the loss by parts
    similar lengths   plain on batches of similar length
    ours              one batched pass per step, fused layers, the loss by parts, batches of similar length
    bf16              ours with matrix products in bf16 (`precision: bf16`)

A scale that trains a vocabulary on the corpora is timed with that of T5's pieces that they use, and then with its own. Weights are
random; only lengths come from the corpora. Of each task the batches at a few quantiles of the padded length are timed, and
weighed by the task's share of the steps. The last line is JSON. Run beside nothing else:

    HYPERLOADER_MIRROR=DIR python benchmarks/training.py [--scale mini]
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.cli.standard_streams import told_in_one_line
from hyperloader.corpora.fetching.download import fetch
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.registry import known_corpora
from hyperloader.formulations.text_to_text import TextToText
from hyperloader.methods.registry import get_method
from hyperloader.models.fused_t5 import fuse, unfuse
from hyperloader.models.hypernetwork import AdapterWeights, LoRAWeights, StackWeights
from hyperloader.planning.plan import Plan
from hyperloader.text.batches import IGNORED, Batch
from hyperloader.text.t5_vocabulary import Vocabulary
from hyperloader.training.backbones.making import t5_pieces
from hyperloader.training.backbones.t5 import write_vocabulary
from hyperloader.training.backbones.text import corpora_text
from hyperloader.training.sampler import TaskSampler, task_probabilities
from hyperloader.training.steps import Objective

CONFIG = Path(__file__).parents[1] / "config/config.yaml"
T5_BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "vocab_size": 32128}
SEED, CURVE_STEPS = 42, 3


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    plan = Plan.read(CONFIG)
    training = plan.recipe.training
    corpora = real_corpora(plan.corpora)
    arrangements = {
        "plain": (False, True, "fp32"),
        "random batches": (False, False, "fp32"),
        "similar lengths": (True, True, "fp32"),
        "ours": (True, False, "fp32"),
        "bf16": (True, False, "bf16"),
    }
    results, gaps = {}, []
    quantiles, settings = options.quantiles, plan.method_settings("hyperloader", options.scale)
    for pieces, vocabulary, config in backbones(plan, options.scale, list(corpora.values())):
        formulation = TextToText(vocabulary, {name: corpus.train_label_types for name, corpus in corpora.items()})
        examples = {name: formulation.encode(name, corpus.train, training) for name, corpus in corpora.items()}
        shares = dict(zip(examples, task_probabilities([len(own) for own in examples.values()], training.temperature), strict=True))
        batches = {bucketing: quantile_batches(formulation, examples, training, bucketing, quantiles) for bucketing in (False, True)}
        bench = Bench(config, settings, dict.fromkeys(examples, ()), training)
        gaps.append(bench.largest_difference([own[0] for own in batches[False].values()][:CURVE_STEPS]))
        print(f"{pieces}: largest relative difference of {CURVE_STEPS} losses on the same batches: {gaps[-1]:.1e}", flush=True)
        for name, (bucketing, layerwise, precision) in arrangements.items():
            bench.use(layerwise, precision)
            results[f"{name}, {pieces}"] = measure(bench, batches[bucketing], shares)
            print(f"{name:20}", results[f"{name}, {pieces}"], flush=True)
    speed = {name: result["sentences_per_second"] for name, result in results.items()}
    first, *_, ours, bf16 = speed.values()
    summary = {
        "benchmark": "training",
        "scale": options.scale,
        # of the last vocabulary's arrangements to the first one's plain
        "ratio": round(ours / first, 2),
        "ratio_bf16": round(bf16 / first, 2),
        "loss_difference": max(gaps),
        "threads": options.threads,
        "processor": platform.processor() or platform.machine(),
        "batch_size": training.batch_size,
        "arrangements": results,
    }
    print(json.dumps(summary))


def backbones(plan: Plan, scale: str, corpora: list) -> Iterator[tuple[str, Vocabulary, T5Config]]:
    """T5-base; or the scale's T5 with the part of T5's vocabulary that the corpora use, and with one that is trained on them."""
    backbone = plan.scale(scale).backbones["t5"]
    if backbone.source != "pretrained":
        yield "T5's pieces", Vocabulary(t5_pieces()), T5Config(**T5_BASE, dropout_rate=0.1)
        return
    text = corpora_text(corpora, SEED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spiece.model"
        for pieces in dict.fromkeys((None, backbone.pieces)):
            write_vocabulary(corpora, text, pieces, path, None)
            vocabulary = Vocabulary(path)
            name = "those of T5's pieces that are used" if pieces is None else f"{pieces} trained pieces"
            yield name, vocabulary, T5Config(vocab_size=vocabulary.size, **backbone.architecture.model_dump())


class Bench:
    """HyperLoader on such a T5, and its optimiser."""

    def __init__(self, config: T5Config, settings, tasks: dict, training):
        self.training, method = training, get_method("hyperloader")
        torch.manual_seed(SEED)
        self.model = method.build(T5ForConditionalGeneration(config), tasks, settings).train()
        self.weights = self.model.trainable_state()
        self.batched = self.model.adapt
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self):
        return torch.optim.AdamW(self.weights.values(), lr=self.training.learning_rate, weight_decay=0.0, fused=True)

    def use(self, layerwise: bool, precision: str) -> None:
        """Choose the arrangement."""
        self.model.adapt = (lambda task: adapt_layerwise(self.model, task)) if layerwise else self.batched
        self.plain = layerwise
        (unfuse if layerwise else fuse)(self.model.backbone)
        self.model.place(torch.device("cpu"), precision)
        self.objective = Objective(self.model, self.training.model_copy(update={"precision": precision}))

    def step(self, batch: Batch) -> float:
        """One optimiser step; its loss."""
        if self.plain:
            logits = self.model(task=batch.task, **batch.inputs).logits
            loss = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten())
        else:
            loss = self.objective(batch.task, batch.inputs, batch.labels) / (batch.labels != IGNORED).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def largest_difference(self, batches: list[Batch]) -> float:
        """Train some steps in both arrangements from the same start, without dropout; the largest relative gap of their losses."""
        start = {name: parameter.detach().clone() for name, parameter in self.weights.items()}
        curves = []
        for layerwise in (True, False):
            with torch.no_grad():
                for name, parameter in self.weights.items():
                    parameter.copy_(start[name])
            self.optimizer = self._new_optimizer()
            self.model.eval()
            self.use(layerwise, "fp32")
            curves.append(np.array([self.step(batch) for batch in batches]))
        self.model.train()
        return float(np.abs(curves[0] / curves[1] - 1).max())


def adapt_layerwise(model, task: str) -> None:
    """What the model's own `adapt` does in one pass per stack, done for each layer and position by itself."""
    network = model.hypernetwork
    z = network.task_embeddings.weight[network.tasks.index(task)]
    for stack, places in zip((network.encoder, network.decoder), model._stacks, strict=True):
        adapters, loras = [], []
        for layer in stack.layer_embeddings.weight:
            for position in range(stack.adapter_positions + stack.lora_positions):
                joint = torch.cat([z, layer, stack.position_embeddings.weight[position]])
                embedding = stack.norm(stack.projector(joint))
                if position < stack.adapter_positions:
                    adapters.append(stack.adapter_generators[0](embedding))
                else:
                    loras.append(stack.lora_generators[0](embedding))
        layers = len(stack.layer_embeddings.weight)
        places.install(StackWeights(_stacked(AdapterWeights, adapters, layers), _stacked(LoRAWeights, loras, layers)))


def _stacked(kind, weights, layers):
    return kind(*(torch.stack(tensors).unflatten(0, (layers, -1)) for tensors in zip(*weights, strict=True)))


def measure(bench: Bench, batches: dict[str, list[Batch]], shares: dict[str, float]) -> dict:
    """Sentences per second over the mix of tasks, share of padding, peak memory."""
    bench.step(next(iter(batches.values()))[0])
    _reset_peak()
    seconds, used, padded = 0.0, 0.0, 0.0
    for task, own in batches.items():
        for batch in own:
            started = time.perf_counter()
            bench.step(batch)
            seconds += shares[task] / len(own) * (time.perf_counter() - started)
            sizes = (batch.inputs["attention_mask"], batch.labels != -100)
            used += shares[task] / len(own) * sum(int(mask.sum()) for mask in sizes)
            padded += shares[task] / len(own) * sum(mask.numel() for mask in sizes)
    return {
        "sentences_per_second": round(bench.training.batch_size / seconds, 2),
        "seconds_per_step": round(seconds, 3),
        "padding": round(1 - used / padded, 3),
        "peak_memory_gib": round(_peak() / 2**30, 2),
    }


def quantile_batches(formulation, examples, training, bucketing: bool, quantiles: int) -> dict[str, list[Batch]]:
    """Of each task the batches at evenly spaced quantiles of the padded size."""
    result = {}
    for name, own in examples.items():
        lengths = [(len(example.source), len(example.target)) for example in own]
        # as many steps as a task gets of a block of the whole mix
        sampler = TaskSampler([lengths] + [[(1, 1)]] * 6, training.batch_size, float("inf"), SEED, bucketing=bucketing)
        drawn = [indices for task, indices in map(sampler, range(512)) if task == 0]
        sizes = [sum(np.max([lengths[index] for index in indices], axis=0)) for indices in drawn]
        order = np.argsort(sizes, kind="stable")
        places = [int(len(order) * (2 * number + 1) / (2 * quantiles)) for number in range(quantiles)]
        result[name] = [formulation.collate(name, [own[index] for index in drawn[order[place]]]) for place in places]
    return result


def real_corpora(names):
    """The real corpora, from the mirror or the internet."""
    with tempfile.TemporaryDirectory() as folder:
        corpora = {}
        for name in names:
            fetch(known_corpora()[name], Path(folder) / "raw")
            prepare(name, Path(folder) / "raw", Path(folder) / name)
            corpora[name] = load_corpus(Path(folder) / name)
        return corpora


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("the peak memory is that of the whole run so far")


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="paper", help="whose T5 and HyperLoader")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quantiles", type=int, default=3, help="timed batches per task")
    return parser.parse_args()


if __name__ == "__main__":
    with told_in_one_line():
        main()

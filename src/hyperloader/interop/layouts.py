"""Which model a checkpoint of the original implementations holds, and its sizes, read from names and shapes.

A size is what most of the tensors that have it say, so that a single misshapen tensor is the one that does not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from typing import NamedTuple

from torch import Tensor
from transformers import T5Config

from hyperloader.errors import RunError
from hyperloader.interop.names import HYPERDECODER_MODULES, HYPERNETWORK, HYPERNETWORK_MODULES, STACKS, TASK, static_adapter
from hyperloader.models.hypernetwork import ADAPTER_POSITIONS, LORA_POSITIONS


class Layout(NamedTuple):
    """What a checkpoint holds besides T5.

    Attributes:
        method: the name of the method here: `hyperformer_pp`, `hyperloader` or `hyperdecoder`.
        tasks: names of the tasks; none for Hyperdecoder, which is told no task.
        sizes: of `hyperloader.models.hypernetwork.Sizes`, or of the settings of Hyperdecoder.
    """

    method: str
    tasks: tuple[str, ...]
    sizes: dict[str, int]


def read_layout(state: Mapping[str, Tensor], config: T5Config) -> Layout:
    """Find out which model a state dict holds.

    Args:
        state: tensors under their original names.
        config: of the T5 that the checkpoint belongs to.

    Raises:
        RunError: it is none of the three, or without tasks.
    """
    if any(name.startswith(("decoder.param_gen.", "decoder.mlp.")) or ".adapter_layer." in name for name in state):
        return Layout("hyperdecoder", (), _hyperdecoder_sizes(state, config))
    tasks = tuple(name.removeprefix(TASK) for name in state if name.startswith(TASK))
    if not tasks:
        if not any(f".{HYPERNETWORK}." in name for name in state):
            raise RunError("the checkpoint is of neither HyperFormer++, HyperLoader nor Hyperdecoder")
        raise RunError(f"the checkpoint does not fit the model: '{TASK}<task>' is missing for every task")
    sizes = _hypernetwork_sizes(state, config)
    return Layout("hyperloader" if sizes["lora_rank"] else "hyperformer_pp", tasks, sizes)


def _hypernetwork_sizes(state: Mapping[str, Tensor], config: T5Config) -> dict[str, int]:
    def seen(axis: int, *parameters: str) -> list[int]:
        return _seen(state, axis, (f"{stack}.{HYPERNETWORK}.{_there(HYPERNETWORK_MODULES, own)}" for own in parameters for stack in STACKS))

    tasks = _seen(state, 0, (name for name in state if name.startswith(TASK)))
    layers, positions, inputs = seen(1, "layer_embeddings.weight"), seen(1, "position_embeddings.weight"), seen(1, "projector.0.weight")

    def rest(one: list[int], other: list[int]) -> list[int]:
        """What the projector's input width leaves beside two of its three parts."""
        return [width - a - b for width, a, b in product(inputs, set(one), set(other))]

    rows = seen(0, "position_embeddings.weight")
    with_lora = any(f".{HYPERNETWORK}.lora_" in name for name in state) or _agreed(rows) == len(ADAPTER_POSITIONS) + len(LORA_POSITIONS)
    ranks = [width // config.d_model for width in seen(0, "lora_generators.0.a.weight")]
    ranks += [width // (config.num_heads * config.d_kv) for width in seen(0, "lora_generators.0.b.weight")]
    return {
        "task_dim": _agreed(tasks + rest(layers, positions)),
        "layer_dim": _agreed(layers + rest(tasks, positions)),
        "position_dim": _agreed(positions + rest(tasks, layers)),
        "hidden_dim": _agreed(seen(0, "projector.0.weight", "projector.0.bias") + seen(1, "projector.2.weight")),
        "embedding_dim": _agreed(seen(0, "norm.weight", "norm.bias", "projector.2.weight", "projector.2.bias")),
        "bottleneck": _agreed(seen(0, "adapter_generators.0.down_bias.weight", "adapter_generators.0.down_bias.bias")),
        "lora_rank": _agreed(ranks) if with_lora else 0,
    }


def _hyperdecoder_sizes(state: Mapping[str, Tensor], config: T5Config) -> dict[str, int]:
    def seen(axis: int, *parameters: str) -> list[int]:
        return _seen(state, axis, (_there(HYPERDECODER_MODULES, own) for own in parameters))

    def static(stack: str, layers: int) -> list[int]:
        adapters = [static_adapter(stack, layer) for layer in range(layers)]
        downs = [f"{adapter}_down_manual.{leaf}" for adapter in adapters for leaf in ("weight", "bias")]
        return _seen(state, 0, downs) + _seen(state, 1, (f"{adapter}_up_manual.weight" for adapter in adapters))

    heads = [f"{head}.weight" for head in ("down_weight", "down_bias", "up_weight", "up_bias")]
    layers, inputs = seen(1, "layer_embeddings.weight"), seen(1, "hidden.weight")
    if layers and inputs and layers[0] + config.d_model != inputs[0]:
        # no third tensor has this size
        names = " and ".join(f"'{_there(HYPERDECODER_MODULES, own)}'" for own in ("layer_embeddings.weight", "hidden.weight"))
        raise RunError(f"{names} of the checkpoint have {layers[0]} and {inputs[0]} columns, which should differ by {config.d_model}")
    return {
        "encoder_bottleneck": _agreed(static("encoder", config.num_layers)),
        "decoder_bottleneck": _agreed(seen(0, "down_bias.weight", "down_bias.bias") + static("decoder", config.num_decoder_layers)),
        "hidden_dim": _agreed(seen(0, "hidden.weight", "hidden.bias") + seen(1, *heads)),
        "layer_dim": _agreed(layers + [width - config.d_model for width in inputs]),
    }


def _there(modules: Mapping[str, str], parameter: str) -> str:
    module, _, leaf = parameter.rpartition(".")
    return f"{modules[module]}.{leaf}"


def _seen(state: Mapping[str, Tensor], axis: int, names: Iterable[str]) -> list[int]:
    return [state[name].shape[axis] for name in names if name in state and state[name].dim() > axis]


def _agreed(sizes: Iterable[int]) -> int:
    """The most frequent one, of equally frequent ones the first; 1 where no tensor has it, and all of them will be missed."""
    ((size, _),) = Counter(size for size in sizes if size > 0).most_common(1) or [(1, 0)]
    return size

"""The hypernetwork: from (task, layer, position) to all weights of a stack in one batched pass (section 3.5).

One hypernetwork per stack, encoder and decoder; only the task embeddings z are shared.

    c = [z | layer | position]                                        concatenation
    I = LayerNorm(W2 relu(W1 c + b1) + b2)                            eq. 5
    adapter   D = view(Wd I + bd, (b, D)), U = view(Wu I + bu, (D, b)), biases, norm weight and bias likewise
    LoRA      A = view(Wa I, (r, D)), B = view(Wb I, (O, r))          no bias; B starts at zero

Shape suffixes: L layers, P positions, E embedding of I, C conditioning, D d_model, O output of q and v, b bottleneck,
r LoRA rank. Initialisations are those of the original implementation (rabeehk/hyperformer and its fork for HyperLoader).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

ADAPTER_POSITIONS = ("feed_forward", "self_attention")
LORA_POSITIONS = ("self_attention.q", "self_attention.v", "cross_attention.q", "cross_attention.v")


@dataclass(frozen=True)
class Sizes:
    """Sizes of the hypernetwork and of what it generates; `lora_rank` 0 generates adapters only (HyperFormer++)."""

    task_dim: int
    layer_dim: int
    position_dim: int
    hidden_dim: int
    embedding_dim: int
    bottleneck: int
    lora_rank: int


class AdapterWeights(NamedTuple):
    """Weights of adapters; stacked ones have leading axes (layer, position)."""

    down_weight: Tensor  # b D
    down_bias: Tensor  # b
    up_weight: Tensor  # D b
    up_bias: Tensor  # D
    norm_weight: Tensor  # D
    norm_bias: Tensor  # D


class LoRAWeights(NamedTuple):
    """Weights of LoRA matrices; stacked ones have leading axes (layer, position)."""

    a: Tensor  # r D
    b: Tensor  # O r


class StackWeights(NamedTuple):
    """Everything generated for one stack and one task: axes (layer, position, ...) in the order of the constants above."""

    adapters: AdapterWeights
    lora: LoRAWeights | None


class StackHypernetwork(nn.Module):
    """Generates the weights of all layers and positions of one stack.

    Args:
        sizes: see `Sizes`.
        layers: number of layers L.
        d_model: width of the hidden states D.
        projection: output width O of the q and v projections.
        cross_attention: whether the stack has cross-attention; without it, nothing is generated for it, although the
            table of position embeddings keeps its two rows, as in the original.
    """

    def __init__(self, sizes: Sizes, layers: int, d_model: int, projection: int, cross_attention: bool):
        super().__init__()
        positions = len(ADAPTER_POSITIONS) + (len(LORA_POSITIONS) if sizes.lora_rank else 0)
        self.used_positions = positions if cross_attention or not sizes.lora_rank else positions - 2
        self.sizes, self.d_model, self.projection_dim = sizes, d_model, projection
        E, b, r = sizes.embedding_dim, sizes.bottleneck, sizes.lora_rank
        self.layer_embeddings = nn.Embedding(layers, sizes.layer_dim)
        self.position_embeddings = nn.Embedding(positions, sizes.position_dim)
        self.projector = nn.Sequential(
            _linear(sizes.task_dim + sizes.layer_dim + sizes.position_dim, sizes.hidden_dim),
            nn.ReLU(),
            _linear(sizes.hidden_dim, E),
        )
        self.norm = nn.LayerNorm(E, eps=1e-6)
        self.down_weight, self.down_bias = _linear(E, b * d_model), _linear(E, b)
        self.up_weight, self.up_bias = _linear(E, d_model * b), _linear(E, d_model)
        self.norm_weight, self.norm_bias = _linear(E, d_model), _linear(E, d_model)
        if r:
            self.lora_a = nn.Linear(E, r * d_model, bias=False)
            self.lora_b = nn.Linear(E, projection * r, bias=False)
            nn.init.kaiming_uniform_(self.lora_a.weight, a=math.sqrt(5))
            nn.init.zeros_(self.lora_b.weight)

    def embed(self, z: Tensor) -> Tensor:
        """Input embedding I of every layer and used position (eq. 5).

        Args:
            z: task embedding, shape (task_dim,).

        Returns:
            I_LPE, shape (layers, used positions, embedding_dim).
        """
        layer_LC = self.layer_embeddings.weight
        position_PC = self.position_embeddings.weight[: self.used_positions]
        L, P = len(layer_LC), len(position_PC)
        c_LPC = torch.cat(
            [
                z.expand(L, P, -1),
                layer_LC[:, None].expand(-1, P, -1),
                position_PC[None].expand(L, -1, -1),
            ],
            dim=-1,
        )
        return self.norm(self.projector(c_LPC))

    def forward(self, z: Tensor) -> StackWeights:
        """All weights of this stack for one task; `z` as in `embed`."""
        I_LPE = self.embed(z)
        n = len(ADAPTER_POSITIONS)
        adapter_LPE, lora_LPE = I_LPE[:, :n], I_LPE[:, n:]
        b, D, r = self.sizes.bottleneck, self.d_model, self.sizes.lora_rank
        adapters = AdapterWeights(
            down_weight=self.down_weight(adapter_LPE).unflatten(-1, (b, D)),
            down_bias=self.down_bias(adapter_LPE),
            up_weight=self.up_weight(adapter_LPE).unflatten(-1, (D, b)),
            up_bias=self.up_bias(adapter_LPE),
            norm_weight=self.norm_weight(adapter_LPE),
            norm_bias=self.norm_bias(adapter_LPE),
        )
        if not r:
            return StackWeights(adapters, None)
        lora = LoRAWeights(
            a=self.lora_a(lora_LPE).unflatten(-1, (r, D)),
            b=self.lora_b(lora_LPE).unflatten(-1, (self.projection_dim, r)),
        )
        return StackWeights(adapters, lora)


class Hypernetwork(nn.Module):
    """Task embeddings, N(0, 1), and the hypernetworks of encoder and decoder.

    Args:
        sizes: see `Sizes`.
        tasks: names of the tasks, one embedding each.
        config: a T5 configuration.
    """

    def __init__(self, sizes: Sizes, tasks: Iterable[str], config):
        super().__init__()
        self.tasks = tuple(tasks)
        self.task_embeddings = nn.Embedding(len(self.tasks), sizes.task_dim)
        shape = {"d_model": config.d_model, "projection": config.num_heads * config.d_kv}
        self.encoder = StackHypernetwork(sizes, config.num_layers, cross_attention=False, **shape)
        self.decoder = StackHypernetwork(sizes, config.num_decoder_layers, cross_attention=True, **shape)

    def forward(self, task: str) -> tuple[StackWeights, StackWeights]:
        """Weights of encoder and decoder for one task."""
        z = self.task_embeddings.weight[self.tasks.index(task)]
        return self.encoder(z), self.decoder(z)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    return linear

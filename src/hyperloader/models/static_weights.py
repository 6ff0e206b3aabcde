"""Adapters and LoRA matrices that are trained themselves, at the places and in the form of the generated ones.

    adapter   A(x) = LN(U gelu(D x + d) + u) + x
    LoRA      h = W x + B A x

They begin as the generated ones do, so that what differs is where weights come from: a hypernetwork's output is I, n numbers of unit
variance, times N(0, 0.01), and for A times U(-1/sqrt(n), 1/sqrt(n)); B is zero.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from hyperloader.models.hypernetwork import ADAPTER_POSITIONS, LORA_POSITIONS, AdapterWeights, LoRAWeights, StackWeights

A_STD = 1 / math.sqrt(3)


class StaticWeights(nn.Module):
    """The weights of encoder and decoder for one task or for all; each stacked as (layers, positions, ...).

    Args:
        bottlenecks: of the adapters of encoder and decoder; 0: there are none.
        ranks: of the LoRA matrices, likewise.
        generated_from: n of the generated weights whose variance these begin with.
        config: a T5 configuration.
    """

    def __init__(self, bottlenecks: tuple[int, int], ranks: tuple[int, int], generated_from: int, config):
        super().__init__()
        std = 0.01 * math.sqrt(generated_from)
        layers, projection = (config.num_layers, config.num_decoder_layers), config.num_heads * config.d_kv
        # the encoder has no cross-attention
        positions = (len(LORA_POSITIONS) // 2, len(LORA_POSITIONS))
        shapes = zip(bottlenecks, layers, strict=True)
        self.adapters = nn.ModuleList(_adapters(size, (number, len(ADAPTER_POSITIONS)), config.d_model, std) for size, number in shapes)
        shapes = zip(ranks, zip(layers, positions, strict=True), strict=True)
        self.loras = nn.ModuleList(_loras(rank, stacked, config.d_model, projection) for rank, stacked in shapes)

    def forward(self) -> tuple[StackWeights, StackWeights]:
        """Weights of encoder and decoder."""
        encoder, decoder = (
            StackWeights(AdapterWeights(**adapters) if adapters else None, LoRAWeights(**lora) if lora else None)
            for adapters, lora in zip(self.adapters, self.loras, strict=True)
        )
        return encoder, decoder


def _adapters(bottleneck: int, stacked: tuple[int, int], d_model: int, std: float) -> nn.ParameterDict:
    if not bottleneck:
        return nn.ParameterDict()
    shapes = AdapterWeights((bottleneck, d_model), (bottleneck,), (d_model, bottleneck), (d_model,), (d_model,), (d_model,))
    return nn.ParameterDict({name: std * torch.randn(*stacked, *shape) for name, shape in shapes._asdict().items()})


def _loras(rank: int, stacked: tuple[int, int], d_model: int, projection: int) -> nn.ParameterDict:
    if not rank:
        return nn.ParameterDict()
    return nn.ParameterDict({"a": A_STD * torch.randn(*stacked, rank, d_model), "b": torch.zeros(*stacked, projection, rank)})

"""Hyperdecoder (Ivison and Peters 2022): from one sentence's encoding to the adapters of all decoder layers in one batched pass.

    m = masked mean of the encoder's final output          one vector per sentence
    h = relu(W [mlp(m) | layer] + b)                       one per sentence and layer
    D = view(Wd h + bd, (model, bottleneck))               d linear in h; U = view(Wu h + bu, (bottleneck, model)) and u likewise
    A(x) = relu(x D + d) U + u
    y = x + dropout(FF(LN x)) + A(LN x)                    in parallel to the feed-forward block

Shape suffixes: L decoder layers, B sentences, S source length, T any length, D d_model, b bottleneck. Places, sizes and
initialisations are those of the original implementation (allenai/hyperdecoders).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5LayerFF

from hyperloader.models.task_model import TaskModel

STATIC_GAIN = 1e-4
GENERATED_GAIN = 1e-3


class StaticAdapter(nn.Module):
    """An adapter with weights of its own, the same for every sentence."""

    def __init__(self, d_model: int, bottleneck: int):
        super().__init__()
        self.down = nn.Linear(d_model, bottleneck)
        self.up = nn.Linear(bottleneck, d_model)
        for linear in (self.down, self.up):
            nn.init.xavier_uniform_(linear.weight, gain=STATIC_GAIN)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.relu(self.down(x)))


class GeneratedAdapters(NamedTuple):
    """One adapter for every sentence; stacked ones have a leading axis for the layer."""

    down_weight: Tensor  # B D b
    down_bias: Tensor  # B b
    up_weight: Tensor  # B b D
    up_bias: Tensor  # B D

    def __call__(self, x_BTD: Tensor) -> Tensor:
        # baddbmm refuses another number of sentences, where a plain product would broadcast a single one's adapter
        hidden_BTb = F.relu(torch.baddbmm(self.down_bias[:, None], x_BTD, self.down_weight))
        return torch.baddbmm(self.up_bias[:, None], hidden_BTb, self.up_weight)


class AdapterGenerator(nn.Module):
    """The hypernetwork: from the encoder's final output to one adapter per decoder layer and sentence.

    Args:
        layers: number of decoder layers L.
        d_model: width of the hidden states D.
        bottleneck: of the generated adapters.
        hidden_dim: width of what all weights are generated from.
        layer_dim: numbers in a layer embedding.
    """

    def __init__(self, layers: int, d_model: int, bottleneck: int, hidden_dim: int, layer_dim: int):
        super().__init__()
        self.down_shape, self.up_shape = (d_model, bottleneck), (bottleneck, d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, d_model))
        self.layer_embeddings = nn.Embedding(layers, layer_dim)
        self.hidden = nn.Linear(d_model + layer_dim, hidden_dim)
        self.down_weight = _head(hidden_dim, d_model * bottleneck, fan_in=d_model)
        self.down_bias = _head(hidden_dim, bottleneck)
        self.up_weight = _head(hidden_dim, bottleneck * d_model, fan_in=bottleneck)
        self.up_bias = _head(hidden_dim, d_model)

    def forward(self, states_BSD: Tensor, mask_BS: Tensor | None = None) -> GeneratedAdapters:
        """Adapters with axes (layer, sentence, ...).

        Args:
            states_BSD: the encoder's final output.
            mask_BS: 0 where the source is padded; None: nowhere.
        """
        condition_BD = self.mlp(_masked_mean(states_BSD, mask_BS))
        L, B = self.layer_embeddings.num_embeddings, len(condition_BD)
        layer_LB = self.layer_embeddings.weight[:, None].expand(-1, B, -1)
        hidden_LB = F.relu(self.hidden(torch.cat([condition_BD.expand(L, -1, -1), layer_LB], dim=-1)))
        return GeneratedAdapters(
            down_weight=self.down_weight(hidden_LB).unflatten(-1, self.down_shape),
            down_bias=self.down_bias(hidden_LB),
            up_weight=self.up_weight(hidden_LB).unflatten(-1, self.up_shape),
            up_bias=self.up_bias(hidden_LB),
        )


class AdaptedFeedForward(nn.Module):
    """T5's feed-forward sublayer, under its own parameter names, with an adapter beside the block.

    Args:
        layer: the sublayer whose modules are taken over.
        adapter: from the normalised input to what is added. Not a module here: its parameters belong to the model.
    """

    def __init__(self, layer: T5LayerFF, adapter: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        self.layer_norm, self.DenseReluDense, self.dropout = layer.layer_norm, layer.DenseReluDense, layer.dropout
        self.adapter = adapter

    def forward(self, x: Tensor) -> Tensor:
        normed = self.layer_norm(x)
        return x + self.dropout(self.DenseReluDense(normed)) + self.adapter(normed)


class HyperdecoderT5(TaskModel):
    """T5 with static adapters in the encoder and, in the decoder, adapters that are generated for each sentence.

    T5 is frozen, its layer norms too. The task is told to no part of it. The original has static adapters in the decoder as well,
    which it trains by name and never uses; they are kept, for its number of parameters and its checkpoints.

    Args:
        backbone: a T5; its feed-forward sublayers are replaced in place.
        tasks: the tasks that it may be asked for.
        encoder_bottleneck: of the static adapters; `decoder_bottleneck` of the generated ones.
        hidden_dim: see `AdapterGenerator`, `layer_dim` likewise.
    """

    fixed = False

    def __init__(
        self,
        backbone: T5ForConditionalGeneration,
        tasks: Mapping[str, Sequence[str]],
        *,
        encoder_bottleneck: int,
        decoder_bottleneck: int,
        hidden_dim: int,
        layer_dim: int,
    ):
        super().__init__(backbone, tasks)
        backbone.requires_grad_(False)
        encoder, decoder, d_model = backbone.encoder.block, backbone.decoder.block, backbone.config.d_model
        self.encoder_adapters = nn.ModuleList(StaticAdapter(d_model, encoder_bottleneck) for _ in encoder)
        self.decoder_adapters = nn.ModuleList(StaticAdapter(d_model, decoder_bottleneck) for _ in decoder)
        self.generator = AdapterGenerator(len(decoder), d_model, decoder_bottleneck, hidden_dim, layer_dim)
        for block, adapter in zip(encoder, self.encoder_adapters, strict=True):
            block.layer[-1] = AdaptedFeedForward(block.layer[-1], adapter.forward)
        for block in decoder:
            block.layer[-1] = AdaptedFeedForward(block.layer[-1])
        self._places = [block.layer[-1] for block in decoder]
        self._generating, self._source = False, None
        # at the decoder, because whoever calls it hands it the encoder's output, computed or given, and the mask
        backbone.decoder.register_forward_pre_hook(self._install_adapters, with_kwargs=True)

    def choose(self, task: str) -> None:
        pass

    def adapt(self, task: str | None) -> None:
        pass

    @contextmanager
    def decoding(self, task: str) -> Iterator[None]:
        with super().decoding(task):
            try:
                self._generating = True
                yield
            finally:
                self._generating, self._source = False, None

    def select(self, rows: Tensor, states: Tensor) -> None:
        for place in self._places:
            place.adapter = GeneratedAdapters(*(weights[rows] for weights in place.adapter))
        self._source = states

    def generate(self, task: str, **inputs) -> Tensor:
        """Transformers' `generate`; the adapters are generated once and kept for all steps."""
        with self.decoding(task):
            return self.backbone.generate(**inputs)

    def unused_parameters(self) -> list[Tensor]:
        return list(self.decoder_adapters.parameters())

    def _install_adapters(self, decoder: nn.Module, args: tuple, kwargs: dict) -> None:
        """Generate the decoder's adapters for the sentences that it is about to attend to."""
        source = kwargs["encoder_hidden_states"]
        if source is self._source:
            return
        adapters = self.generator(source, kwargs["encoder_attention_mask"])
        for place, *weights in zip(self._places, *adapters, strict=True):
            place.adapter = GeneratedAdapters(*weights)
        # elsewhere the weights or the tensor's contents may change before it comes again
        self._source = source if self._generating else None


def _masked_mean(states_BSD: Tensor, mask_BS: Tensor | None) -> Tensor:
    if mask_BS is None:
        return states_BSD.mean(dim=1)
    kept_BSD = states_BSD * mask_BS[..., None].to(states_BSD.dtype)
    return kept_BSD.sum(dim=1) / mask_BS.sum(dim=1, keepdim=True)


def _head(hidden_dim: int, outputs: int, fan_in: int = 1) -> nn.Linear:
    """A linear layer that generates the weights of a layer with `fan_in` inputs, or its biases; hyperfan-in, scaled down."""
    head = nn.Linear(hidden_dim, outputs)
    bound = GENERATED_GAIN * math.sqrt(3 / (hidden_dim * fan_in))
    nn.init.uniform_(head.weight, -bound, bound)
    nn.init.zeros_(head.bias)
    return head

"""The layers that take generated weights, and where they sit in T5 (sections 3.2 to 3.4).

    adapter   A(x) = LN(U gelu(D x + d) + u) + x        eq. 2, on the output of self-attention and of feed-forward
    LoRA      h = W x + B A x                           eq. 4, on the query and value projections

Both are put around the linear layers that a loaded T5 already has: the output projection `o` of self-attention, `wo` of
the feed-forward block, and `q` and `v`. So T5's own code runs unchanged, with its dropout and residual after the
adapter, and parameter names stay those of T5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hyperloader.models.hypernetwork import ADAPTER_POSITIONS, AdapterWeights, LoRAWeights, StackWeights

NORM_EPS = 1e-5


def adapter(x: Tensor, weights: AdapterWeights) -> Tensor:
    """Generated adapter (eq. 2 and 3), x of shape (..., d_model); gelu is the tanh approximation, as in the original.

    The norm is made in the type of its weights, whatever the products are made in.
    """
    hidden = F.gelu(F.linear(x, weights.down_weight, weights.down_bias), approximate="tanh")
    update = F.linear(hidden, weights.up_weight, weights.up_bias)
    update = update.to(weights.norm_weight.dtype)
    return F.layer_norm(update, update.shape[-1:], weights.norm_weight, weights.norm_bias, NORM_EPS) + x


class AroundLinear(nn.Linear):
    """A linear layer that takes over the parameters of another one; `generated` is set anew for every task, by `install`."""

    def __init__(self, linear: nn.Linear):
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.generated = None

    def install(self, weights: AdapterWeights | LoRAWeights) -> None:
        """Use these generated weights from now on."""
        self.generated = weights


class AdaptedLinear(AroundLinear):
    """A frozen linear layer, (..., d_in) -> (..., d_model), whose output passes through a generated adapter."""

    generated: AdapterWeights | None

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if self.generated is None else adapter(y, self.generated)


class LoRALinear(AroundLinear):
    """A frozen linear layer with a generated low-rank update (eq. 4; alpha / r = 1, no dropout), merged into its weight or beside it."""

    generated: LoRAWeights | None

    def __init__(self, linear: nn.Linear):
        super().__init__(linear)
        self._merged: Tensor | None = None

    def install(self, weights: LoRAWeights) -> None:
        # what was merged before is not of these, even if an exception has kept it from being unmerged
        self._merged = None
        super().install(weights)

    def merge(self) -> None:
        """Use W + B A, one matrix product instead of three, until `unmerge` or other weights; as many passes as wanted.

        An attention that has joined its projections and is given no cache (`fused_t5`) takes W, B and A all the same. Nothing is merged in
        bfloat16, whose sum would lose what is small beside W.
        """
        if self.weight.dtype != torch.bfloat16:
            self._merged = self.weight + self.generated.b @ self.generated.a

    def unmerge(self) -> None:
        """Use W, B and A again."""
        self._merged = None

    def forward(self, x: Tensor) -> Tensor:
        if self._merged is not None:
            return F.linear(x, self._merged, self.bias)
        y = super().forward(x)
        return y if self.generated is None else y + F.linear(F.linear(x, self.generated.a), self.generated.b)


class GeneratedStack:
    """The places in one T5 stack that take generated weights, by layer and in the order of the positions.

    Args:
        stack: encoder or decoder of a T5; its linear layers are replaced in place.
        adapters: whether self-attention and feed-forward take adapters.
        lora: whether q and v take LoRA matrices.
    """

    def __init__(self, stack: nn.Module, *, adapters: bool, lora: bool):
        self.adapters: list[tuple[AdaptedLinear, ...]] = []
        self.loras: list[tuple[LoRALinear, ...]] = []
        for block in stack.block:
            attentions = [block.layer[0].SelfAttention] + ([block.layer[1].EncDecAttention] if stack.is_decoder else [])
            if adapters:
                feed_forward = block.layer[-1].DenseReluDense
                feed_forward.wo = AdaptedLinear(feed_forward.wo)
                attentions[0].o = AdaptedLinear(attentions[0].o)
                self.adapters.append((feed_forward.wo, attentions[0].o))
            if lora:
                for attention in attentions:
                    attention.q, attention.v = LoRALinear(attention.q), LoRALinear(attention.v)
                self.loras.append(tuple(place for attention in attentions for place in (attention.q, attention.v)))

    def install(self, weights: StackWeights) -> None:
        """Put one task's weights, each stacked as (layers, positions, ...), into their places."""
        if weights.adapters is not None:
            _install(self.adapters, weights.adapters)
        if weights.lora is not None:
            _install(self.loras, weights.lora)


def _install(places: list[tuple[AroundLinear, ...]], weights: AdapterWeights | LoRAWeights) -> None:
    kind = type(weights)
    unbound = [[position.unbind(0) for position in tensor.unbind(1)] for tensor in weights]
    for layer, row in enumerate(places):
        for position, place in enumerate(row):
            place.install(kind(*(tensor[position][layer] for tensor in unbound)))


assert ADAPTER_POSITIONS == ("feed_forward", "self_attention"), "GeneratedStack lists its places in this order"

"""T5's attention and layer norm in fewer kernels than Transformers takes, equal to them but for rounding.

On a GPU a step of a small batch waits for kernels to be launched, so fewer are faster. The classes keep T5's parameters and names.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.t5.modeling_t5 import T5Attention, T5LayerNorm

from hyperloader.models.generated_layers import LoRALinear
from hyperloader.models.precision import product_dtype


def fuse(backbone: nn.Module) -> None:
    """Let a T5's attention and norms be computed by the classes below; modules of other classes, or none, stay as they are."""
    for module in backbone.modules():
        module.__class__ = FUSED.get(type(module), type(module))


def unfuse(backbone: nn.Module) -> None:
    """Let them be computed by Transformers again, to compare."""
    plain = {fused: plain for plain, fused in FUSED.items()}
    for module in backbone.modules():
        module.__class__ = plain.get(type(module), type(module))


def join(backbone: nn.Module) -> None:
    """Let the frozen projections of what an attention reads share one matrix, so that one product serves them all.

    For a model that stays where it is and keeps its type: `Module.to` would part them again.
    """
    for module in backbone.modules():
        if isinstance(module, FusedAttention):
            module.join()


class FusedLayerNorm(T5LayerNorm):
    """x / sqrt(mean(x^2) + eps) * weight, made in float32 at least; under autocast, handed on in the type of the products that read it."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = F.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)
        return normed.to(product_dtype(normed))


class FusedAttention(T5Attention):
    """softmax(q k' + relative bias + mask) v, by `scaled_dot_product_attention`.

    With a cache of keys and values, as decoding has it, or where the attention's weights are asked for, it is Transformers' own.
    """

    _joined: Tensor | None = None

    def join(self) -> None:
        """See the function `join`."""
        linears = (self.q, self.k, self.v)
        if all(type(linear) in (nn.Linear, LoRALinear) and not linear.weight.requires_grad for linear in linears):
            self._joined = torch.cat([linear.weight.detach() for linear in linears])
            for linear, weight in zip(linears, self._joined.chunk(3), strict=True):
                linear.weight.data = weight

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        key_value_states: Tensor | None = None,
        position_bias: Tensor | None = None,
        past_key_values=None,
        layer_head_mask: Tensor | None = None,
        query_length: int | None = None,
        use_cache: bool = False,
        output_attentions: bool = False,
        cache_position: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As in Transformers; returns the output, (batch, length, d_model), and the bias with the mask for the layers above."""
        if past_key_values is not None or layer_head_mask is not None or output_attentions:
            return super().forward(
                hidden_states,
                mask=mask,
                key_value_states=key_value_states,
                position_bias=position_bias,
                past_key_values=past_key_values,
                layer_head_mask=layer_head_mask,
                query_length=query_length,
                use_cache=use_cache,
                output_attentions=output_attentions,
                cache_position=cache_position,
            )
        if key_value_states is None:
            q, k, v = self._heads(hidden_states, (self.q, self.k, self.v))
        else:
            (q,), (k, v) = self._heads(hidden_states, (self.q,)), self._heads(key_value_states, (self.k, self.v))
        if position_bias is None:
            terms = [] if mask is None else [mask[..., : k.shape[2]]]
            if self.has_relative_attention_bias:
                terms.append(self.compute_bias(q.shape[2], k.shape[2], device=q.device, cache_position=cache_position))
            # once for all layers, and laid out as fast kernels want it
            position_bias = sum(terms, q.new_zeros(())).expand(len(q), self.n_heads, q.shape[2], k.shape[2])
            position_bias = position_bias.to(q.dtype, memory_format=torch.contiguous_format)
        dropout = self.dropout if self.training else 0.0
        # T5 does not divide by the root of the heads' width
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=position_bias, dropout_p=dropout, scale=1.0)
        return self.o(heads.transpose(1, 2).flatten(2)), position_bias

    def _heads(self, x: Tensor, linears: Sequence[nn.Linear]) -> list[Tensor]:
        """What these make of x, (batch, length, d_model), as (batch, heads, length, width) each."""
        made = [linear(x) for linear in linears] if self._joined is None else self._project(x, linears)
        return [one.unflatten(-1, (self.n_heads, self.key_value_proj_dim)).transpose(1, 2) for one in made]

    def _project(self, x: Tensor, linears: Sequence[nn.Linear]) -> Sequence[Tensor]:
        """By one product for all of them, and one for all low-rank updates' first matrices."""
        rows = {1: slice(self.inner_dim), 2: slice(self.inner_dim, None), 3: slice(None)}[len(linears)]
        updates = {place: linear.generated for place, linear in enumerate(linears) if getattr(linear, "generated", None) is not None}
        a_RD = torch.cat([own.a for own in updates.values()]) if updates else None
        y = _Projections.apply(x, self._joined[rows], len(linears), list(updates), a_RD, *(own.b for own in updates.values()))
        return y.chunk(len(linears), dim=-1)


class _Projections(torch.autograd.Function):
    """x W' + x A' B' in the columns of those of several linear layers that have a low-rank update (eq. 4); W is frozen.

    Shape suffixes: N tokens, D d_model, K columns of all layers, R ranks of all updates.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight_KD: Tensor, layers: int, places: list[int], a_RD: Tensor | None, *b: Tensor) -> Tensor:
        dtype = product_dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            x_ND = x.flatten(0, -2).to(dtype)
            weight_KD, a_RD = weight_KD.to(dtype), None if a_RD is None else a_RD.to(dtype)
            b = [own.to(dtype) for own in b]
            y_NK = x_ND @ weight_KD.T
            u_NR = None
            if a_RD is not None:
                u_NR = x_ND @ a_RD.T
                columns = y_NK.chunk(layers, dim=-1)
                for place, own, u in zip(places, b, u_NR.chunk(len(b), dim=-1), strict=True):
                    columns[place].addmm_(u, own.T)
        ctx.save_for_backward(x_ND, weight_KD, a_RD, u_NR, *b)
        ctx.layers, ctx.places, ctx.dtype = layers, places, x.dtype
        return y_NK.unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx, gradient: Tensor):
        x_ND, weight_KD, a_RD, u_NR, *b = ctx.saved_tensors
        gradient_NK = gradient.flatten(0, -2)
        x_gradient_ND = gradient_NK @ weight_KD
        a_gradient_RD, b_gradients = None, []
        if a_RD is not None:
            u_gradient_NR, columns = torch.empty_like(u_NR), gradient_NK.chunk(ctx.layers, dim=-1)
            parts = zip(ctx.places, b, u_NR.chunk(len(b), dim=-1), u_gradient_NR.chunk(len(b), dim=-1), strict=True)
            for place, own, u, u_gradient in parts:
                torch.mm(columns[place], own, out=u_gradient)
                b_gradients.append(columns[place].T @ u)
            a_gradient_RD = u_gradient_NR.T @ x_ND
            x_gradient_ND.addmm_(u_gradient_NR, a_RD)
        return x_gradient_ND.to(ctx.dtype).unflatten(0, gradient.shape[:-1]), None, None, None, a_gradient_RD, *b_gradients


FUSED = {T5Attention: FusedAttention, T5LayerNorm: FusedLayerNorm}

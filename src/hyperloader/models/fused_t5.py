"""T5's attention and layer norm in fewer kernels than Transformers takes, equal to them but for rounding.

On a GPU a step of a small batch waits for kernels to be launched rather than computed. The classes keep T5's parameters and names.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.t5.modeling_t5 import T5Attention, T5LayerNorm


def fuse(backbone: nn.Module) -> None:
    """Let a T5's attention and norms be computed by the classes below; modules of other classes, or none, stay as they are."""
    for module in backbone.modules():
        module.__class__ = FUSED.get(type(module), type(module))


def unfuse(backbone: nn.Module) -> None:
    """Let them be computed by Transformers again, to compare."""
    plain = {fused: plain for plain, fused in FUSED.items()}
    for module in backbone.modules():
        module.__class__ = plain.get(type(module), type(module))


class FusedLayerNorm(T5LayerNorm):
    """x / sqrt(mean(x^2) + eps) * weight."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return F.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)


class FusedAttention(T5Attention):
    """softmax(q k' + relative bias + mask) v, by `scaled_dot_product_attention`.

    With a cache of keys and values, as decoding has it, or where the attention's weights are asked for, it is Transformers' own.
    """

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
        source = hidden_states if key_value_states is None else key_value_states
        q, k, v = self._heads(self.q(hidden_states)), self._heads(self.k(source)), self._heads(self.v(source))
        if position_bias is None:
            terms = [] if mask is None else [mask[..., : k.shape[2]]]
            if self.has_relative_attention_bias:
                terms.append(self.compute_bias(q.shape[2], k.shape[2], device=q.device, cache_position=cache_position))
            # once for all layers
            position_bias = sum(terms, q.new_zeros(())).expand(len(q), self.n_heads, q.shape[2], k.shape[2]).to(q.dtype)
        dropout = self.dropout if self.training else 0.0
        # T5 does not divide by the root of the heads' width
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=position_bias, dropout_p=dropout, scale=1.0)
        return self.o(heads.transpose(1, 2).flatten(2)), position_bias

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, length, heads x width) -> (batch, heads, length, width)."""
        return x.unflatten(-1, (self.n_heads, self.key_value_proj_dim)).transpose(1, 2)


FUSED = {T5Attention: FusedAttention, T5LayerNorm: FusedLayerNorm}

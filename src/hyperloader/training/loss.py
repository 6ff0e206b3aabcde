"""What a step minimises: cross-entropy over the target tokens (eq. 1), computed with the gradient of what the head is given.

    z = x W' + b           per token, over the vocabulary
    L = sum over the tokens of (1 - e) (log sum exp z - z_y) + e (log sum exp z - mean z)
    dL/dz = softmax z - (1 - e) onehot y - e / V

The logits of all tokens are the largest tensor of a step, 123 MB at T5-base's size with a batch of 32. So they are made chunk by chunk,
and each chunk is turned into its gradient in place, as in Liger kernels and cut cross-entropy.

Shape suffixes: N tokens, D width of what the head is given, V vocabulary or classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hyperloader.models.precision import product_dtype
from hyperloader.models.task_model import Head
from hyperloader.text.batches import IGNORED

# tokens whose logits are held at a time, but at least as many as the states are wide: fewer would wait for the weight to be read
CHUNK = 512


def token_loss(states: Tensor, head: nn.Linear | Head, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy, summed over the target tokens of a batch; in float32 at least, whatever the products are made in.

    Args:
        states: (batch, length, width), what the head is given.
        head: linear, to (batch, length, vocabulary).
        labels: (batch, length), padding -100.
        label_smoothing: e in (1 - e) * nll + e / V * sum over the vocabulary of -log p.
    """
    # a parameter counts as one that needs a gradient even where none is taken
    weight, bias = (own if own is None or torch.is_grad_enabled() else own.detach() for own in (head.weight, head.bias))
    return _LinearCrossEntropy.apply(states.flatten(0, 1), weight, bias, labels.flatten(), label_smoothing)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, labels_N: Tensor, smoothing: float) -> Tensor:
        V = len(weight_VD)
        dtype = product_dtype(states_ND)
        wide = torch.promote_types(states_ND.dtype, torch.float32)
        for_states, for_weight, for_bias = ctx.needs_input_grad[:3]
        loss = torch.zeros((), dtype=wide, device=states_ND.device)
        states_gradient_ND = torch.empty_like(states_ND) if for_states else None
        weight_gradient_VD = torch.zeros_like(weight_VD) if for_weight else None
        bias_gradient_V = torch.zeros_like(bias_V) if for_bias else None
        with torch.autocast(states_ND.device.type, enabled=False):
            product_VD = weight_VD.to(dtype)
            size = max(CHUNK, states_ND.shape[1])
            for start in range(0, len(states_ND), size):
                x_ND, y_N = states_ND[start : start + size].to(dtype), labels_N[start : start + size]
                kept_N = y_N != IGNORED
                index_N1 = y_N.where(kept_N, 0)[:, None]
                z_NV = (x_ND @ product_VD.T).to(wide)
                if bias_V is not None:
                    z_NV += bias_V
                highest_N1 = z_NV.max(-1, keepdim=True).values
                each_N = -(1 - smoothing) * z_NV.gather(1, index_N1)[:, 0]
                if smoothing:
                    each_N -= smoothing * z_NV.mean(-1)
                p_NV = z_NV.sub_(highest_N1).exp_()
                total_N1 = p_NV.sum(-1, keepdim=True)
                each_N += (highest_N1 + total_N1.log())[:, 0]
                loss += (each_N * kept_N).sum()
                if not (for_states or for_weight or for_bias):
                    continue
                kept_N1 = kept_N[:, None].to(wide)
                p_NV *= kept_N1 / total_N1
                if smoothing:
                    p_NV -= smoothing / V * kept_N1
                p_NV.scatter_add_(1, index_N1, -(1 - smoothing) * kept_N1)
                gradient_NV = p_NV.to(dtype)
                if for_states:
                    states_gradient_ND[start : start + size] = gradient_NV @ product_VD
                if for_weight:
                    weight_gradient_VD += gradient_NV.T @ x_ND
                if for_bias:
                    bias_gradient_V += p_NV.sum(0)
        ctx.save_for_backward(states_gradient_ND, weight_gradient_VD, bias_gradient_V)
        return loss

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return *(None if own is None else own * gradient for own in ctx.saved_tensors), None, None

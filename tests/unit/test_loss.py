"""The loss that makes its own gradients, against PyTorch's cross-entropy and automatic differentiation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from hyperloader.training import loss
from hyperloader.training.loss import token_loss


def parts(batch, length, width, vocabulary, bias, ignored, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(width, vocabulary, bias=bias, dtype=dtype)
    for parameter in head.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=dtype)
    states = (3 * torch.randn(batch, length, width, generator=generator, dtype=dtype)).requires_grad_()
    labels = torch.randint(vocabulary, (batch, length), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = -100
    return states, head, labels


class Products(TorchDispatchMode):
    """Counts products of matrices."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += function.overloadpacket.__name__ == "mm"
        return function(*arguments, **(options or {}))


def gradients(value, states, head):
    return [value.detach(), *torch.autograd.grad(2 * value, [states, *head.parameters()])]


@given(
    batch=st.integers(1, 4),
    length=st.integers(1, 5),
    width=st.integers(1, 6),
    vocabulary=st.integers(1, 9),
    bias=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]),
    ignored=st.sampled_from([0.0, 0.3, 1.0]),
    chunk=st.sampled_from([1, 3, 512]),
    seed=st.integers(0, 99),
)
def test_loss_and_gradients_are_those_of_torch(batch, length, width, vocabulary, bias, smoothing, ignored, chunk, seed):
    states, head, labels = parts(batch, length, width, vocabulary, bias, ignored, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "CHUNK", chunk)
        own = gradients(token_loss(states, head, labels, label_smoothing=smoothing), states, head)
    logits = head(states).flatten(0, 1)
    expected = F.cross_entropy(logits, labels.flatten(), label_smoothing=smoothing, reduction="sum")
    for value, reference in zip(own, gradients(expected, states, head), strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-10, atol=1e-10)


def test_label_smoothing_against_its_formula():
    states, head, _ = parts(2, 3, 4, 7, True, 0.0, 0)
    labels = torch.tensor([[1, 2, -100], [6, -100, -100]])
    logp = head(states).log_softmax(-1)
    expected = sum(-0.9 * logp[i, j, k] - 0.1 / 7 * logp[i, j].sum() for i, j, k in [(0, 0, 1), (0, 1, 2), (1, 0, 6)])
    torch.testing.assert_close(token_loss(states, head, labels, label_smoothing=0.1), expected)


def test_a_frozen_head_gets_no_gradient_and_none_is_made_where_none_is_wanted():
    states, head, labels = parts(2, 3, 4, 7, False, 0.3, 1)
    head.requires_grad_(False)
    token_loss(states, head, labels).backward()
    assert head.weight.grad is None and states.grad.any()
    with torch.no_grad():
        assert not token_loss(states, head, labels).requires_grad
    products = Products()
    # a trainable one has none either in a validation: nothing is multiplied but the states with its weight
    with torch.no_grad(), products:
        token_loss(states.detach(), head.requires_grad_(True), labels)
    assert products.count == 1


def test_in_bf16_only_the_products_are_rounded():
    states, head, labels = parts(4, 5, 64, 300, False, 0.2, 2, torch.float32)
    rounded = nn.Linear(64, 300, bias=False)
    rounded.weight.data = head.weight.detach().bfloat16().float()
    exact = token_loss(states.detach().bfloat16().float(), rounded, labels)
    with torch.autocast("cpu", torch.bfloat16):
        value = token_loss(states, head, labels)
    assert value.dtype == torch.float32
    # of each logit a rounding to 8 bits: relative to the largest, some ten here
    count, largest = (labels != -100).sum(), rounded(states).abs().max()
    assert abs(value - exact) <= count * largest * 2**-8
    (gradient,) = torch.autograd.grad(value, states)
    assert gradient.dtype == torch.float32

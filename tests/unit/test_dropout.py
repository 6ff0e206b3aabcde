"""The dropout of CPUs has the distribution of torch's."""

import pytest
import torch
from torch import nn

from hyperloader.training.dropout import CPUDropout, use_cpu_dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_drops_its_share_and_scales_the_rest(p, dtype):
    torch.manual_seed(0)
    x = torch.ones(401, 503, dtype=dtype, requires_grad=True)
    y = CPUDropout(p)(x)
    assert y.dtype == dtype and y.shape == x.shape
    kept = y != 0
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=0.005)
    assert y[kept].float().mean().item() == pytest.approx(1 / (1 - p), rel=5e-3)
    # neighbours share a random number: they must not share their fate
    flat = kept.flatten()[: kept.numel() // 4 * 4].view(-1, 4).double()
    assert torch.corrcoef(flat.T).fill_diagonal_(0).abs().max() < 0.02
    y.sum().backward()
    assert torch.equal(x.grad != 0, kept)


def test_nothing_is_dropped_in_evaluation_or_without_a_share():
    x = torch.randn(7)
    assert torch.equal(CPUDropout(0.3).eval()(x), x)
    assert torch.equal(CPUDropout(0.0)(x), x)
    assert CPUDropout(0.3)(torch.empty(0, 3)).shape == (0, 3)


def test_a_model_gets_it_in_place_and_repeats_itself_by_seed():
    model = nn.Sequential(nn.Dropout(0.2), nn.Linear(3, 3), nn.Dropout(0.4)).train()
    before = dict(model.state_dict())
    use_cpu_dropout(model)
    assert [type(model[place]) for place in (0, 2)] == [CPUDropout] * 2 and model[2].p == 0.4
    assert model.state_dict().keys() == before.keys()
    x = torch.ones(50, 3)
    outputs = []
    for _ in range(2):
        torch.manual_seed(1)
        outputs.append(model(x))
    assert torch.equal(*outputs)

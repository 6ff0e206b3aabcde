"""Dropout for CPUs, where drawing the mask costs more than all else of it.

torch draws one random number for each element. Here one of 64 bits serves four elements, each of which is dropped if its 16 bits, as a
number, are below the probability; that rounds the probability to a multiple of 1/65,536.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 2**16


class CPUDropout(nn.Dropout):
    """`nn.Dropout` with the same distribution, but for the rounding of `p`, and other draws."""

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.p * LEVELS)
        if not self.training or not dropped:
            return x
        # the whole range of 64 bits, sign included
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = bits.view(torch.int16)[: x.numel()] >= dropped - LEVELS // 2
        return x * kept.view(x.shape) * (LEVELS / (LEVELS - dropped))


def use_cpu_dropout(model: nn.Module) -> None:
    """Let the dropout layers of a model that is trained on a CPU be these, in place."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = CPUDropout

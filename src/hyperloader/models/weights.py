"""What every weight must be, wherever it is read from: a finite floating-point number."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def unfit(tensors: Mapping[str, Tensor]) -> list[str]:
    """What no training leaves, in a few words for each tensor: NaN, infinity, and other numbers than floating-point ones."""
    problems = []
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATS:
            problems.append(f"'{name}' is of type {str(tensor.dtype).removeprefix('torch.')}, no floating-point numbers of 16 bits or more")
        elif not torch.isfinite(tensor).all():
            problems.append(f"'{name}' holds NaN or infinity")
    return problems

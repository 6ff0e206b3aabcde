"""One meaning of each precision for every method, in training and prediction, on CPU and GPU.

fp32    all in float32
tf32    float32, but a GPU's matrix products round their factors to 10 bits; the same as fp32 on a CPU
bf16    matrix products in bfloat16; embeddings, norms, softmax, the residual stream, the loss and trained weights in float32
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from hyperloader.config.settings import Precision


def prepare(model: nn.Module, precision: Precision) -> None:
    """Store a model's weights for a precision; trained ones stay in float32, which loses no small update."""
    # of a GPU's attentions, cuDNN's is the slower one for short sentences (docs/training-speed.md)
    torch.backends.cuda.enable_cudnn_sdp(False)
    if precision == "bf16":
        # a head that is tied to the embeddings is stored as these
        embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
        for module in model.modules():
            if isinstance(module, nn.Linear) and id(module.weight) not in embeddings:
                for parameter in module.parameters(recurse=False):
                    if not parameter.requires_grad:
                        parameter.data = parameter.data.to(torch.bfloat16)


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager:
    """What a forward pass of a prepared model stands in.

    A GPU's rounding for tf32 is a switch of the whole process, set here and left so for the backward pass.
    """
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def product_dtype(x: Tensor) -> torch.dtype:
    """The type that matrix products of this tensor are made in."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if x.dtype == torch.float32 and torch.is_autocast_enabled(kind) else x.dtype

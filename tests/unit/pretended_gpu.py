"""A step of every method on pretended CUDA tensors: what it would launch, copy between host and device, and read on the host.

Run by test_pretended_gpu.py in a process of its own; prints one line of JSON per method, precision, and training or not; and for the
pre-training of backbones.
"""

import json
import sys
from collections import Counter
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.t5.modeling_t5 import T5Block

from hyperloader.text import batches
from hyperloader.training import steps
from hyperloader.training.backbones.bert import GUESSING, TwoHeadedBert
from hyperloader.training.backbones.t5 import keep_unseen_embeddings

from test_on_a_gpu import SIZES, batch_of, model, training  # isort: skip

CUDA = torch.device("cuda")
# of backbones, and the method whose batches serve for it
PRETRAININGS = {"pretraining_t5": "full_finetuning", "pretraining_bert": "unipelt_bert"}
# no kernels: they look at a tensor in another way, or reserve memory
VIEWS = {"alias", "as_strided", "detach", "device", "diagonal", "empty", "empty_like", "empty_strided", "expand", "lift_fresh", "new_empty"}
VIEWS |= {"new_empty_strided", "permute", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unfold"}
VIEWS |= {"unsafe_split", "unsqueeze", "view", "_reshape_alias", "_unsafe_view"}
READS = {"_local_scalar_dense", "item", "nonzero", "equal", "is_nonzero"}


class Watch(TorchDispatchMode):
    """Counts kernels, copies between host and device, and reads on the host."""

    def __init__(self):
        super().__init__()
        self.kernels, self.copies, self.reads = Counter(), Counter(), Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        name = function.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((arguments, options, result)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors if tensor.device.type == "cuda" or tensor.dim()}
        if name in READS:
            self.reads[name] += 1
        elif name in ("_to_copy", "copy_") and len(devices) > 1:
            self.copies[f"{name} {tuple(tensors[0].shape)}"] += 1
        elif name not in VIEWS and "cuda" in devices:
            self.kernels[name] += 1
        return result


@contextmanager
def rounded():
    """Autocast as a GPU does it; the usual way in refuses where there is none."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", False)


def pretend(module, mode):
    """Move a real model to the pretended device, tied weights once."""
    moved = {}

    def of(tensor):
        if id(tensor) not in moved:
            copy = mode.from_tensor(tensor.detach()).to(CUDA)
            moved[id(tensor)] = nn.Parameter(copy, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy
        return moved[id(tensor)]

    for own in module.modules():
        for place in (own._parameters, own._buffers):
            place.update({name: of(tensor) for name, tensor in place.items() if tensor is not None})


def pretrained(name):
    """What a pre-training trains, and a batch of it."""
    real = batch_of(PRETRAININGS[name], 2)
    if name == "pretraining_t5":
        return model("full_finetuning"), real
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100}
    bert = TwoHeadedBert(BertModel(BertConfig(**sizes), add_pooling_layer=False), ("a", "b"))
    return bert, batches.Batch(GUESSING, real.inputs, real.labels)


def step(name, precision, train):
    """Watch one step after a first one, which makes the optimiser's states."""
    built, real = pretrained(name) if name in PRETRAININGS else (model(name), batch_of(name, 2))
    settings = training(precision=precision)
    mode, residual = FakeTensorMode(allow_non_fake_inputs=True), set()
    with mode:
        pretend(built, mode)
        if name in PRETRAININGS:
            keep_unseen_embeddings(built.backbone.get_input_embeddings().weight, range(50))
        built.to = lambda device: built
        built.place(CUDA, precision)
        for module in built.modules():
            if isinstance(module, T5Block | BertLayer):
                module.register_forward_hook(lambda _, arguments, output: residual.add(str(output[0].dtype)))
        told = built.choose(real.task)
        inputs = {key: mode.from_tensor(tensor).to(CUDA) for key, tensor in real.inputs.items()}
        labels = mode.from_tensor(real.labels).to(CUDA)
        weights, objective = list(built.trainable_state().values()), steps.Objective(built, settings).train(train)
        optimizer = torch.optim.AdamW(weights, lr=1e-3, fused=True, capturable=True) if train else None
        watch = Watch()
        for seen in (nullcontext(), watch):
            with seen, nullcontext() if train else torch.no_grad():
                loss = objective(told, inputs, labels)
                if train:
                    loss.backward()
                    nn.utils.clip_grad_norm_(weights, 1.0)
                    optimizer.step()
                    optimizer.zero_grad()
    states = {value.device.type for own in optimizer.state.values() for value in own.values()} if train else set()
    return {
        "kernels": sum(watch.kernels.values()),
        "copies": watch.copies,
        "reads": watch.reads,
        "residual": sorted(residual),
        "states": sorted(states),
    }


if __name__ == "__main__":
    batches.LENGTH_STEP = 8
    steps.arithmetic = lambda device, precision: rounded() if precision == "bf16" else nullcontext()
    for name in (*SIZES, *PRETRAININGS):
        for precision in ("fp32", "bf16"):
            for train in (True, False):
                print(json.dumps({"method": name, "precision": precision, "train": train, **step(name, precision, train)}))
    sys.stdout.flush()

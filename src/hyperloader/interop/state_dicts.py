"""State dicts of the original implementations: into a model here, and out of one."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_utils import no_init_weights

from hyperloader.errors import RunError
from hyperloader.interop.layouts import Layout, read_layout
from hyperloader.interop.names import CROSS_ATTENTION_BIAS, embedding_aliases, original_tensors, without_wrappers
from hyperloader.methods.registry import get_method
from hyperloader.models.hypernetwork import Sizes
from hyperloader.models.task_model import HypernetworkT5, TaskModel
from hyperloader.models.weights import unfit

log = logging.getLogger(__name__)

SHOWN_PROBLEMS = 5


def load_original_checkpoint(state_dict: Mapping[str, Tensor | np.ndarray], backbone: T5Config | T5ForConditionalGeneration) -> TaskModel:
    """Build the model of a checkpoint of HyperFormer++, HyperLoader or Hyperdecoder.

    Which of them it is, its sizes and its tasks are read from names and shapes; the slot types of the tasks are not known.
    The prefix `module.` of DataParallel is left out of the names.

    Args:
        state_dict: tensors under the names of the original implementation (rabeehk/hyperformer, jgermanob/hyperformer,
            allenai/hyperdecoders).
        backbone: the configuration of its T5, when the state dict holds all of T5's weights; or a T5, whose frozen weights
            stand in where the state dict has none. It is left as it is.

    Returns:
        The model in evaluation mode: `model(task=..., input_ids=..., attention_mask=..., decoder_input_ids=...)`; one of
        Hyperdecoder takes any task. Its type is the tensors' own where they have one in common, otherwise that of the T5,
        without one float32.

    Raises:
        RunError: it is a checkpoint of none of the three, or a tensor is missing, unknown or of a wrong shape; names it.
    """
    t5 = None if isinstance(backbone, T5Config) else backbone
    config = backbone if t5 is None else t5.config
    state = _without_aliases(original_names(state_dict), config)
    layout = read_layout(state, config)
    model = _build(layout, config)
    device = next(iter(state.values())).device if t5 is None else t5.device
    dtypes = {tensor.dtype for tensor in state.values()}
    dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32 if t5 is None else t5.dtype
    if t5 is not None:
        frozen = {name for name, parameter in model.backbone.named_parameters() if not parameter.requires_grad}
        state = {name: tensor for name, tensor in t5.state_dict().items() if name in frozen} | state
        model.backbone.generation_config = copy.deepcopy(t5.generation_config)
    _check(original_tensors(model)[0], state)
    model = model.to(dtype).to_empty(device=device)
    # memory of its own for each parameter: tied ones have to be tied again
    model.backbone.tie_weights()
    with torch.no_grad():
        for name, tensor in original_tensors(model)[0].items():
            tensor.copy_(state[name])
    return model.eval()


def original_state_dict(model: TaskModel) -> dict[str, Tensor]:
    """A model's weights, T5's included, under the names of the original implementation.

    Args:
        model: HyperFormer++, HyperLoader as published, or Hyperdecoder.

    Returns:
        Copies of the tensors, in the names and shapes that `load_original_checkpoint` takes.

    Raises:
        RunError: the originals have no names for this model.
    """
    remedy = "HyperFormer++, HyperLoader with one generator per stack and no LoRA bias, and Hyperdecoder have such names"
    tensors, others = original_tensors(model)
    if others:
        raise RunError(f"the original implementations have no name for '{others[0]}'", remedy=remedy)
    try:
        published = _build(read_layout(tensors, model.backbone.config), model.backbone.config)
    except RunError:
        raise RunError("this model is none that the original implementations have", remedy=remedy) from None
    if _parameters(model) != _parameters(published):
        raise RunError("the original implementations have no such variant", remedy=remedy)
    tensors |= dict.fromkeys(embedding_aliases(model.backbone.config), tensors["shared.weight"])
    return {name: tensor.clone() for name, tensor in tensors.items()}


def original_names(state_dict: Mapping[str, Tensor | np.ndarray]) -> dict[str, Tensor]:
    """Tensors under their bare names, without what current T5 does not have.

    Raises:
        RunError: something in the state dict is not a tensor of finite floating-point numbers; names it.
    """
    state = {}
    for name, value in without_wrappers(state_dict).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value = torch.tensor(value)
        if not (isinstance(value, Tensor) and value.is_floating_point()):
            raise RunError(f"'{name}' of the checkpoint is not a tensor of floating-point numbers")
        state[name] = value.detach()
    if problems := unfit(state):
        raise RunError(f"the checkpoint's {problems[0]}", remedy="take one that was saved while its training went well")
    bias = state.pop(CROSS_ATTENTION_BIAS, None)
    if bias is not None and bias.any():
        log.warning("'%s' is left out: current T5 has no such bias, so that outputs differ from the original's", CROSS_ATTENTION_BIAS)
    return state


def _without_aliases(state: dict[str, Tensor], config: T5Config) -> dict[str, Tensor]:
    """One name for the embeddings, which have several."""
    names = ("shared.weight", *embedding_aliases(config))
    given = [name for name in names if name in state]
    for name in given[1:]:
        if not torch.equal(state[name], state[given[0]].to(state[name])):
            raise RunError(f"'{name}' and '{given[0]}' of the checkpoint differ, but the T5 has one tensor for both")
    embeddings = {"shared.weight": state[given[0]]} if given else {}
    return embeddings | {name: tensor for name, tensor in state.items() if name not in names}


def _build(layout: Layout, config: T5Config) -> TaskModel:
    """The model of a layout, without memory for its weights."""
    with torch.device("meta"), no_init_weights():
        t5 = T5ForConditionalGeneration(copy.deepcopy(config))
        # which no_init_weights leaves out as well
        t5.tie_weights()
        if layout.method == "hyperdecoder":
            method = get_method(layout.method)
            return method.build(t5, {}, method.settings(layout.sizes))
        return HypernetworkT5(t5, dict.fromkeys(layout.tasks, ()), Sizes(**layout.sizes))


def _check(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    # shapes first: a wrong number of layers shows in a single one of them, and in many names
    wrong = [
        f"'{name}' has shape {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
        for name, tensor in state.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    wrong += [f"'{name}' is missing" for name in expected if name not in state]
    wrong += [f"'{name}' is unknown" for name in state if name not in expected]
    if wrong:
        more = len(wrong) - SHOWN_PROBLEMS
        shown = "; ".join(wrong[:SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        count = "1 tensor" if len(wrong) == 1 else f"{len(wrong)} tensors"
        raise RunError(f"the checkpoint does not fit the model in {count}: {shown}")


def _parameters(model: TaskModel) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in model.named_parameters()}

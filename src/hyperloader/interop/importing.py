"""`hyperloader import`: from a checkpoint file of an original implementation to a saved model."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import T5ForConditionalGeneration

from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.readers.checks import shown
from hyperloader.errors import BackboneError, RunError, SettingsError
from hyperloader.files import readable
from hyperloader.formulations import formulation_of
from hyperloader.interop.layouts import Layout, read_layout
from hyperloader.interop.names import embedding_aliases
from hyperloader.interop.state_dicts import load_original_checkpoint, original_names
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import Lengths, save_pretrained
from hyperloader.models.backbones import T5Backbone, open_backbone
from hyperloader.models.task_model import TaskModel
from hyperloader.text.sentt import INSIDE, OUTSIDE

log = logging.getLogger(__name__)

FILES = ("model.safetensors", "pytorch_model.bin")


def import_checkpoint(checkpoint: Path, backbone: Path, output: Path, labels: Sequence[str] = (), corpora: Sequence[Path] = ()) -> None:
    """Write a checkpoint as a saved model, which `methods.loading.from_pretrained` reads.

    Args:
        checkpoint: a safetensors file, a file of `torch.save`, or a folder with `model.safetensors` or `pytorch_model.bin`.
        backbone: folder of a T5, whose frozen weights the checkpoint must share.
        output: the folder to write.
        labels: `TASK=FILE`, the file with one slot type a line.
        corpora: folders of prepared corpora, each with the slot types of the task of its name.

    Raises:
        RunError: the checkpoint cannot be read, or does not fit the backbone; nothing is written.
        SettingsError: no settings of the method give the checkpoint's sizes, or a file holds no slot types.
        CorpusError: the original implementation cannot write the slot types.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunError("exists already", file=output, remedy="name a folder that does not")
    file = checkpoint_file(checkpoint)
    slot_types, opened = _slot_types(labels, corpora), open_backbone(backbone)
    if not isinstance(opened, T5Backbone):
        raise BackboneError("is not a T5", file=backbone)
    state, t5 = read_checkpoint(file), opened.model()
    try:
        state = original_names(state)
        layout = read_layout(state, t5.config)
        settings = _settings(layout, t5.config.d_model)
        # trained weights are in float32, as everywhere
        model = load_original_checkpoint(state, t5).float()
    except (RunError, SettingsError) as error:
        raise type(error)(error.message, file=file, remedy=error.remedy) from None
    differing = _differing(model, state, t5)
    if differing is not None:
        remedy = "name the T5 that it was trained on"
        raise RunError(f"'{differing}' is frozen, but differs from that of {backbone}", file=file, remedy=remedy)
    model.tasks = _tasks(layout, slot_types)
    formulation = formulation_of(opened, {})
    for task, types in model.tasks.items():
        formulation.check(task, types, Lengths(), as_they_are=True)
    record = {"method": layout.method, "settings": settings}
    save_pretrained(model, output, **record, backbone=str(backbone.resolve()), backbone_checksum=opened.checksum)
    counts = model.parameter_counts()
    log.info("%s: %s, %s trainable of %s parameters", output, layout.method, f"{counts.trainable:,}", f"{counts.total:,}")


def checkpoint_file(path: Path) -> Path:
    """The file that holds a checkpoint's tensors.

    Raises:
        RunError: there is none.
    """
    files = [path / name for name in FILES] if path.is_dir() else [path]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise RunError(f"has no {' or '.join(FILES)}" if path.is_dir() else "no such file", file=path)
    return found


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file, on the CPU; code in it is not run.

    Raises:
        RunError: it is damaged, or holds anything but tensors by name.
    """
    readable(file, error=RunError)
    try:
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    # whatever a damaged pickle makes its reader stumble over
    except Exception as error:
        remedy = "only tensors by name are read: safetensors, or torch.save of a state dict"
        raise RunError(f"cannot be read ({type(error).__name__})", file=file, remedy=remedy) from None
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise RunError("is not a state dict, tensors by name", file=file)
    return dict(state)


def _differing(model: TaskModel, state: Mapping[str, Tensor], t5: T5ForConditionalGeneration) -> str | None:
    """The name of a frozen weight of a checkpoint that is not the T5's, at the precision that the checkpoint was saved in."""
    frozen = {name: t5.get_parameter(name) for name, parameter in model.backbone.named_parameters() if not parameter.requires_grad}
    frozen |= dict.fromkeys(embedding_aliases(t5.config), t5.shared.weight)
    # what was saved in half precision may be back in float32
    for name, own in frozen.items():
        given = state.get(name, own)
        if not any(torch.equal(given, own.to(dtype).to(given.dtype)) for dtype in (given.dtype, torch.bfloat16, torch.float16)):
            return name
    return None


def _settings(layout: Layout, d_model: int) -> dict:
    """The method's settings that give these sizes."""
    values = dict(layout.sizes)
    if layout.method != "hyperdecoder":
        bottleneck = values.pop("bottleneck")
        if d_model % bottleneck:
            raise SettingsError(
                f"the checkpoint's adapters of {bottleneck} do not divide d_model {d_model}, so that no reduction_factor gives them",
                remedy="in Python, hyperloader.interop.load_original_checkpoint takes any size",
            )
        values["reduction_factor"] = d_model // bottleneck
    if layout.method == "hyperformer_pp":
        del values["lora_rank"]
    return get_method(layout.method).settings(values).model_dump()


def _slot_types(labels: Iterable[str], corpora: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    types: dict[str, tuple[str, ...]] = {}
    for folder in corpora:
        corpus = load_corpus(folder)
        types[corpus.name] = corpus.train_label_types
    for value in labels:
        task, equals, file = value.partition("=")
        if not (task and equals and file):
            raise SettingsError(f"'{value}' is not TASK=FILE")
        if task in types:
            raise SettingsError(f"the slot types of '{task}' are given twice", remedy="name one --labels or --data for each task")
        types[task] = _read_types(Path(file))
    return types


def _read_types(file: Path) -> tuple[str, ...]:
    """The slot types in a file, one a line; blank lines and repetitions do not count."""
    form = "write one slot type a line, without B- and I-, and without O"
    try:
        # a byte order mark is no part of the first one
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError(f"cannot be read ({reason})", file=file, remedy=form) from None
    if _is_json(text):
        raise SettingsError("is JSON", file=file, remedy=form)
    types = {}
    for number, line in enumerate(text.split("\n"), 1):
        name = line.strip()
        if len(name.split()) > 1:
            raise SettingsError(f"{shown(name)} is not one slot type", file=file, line=number, remedy=form)
        if name in (OUTSIDE, INSIDE) or name.startswith(("B-", "I-")):
            raise SettingsError(f"{shown(name)} is a tag and no slot type", file=file, line=number, remedy=form)
        types |= {name: None} if name else {}
    if not types:
        raise SettingsError("holds no slot type", file=file, remedy=form)
    return tuple(types)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list | dict)
    except (ValueError, RecursionError):
        return False


def _tasks(layout: Layout, slot_types: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The checkpoint's tasks with their slot types; Hyperdecoder has those that are named, and takes any if none is."""
    if layout.method == "hyperdecoder":
        return dict(slot_types)
    for task in slot_types:
        if task not in layout.tasks:
            raise RunError(f"the checkpoint has no task '{task}'", remedy=f"its tasks are {', '.join(layout.tasks)}")
    without = [task for task in layout.tasks if task not in slot_types]
    if without:
        log.warning("no slot types are given for %s: every word will be outside", ", ".join(without))
    return {task: slot_types.get(task, ()) for task in layout.tasks}

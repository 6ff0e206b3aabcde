"""`hyperloader import`: from a checkpoint file of an original implementation to a saved model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import BackboneError, RunError, SettingsError
from hyperloader.files import readable
from hyperloader.interop.layouts import Layout, read_layout
from hyperloader.interop.state_dicts import load_original_checkpoint, original_names
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import save_pretrained
from hyperloader.models.backbones import load_backbone

log = logging.getLogger(__name__)

FILES = ("model.safetensors", "pytorch_model.bin")


def import_checkpoint(checkpoint: Path, backbone: Path, output: Path, labels: Sequence[str] = (), corpora: Sequence[Path] = ()) -> None:
    """Write a checkpoint as a saved model, which `saved_models.from_pretrained` reads.

    Args:
        checkpoint: a safetensors file, a file of `torch.save`, or a folder with `model.safetensors` or `pytorch_model.bin`.
        backbone: folder of a T5, whose frozen weights the checkpoint must share.
        output: the folder to write.
        labels: `TASK=FILE`, the file with one slot type a line.
        corpora: folders of prepared corpora, each with the slot types of the task of its name.

    Raises:
        RunError: the checkpoint cannot be read, or does not fit the backbone; nothing is written.
        SettingsError: no settings of the method give the checkpoint's sizes, or the slot types are not those of its tasks.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunError("exists already", file=output, remedy="name a folder that does not")
    file = checkpoint_file(checkpoint)
    slot_types = _slot_types(labels, corpora)
    state, t5 = read_checkpoint(file), load_backbone(backbone)
    if t5.config.model_type != "t5":
        raise BackboneError("is not a T5", file=backbone)
    try:
        layout = read_layout(original_names(state), t5.config)
        settings = _settings(layout, t5.config.d_model)
        # trained weights are in float32, as everywhere
        model = load_original_checkpoint(state, t5).float()
    except (RunError, SettingsError) as error:
        raise type(error)(error.message, file=file, remedy=error.remedy) from None
    for name, parameter in model.backbone.named_parameters():
        if not parameter.requires_grad and not torch.equal(parameter, t5.get_parameter(name)):
            remedy = "name the T5 that it was trained on"
            raise RunError(f"'{name}' is frozen, but differs from that of {backbone}", file=file, remedy=remedy)
    model.tasks = _tasks(layout, slot_types)
    save_pretrained(model, output, method=layout.method, settings=settings, backbone=str(backbone.resolve()))
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
        try:
            lines = Path(file).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot be read ({type(error).__name__})", file=file) from None
        types[task] = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return types


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

"""Trained models on disk: the trainable weights as safetensors, a config that names method, tasks and backbone, and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from hyperloader.config.records import Record, RecordPart
from hyperloader.config.settings import Name, Size, Training
from hyperloader.errors import RunError
from hyperloader.files import readable, replacing_folder
from hyperloader.methods.model_cards import base_model, write_card
from hyperloader.models.backbones import Backbone, find_backbone
from hyperloader.models.task_model import TaskModel
from hyperloader.models.turns import loading
from hyperloader.runs.run import WEIGHTS_NAME, Run

if TYPE_CHECKING:
    from hyperloader.methods.network import NetworkMethod

CONFIG_NAME = "config.json"


class Lengths(RecordPart):
    """Longest input and output in sub-word tokens; the defaults are those of the authors' runs, and former versions wrote none."""

    source_length: PositiveInt = 128
    target_length: PositiveInt = 128


class ModelRecord(Lengths, Record):
    """`config.json` of a saved model.

    Attributes:
        method: name of the method that built it.
        settings: that method's.
        tasks: names of the tasks, with the slot types of each.
        backbone: folder of the backbone.
        corrections: the rank of the low-rank correction of the generators, of each added task that has one.
        backbone_checksum: of the backbone that it was trained on; former versions did not write it, and could not write every slot type
            (`Vocabulary.written`).
    """

    WHAT, VERSION = "the configuration of a saved model", 2
    REMEDY, ABSENT = "train the run again", "name a run that is trained, or the folder of a saved model"

    method: Name
    settings: dict[str, Any]
    tasks: dict[str, list[str]]
    backbone: str
    backbone_checksum: str | None = None
    corrections: dict[Name, Size] = {}


def save_pretrained(
    model: TaskModel,
    folder: str | Path,
    *,
    method: str,
    settings: dict,
    backbone: str,
    backbone_checksum: str | None = None,
    corrections: dict[str, int] | None = None,
    lengths: Training | Lengths | None = None,
) -> None:
    """Write the trainable weights and what it takes to build the model again.

    Args:
        model: the model.
        folder: written as a whole, replaces one of the same name.
        method: name of the method that built the model.
        settings: that method's settings.
        backbone: folder of the backbone.
        backbone_checksum: see `Backbone.checksum`; without it, any backbone in that place will be taken.
        corrections: see `ModelRecord`.
        lengths: that it was trained with.
    """
    tasks = {name: list(types) for name, types in model.tasks.items()}
    named = {"method": method, "settings": settings, "tasks": tasks}
    named |= {} if lengths is None else {name: getattr(lengths, name) for name in Lengths.model_fields}
    config = ModelRecord(**named, backbone=backbone, backbone_checksum=backbone_checksum, corrections=corrections or {})
    with replacing_folder(folder) as temporary:
        config.write(temporary / CONFIG_NAME)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.trainable_state().items()}, temporary / WEIGHTS_NAME)
        write_card(temporary, Path(folder), method=method, tasks=tasks, base=base_model(backbone, temporary))


def read_config(folder: str | Path) -> ModelRecord:
    """What `save_pretrained` wrote beside the weights.

    Raises:
        UserError: it is missing, damaged, or of another version.
    """
    return ModelRecord.read(Path(folder) / CONFIG_NAME)


def backbone_of(folder: str | Path, given: str | Path | None = None) -> Backbone:
    """The backbone that a saved model was trained on, see `find_backbone`.

    A model of a former version does not say what its backbone was; the record of its training does, if it is still in its run.

    Raises:
        UserError: it is missing, damaged, or not the one that the model was trained on.
    """
    folder = Path(folder)
    config, run = read_config(folder), Run(folder.resolve().parent)
    checksum = config.backbone_checksum
    if checksum is None and run.has(Run.RECORD):
        checksum = run.record().checksums.backbone
    return find_backbone(config.backbone, folder / CONFIG_NAME, checksum, given)


@loading
def load_saved(method: NetworkMethod, folder: str | Path, backbone: PreTrainedModel) -> TaskModel:
    """Build a saved model again.

    Args:
        method: that built it.
        folder: what `save_pretrained` wrote.
        backbone: loaded; it is not compared with the one that the folder names.

    Raises:
        RunError: the folder is missing, damaged, or of a newer version.
    """
    folder = Path(folder)
    config = read_config(folder)
    model = method.build(backbone, config.tasks, method.settings(config.settings))
    if config.corrections.keys() - (config.tasks.keys() if method.takes_tasks else ()):
        message = f"has corrections for tasks that no model of {method.name} knows by that name"
        raise RunError(message, file=folder / CONFIG_NAME, remedy=ModelRecord.REMEDY)
    for task, rank in config.corrections.items():
        model.hypernetwork.correct(task, rank)
    model.load_trainable(read_weights(folder), folder / WEIGHTS_NAME)
    return model.eval()


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """The trained weights of a saved model by name.

    Raises:
        RunError: they are missing or damaged.
    """
    weights = readable(Path(folder) / WEIGHTS_NAME, remedy=ModelRecord.REMEDY, error=RunError)
    try:
        return load_file(weights)
    except (OSError, SafetensorError) as error:
        raise RunError(f"cannot be read ({error})", file=weights, remedy=ModelRecord.REMEDY) from None

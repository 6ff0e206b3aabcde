"""Trained models on disk: the trainable weights as safetensors, and a config that names method, tasks and backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from hyperloader.config.records import Record
from hyperloader.config.settings import Name
from hyperloader.errors import RunError
from hyperloader.files import readable, replacing_folder
from hyperloader.models.backbones import Backbone, find_backbone
from hyperloader.models.task_model import TaskModel
from hyperloader.models.turns import loading
from hyperloader.runs.run import Run

if TYPE_CHECKING:
    from hyperloader.methods.network import NetworkMethod

WEIGHTS_NAME, CONFIG_NAME = "model.safetensors", "config.json"


class ModelRecord(Record):
    """`config.json` of a saved model.

    Attributes:
        method: name of the method that built it.
        settings: that method's.
        tasks: names of the tasks, with the slot types of each.
        backbone: folder of the backbone.
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


def save_pretrained(
    model: TaskModel, folder: str | Path, *, method: str, settings: dict, backbone: str, backbone_checksum: str | None = None
) -> None:
    """Write the trainable weights and what it takes to build the model again.

    Args:
        model: the model.
        folder: written as a whole, replaces one of the same name.
        method: name of the method that built the model.
        settings: that method's settings.
        backbone: folder of the backbone.
        backbone_checksum: see `Backbone.checksum`; without it, any backbone in that place will be taken.
    """
    tasks = {name: list(types) for name, types in model.tasks.items()}
    named = {"method": method, "settings": settings, "tasks": tasks}
    config = ModelRecord(**named, backbone=backbone, backbone_checksum=backbone_checksum)
    with replacing_folder(folder) as temporary:
        config.write(temporary / CONFIG_NAME)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.trainable_state().items()}, temporary / WEIGHTS_NAME)


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
    weights = readable(folder / WEIGHTS_NAME, remedy=ModelRecord.REMEDY, error=RunError)
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise RunError(f"cannot be read ({error})", file=weights, remedy=ModelRecord.REMEDY) from None
    model.load_trainable(state, weights)
    return model.eval()

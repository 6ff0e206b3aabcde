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
from hyperloader.models.backbones import load_backbone
from hyperloader.models.task_model import TaskModel

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
    """

    WHAT, VERSION = "the configuration of a saved model", 2
    REMEDY, ABSENT = "train the run again", "name a run that is trained, or the folder of a saved model"

    method: Name
    settings: dict[str, Any]
    tasks: dict[str, list[str]]
    backbone: str


def save_pretrained(model: TaskModel, folder: str | Path, *, method: str, settings: dict, backbone: str) -> None:
    """Write the trainable weights and what it takes to build the model again.

    Args:
        model: the model.
        folder: written as a whole, replaces one of the same name.
        method: name of the method that built the model.
        settings: that method's settings.
        backbone: folder of the backbone.
    """
    tasks = {name: list(types) for name, types in model.tasks.items()}
    config = ModelRecord(method=method, settings=settings, tasks=tasks, backbone=backbone)
    with replacing_folder(folder) as temporary:
        config.write(temporary / CONFIG_NAME)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.trainable_state().items()}, temporary / WEIGHTS_NAME)


def load_saved(method: NetworkMethod, folder: str | Path, backbone: PreTrainedModel | None = None) -> TaskModel:
    """Build a saved model again.

    Args:
        method: that built it.
        folder: what `save_pretrained` wrote.
        backbone: a loaded backbone to use instead of the one that the folder names.

    Raises:
        RunError: the folder is missing, damaged, or of a newer version.
    """
    folder = Path(folder)
    config = read_config(folder)
    if backbone is None:
        backbone = load_backbone(config.backbone)
    model = method.build(backbone, config.tasks, method.settings(config.settings))
    weights = readable(folder / WEIGHTS_NAME, remedy=ModelRecord.REMEDY, error=RunError)
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise RunError(f"cannot be read ({error})", file=weights, remedy=ModelRecord.REMEDY) from None
    model.load_trainable(state, weights)
    return model.eval()


def read_config(folder: str | Path) -> ModelRecord:
    """What `save_pretrained` wrote beside the weights: `method`, its `settings`, `tasks` with their slot types, and `backbone`.

    A backbone that is named relative to another working directory, as in a run of the workflow, is found in the folders
    around the model.

    Raises:
        UserError: it is missing, damaged, or of another version.
    """
    folder = Path(folder)
    config = ModelRecord.read(folder / CONFIG_NAME)
    places = (place / config.backbone for place in (Path(), *folder.resolve().parents))
    return config.model_copy(update={"backbone": str(next(filter(Path.is_dir, places), config.backbone))})

"""A trained run, or a saved model by itself, from its folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from hyperloader.config.settings import Decoding, Precision
from hyperloader.errors import RunError, SettingsError, UserError
from hyperloader.files import read_json, there
from hyperloader.methods.method import Predictor
from hyperloader.methods.registry import get_method
from hyperloader.models.turns import loading
from hyperloader.runs.run import Run

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hyperloader.models.task_model import TaskModel


@loading
def load_predictor(
    folder: str | Path, decoding: Decoding = "free", precision: Precision = "fp32", backbone: str | Path | None = None
) -> Predictor:
    """Load a trained run, or a saved model.

    Args:
        folder: of the run or of the model.
        decoding: how text is written, for a model that writes its answer.
        precision: of a network's weights and arithmetic.
        backbone: folder of the backbone, where the one that the run or the model names is not there.

    Raises:
        UserError: it is missing, untrained or damaged, or there is no such decoding or precision.
    """
    for name, value, known in (("decoding", decoding, get_args(Decoding)), ("precision", precision, get_args(Precision))):
        if value not in known:
            raise SettingsError(f"unknown {name} {value!r}", remedy=f"name one of {', '.join(known)}")
    run = Run(folder)
    if not (there(run.folder) and run.folder.is_dir()):
        raise RunError("no such folder", file=run.folder, remedy="name a run, or the folder of a saved model")
    if not run.has(Run.SETTINGS):
        from hyperloader.methods.saved_models import read_config

        return get_method(read_config(folder).method).predictor(run.folder, None, decoding, precision, backbone)
    if not there(run.model):
        raise RunError("the run has no model", file=run.folder, remedy=f"train it: hyperloader train {run}")
    method = get_method(run.settings.method)
    if backbone is None:
        method.check(run)
    return method.predictor(run.model, run, decoding, precision, backbone)


def tasks_of(folder: str | Path) -> tuple[str, ...] | None:
    """The tasks of a run with a network or of a saved model, without loading it; None where they are not known so soon."""
    run = Run(folder)
    config = (run.model if run.has(Run.SETTINGS) else run.folder) / "config.json"
    with suppress(UserError):  # what is wrong is said by whoever loads it
        match read_json(config):
            case {"tasks": dict(tasks)}:
                return tuple(tasks)
    return None


def from_pretrained(folder: str | Path, backbone: PreTrainedModel | None = None) -> TaskModel:
    """The model in the folder of a saved one.

    Args:
        folder: of the saved model.
        backbone: a loaded backbone to use instead of the one that the folder names; it is not compared with that one.

    Raises:
        UserError: it is missing or damaged, or of a method without a network.
    """
    from hyperloader.methods.network import NetworkMethod
    from hyperloader.methods.saved_models import backbone_of, load_saved, read_config

    method = get_method(read_config(folder).method)
    if not isinstance(method, NetworkMethod):
        raise RunError(f"is of {method.name}, which has no network", file=folder, remedy="name a model of another method")
    return load_saved(method, folder, backbone_of(folder).model() if backbone is None else backbone)

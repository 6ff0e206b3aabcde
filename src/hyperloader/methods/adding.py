"""One more task for a trained model with a hypernetwork, without training it again (docs/new-tasks.md)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from hyperloader.config.places import near
from hyperloader.config.settings import AddedTask, RunSettings, validate
from hyperloader.corpora.prepared import MANIFEST, read_prepared_manifest
from hyperloader.corpora.registry import get_corpus
from hyperloader.errors import BackboneError, CorpusError, RunError
from hyperloader.files import there, write_text
from hyperloader.methods.network import NetworkMethod
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import backbone_of, load_saved, read_config, read_weights
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import Backbone
from hyperloader.models.task_model import HypernetworkT5, TaskModel
from hyperloader.runs.run import Run
from hyperloader.text.batches import Batch
from hyperloader.training.network import loss_as

log = logging.getLogger(__name__)

EMBEDDINGS = "hypernetwork.task_embeddings.weight"


class Addition:
    """What a run that adds a task starts from and leaves.

    In the modes `embedding` and `low_rank` the model knows the new task and all those of the run that it is added to, which stay as they
    are to the last bit. In the mode `all`, for comparison, everything is trained on from there, for the new task alone.

    Args:
        method: of both runs.
        run: that adds the task; its settings say to which one.
        backbone: of the run.

    Raises:
        RunError: that one is not trained, is of another method, or knows the task already.
        BackboneError: it has another backbone.
    """

    def __init__(self, method: NetworkMethod, run: Run, backbone: Backbone):
        self._method, self._settings, self._added = method, run.settings, run.settings.added
        known = trained_run(near(self._added.run, run.folder))
        if known.settings.method != method.name:
            raise RunError(f"is of {known.settings.method}, and not of {method.name}", file=known.folder)
        self._saved, self._record = known.model, read_config(known.model)
        (self._task,) = run.settings.data
        refuse_known(self._task, self._record.tasks, known)
        if backbone_of(known.model).checksum != backbone.checksum:
            raise BackboneError(f"is not the backbone of {known}", file=run.backbone, remedy="name that one's under 'backbone'")
        self._z: nn.Parameter | None = None

    @property
    def corrections(self) -> dict[str, int]:
        """See `ModelRecord`."""
        own = {self._task: self._added.rank} if self._added.mode == "low_rank" else {}
        return {} if self._added.mode == "all" else self._record.corrections | own

    def build(self, backbone, tasks: Mapping[str, Sequence[str]]) -> TaskModel:
        """The model before it has learned the task."""
        state = read_weights(self._saved)
        if EMBEDDINGS not in state:
            raise RunError("has no trained task embeddings", file=self._saved, remedy="add the task to a run that has some")
        z = torch.randn_like(state[EMBEDDINGS][0]) if self._added.start == "random" else state[EMBEDDINGS].mean(0)
        if self._added.mode == "all":
            model = self._method.build(backbone, tasks, self._method.settings(self._record.settings))
            own = model.trainable_state().keys()
            model.load_trainable({name: tensor for name, tensor in state.items() if name in own} | {EMBEDDINGS: z[None]})
            self._z = model.hypernetwork.task_embeddings.weight
            return model
        model = load_saved(self._method, self._saved, backbone)
        model.add_task(self._task, tasks[self._task], z, self._added.rank if self._added.mode == "low_rank" else 0)
        self._z = model.hypernetwork.task_embeddings.added
        return model

    @torch.no_grad()
    def start(self, model: HypernetworkT5, validation: Mapping[str, Sequence[Batch]]) -> None:
        """Put z where it is to start from, if that is the nearest known one."""
        if self._added.start != "nearest":
            return
        known, batches = load_saved(self._method, self._saved, backbone_of(self._saved).model()), validation[self._task]
        losses = {task: loss_as(known, task, batches, self._settings.training) for task in known.tasks}
        nearest = min(losses, key=losses.__getitem__)
        log.info("z starts from that of %s, of the losses %s", nearest, ", ".join(f"{task} {loss:.3f}" for task, loss in losses.items()))
        self._z.copy_(read_weights(self._saved)[EMBEDDINGS][[list(losses).index(nearest)]])

    def finish(self, model: HypernetworkT5) -> None:
        """Make the trained model one that is saved and loaded as any other."""
        if self._added.mode != "all":
            model.settle()


def add_task(
    run: str | Path,
    corpus: str | Path,
    output: str | Path,
    *,
    added: Mapping[str, object] | None = None,
    training: Mapping[str, object] | None = None,
    **amount: object,
) -> Run:
    """Add a task to a trained run: writes another run, whose model knows it.

    Args:
        run: folder of a trained run with a hypernetwork.
        corpus: its name, if it is prepared beside those of the run, or its folder.
        output: folder of the new run; one that was stopped goes on, and one that is trained is left as it is, if it was on the same.
        added: settings of `AddedTask` that differ from the defaults.
        training: settings that differ from those that follow from the run's training, or, of one that a task was added to, from that
            of the run before all additions.
        amount: `percent`, `shots` and `seed` of the new run.

    Returns:
        The new run.

    Raises:
        UserError: run or corpus are missing or do not fit, the task is known already, or the output is another run.
    """
    known, new = trained_run(run), Run(output)
    first = first_run(known).settings
    get_method(known.settings.method).check_takes_tasks(known)
    folder = corpus_folder(known, corpus)
    name = read_prepared_manifest(folder).corpus
    refuse_known(name, read_config(known.model).tasks, known)
    changes = {key: value for key, value in (training or {}).items() if value is not None}
    task = validate(AddedTask, {"run": str(known.folder.resolve())} | dict(added or {}))
    values = known.settings.model_dump() | {
        "data": {name: str(folder.resolve())},
        "backbone": None if known.backbone is None else str(known.backbone.resolve()),
        "training": task.training_of(first.training, len(first.data)).model_dump() | changes,
        "added": task.model_dump(),
        "percent": 100.0,
        "shots": None,
        **{key: value for key, value in amount.items() if value is not None},
    }
    settings = validate(RunSettings, values, new.folder / Run.SETTINGS)
    if new.has(Run.SETTINGS) and new.settings != settings:
        raise RunError("is a run of other settings", file=new.folder, remedy="name another folder")
    if not new.has(Run.SETTINGS):
        if there(new.folder) and (not new.folder.is_dir() or any(new.folder.iterdir())):
            raise RunError("exists already", file=new.folder, remedy="name a folder that does not")
        write_text(new.folder / Run.SETTINGS, settings.model_dump_json(indent=2) + "\n")
    train_run(new.folder)
    return new


def trained_run(folder: str | Path) -> Run:
    """A run that has a model.

    Raises:
        RunError: there is no such run, or it is not trained.
    """
    run = Run(folder)
    if not run.has(Run.SETTINGS):
        raise RunError("is no run", file=run.folder, remedy="name a run directory, with its settings.json")
    if not there(run.model):
        raise RunError("the run has no model", file=run.folder, remedy=f"train it: hyperloader train {run}")
    return run


def first_run(run: Run) -> Run:
    """The run that tasks were added to one after the other; the run itself, if none was.

    Raises:
        RunError: it is not there any more.
    """
    while run.settings.added is not None:
        before = Run(near(run.settings.added.run, run.folder))
        if not before.has(Run.SETTINGS):
            raise RunError(f"the run is not there that {run} adds its task to", file=before.folder, remedy="put it back")
        run = before
    return run


def corpus_folder(run: Run, corpus: str | Path) -> Path:
    """The folder of a prepared corpus, given itself or by its name among those that a run was trained on.

    Raises:
        CorpusError: there is none.
    """
    places = [Path(corpus), *(folder.parent / corpus for folder in run.data.values())]
    found = next((place for place in places if there(place / MANIFEST)), None)
    if found is None:
        name = get_corpus(str(corpus)).name
        remedy = f"make it of the raw files of those beside it: hyperloader corpora prepare {name} --raw RAW --folder {places[-1]}"
        raise CorpusError(f"the corpus '{name}' is not prepared", file=places[-1], remedy=remedy)
    return found


def refuse_known(task: str, tasks: Iterable[str], run: Run) -> None:
    """Refuse a task that a run knows.

    Raises:
        RunError: it does.
    """
    if task in tasks:
        raise RunError(f"knows the task '{task}' already", file=run.folder, remedy="train it again to learn it of other sentences")

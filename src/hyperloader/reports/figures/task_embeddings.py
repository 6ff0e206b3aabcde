"""The space of tasks: how alike embeddings and generated weights are, beside label overlap and the losses under each other's weights."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr

from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import RunError
from hyperloader.files import write_text
from hyperloader.formulations import formulation_of
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.saved_models import backbone_of
from hyperloader.models.hypernetwork import ADAPTER_POSITIONS, LORA_POSITIONS
from hyperloader.models.task_model import HypernetworkT5
from hyperloader.reports.figures.style import canvas, remark
from hyperloader.reports.tables.sheet import as_csv, decimals
from hyperloader.runs.run import Run
from hyperloader.training.data import validation_batches
from hyperloader.training.network import loss_as
from hyperloader.training.tokenised import Tokeniser

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

HEADER = ("first", "second", "of", "layer", "position", "cosine", "label_overlap", "loss_of_first_as_second", "loss_of_second_as_first")


class Space(NamedTuple):
    """What is known of the tasks.

    Attributes:
        tasks: their names.
        z: cosines of the embeddings (tasks, tasks).
        generated: cosines of all that is generated, likewise.
        places: of each stack, layer and position: cosines of what is generated for it.
        overlap: Jaccard index of the slot types.
        loss: per token, of the row's validation sentences under the column's weights.
    """

    tasks: tuple[str, ...]
    z: np.ndarray
    generated: np.ndarray
    places: dict[tuple[str, int, str], np.ndarray]
    overlap: np.ndarray
    loss: np.ndarray


def write_task_embeddings(run: str | Path, output: str | Path) -> None:
    """Write `task_embeddings.csv`, `.svg` and `.png`.

    Args:
        run: folder of a trained run with a hypernetwork and several tasks.
        output: path without its suffix.

    Raises:
        UserError: run, data or backbone are missing or damaged, or it is another method's.
    """
    space = read_space(Run(run))
    pairs = list(combinations(range(len(space.tasks)), 2))
    beside = {(i, j): (space.overlap[i, j], space.loss[i, j], space.loss[j, i]) for i, j in pairs}
    cosines = {("z", "", ""): space.z, ("generated", "", ""): space.generated} | space.places
    rows = [
        (space.tasks[i], space.tasks[j], *of, *(decimals(value) for value in (own[i, j], *beside[i, j])))
        for of, own in cosines.items()
        for i, j in pairs
    ]
    write_text(Path(output).with_suffix(".csv"), as_csv(HEADER, rows))
    settings = Run(run).settings
    about = f"{settings.method} at {settings.percent:g} %, scale {settings.scale}, recipe {settings.recipe}, seed {settings.seed}"
    _draw(space, f"{about}; correlations are Spearman's over {len(pairs)} pairs of tasks", output)


@torch.no_grad()
def read_space(run: Run) -> Space:
    """Compute all of it; for errors see `write_task_embeddings`."""
    model = from_pretrained(run.model)
    # of a task that was added, the run has no data of the others
    several = len(model.tasks) > 1 and model.tasks.keys() == run.data.keys()
    if not (isinstance(model, HypernetworkT5) and several and model.hypernetwork.task_embeddings is not None):
        message = "has no hypernetwork that was trained on several tasks with an embedding for each"
        raise RunError(message, file=run.folder, remedy="name a run of HyperLoader on several corpora")
    settings, backbone, tasks = run.settings, backbone_of(run.model), tuple(model.tasks)
    corpora = [load_corpus(folder, settings.percent, settings.shots) for folder in run.data.values()]
    tokenise = Tokeniser(formulation_of(backbone, model.tasks), settings.training, backbone.checksum)
    batches = validation_batches(corpora, tokenise, settings.training, settings.seed)
    vectors = [_generated(model, task) for task in tasks]
    labels = [{own.lower() for own in model.tasks[task]} for task in tasks]
    return Space(
        tasks,
        z=_cosines([model.hypernetwork.task_embeddings(torch.tensor(index)) for index in range(len(tasks))]),
        generated=_cosines([torch.cat(list(own.values())) for own in vectors]),
        places={place: _cosines([own[place] for own in vectors]) for place in vectors[0]},
        overlap=np.array([[len(one & other) / max(1, len(one | other)) for other in labels] for one in labels]),
        loss=np.array([[loss_as(model, other, batches[task], settings.training) for other in tasks] for task in tasks]),
    )


def _generated(model: HypernetworkT5, task: str) -> dict[tuple[str, int, str], torch.Tensor]:
    """All numbers generated for a task, by stack, layer and position."""
    found = {}
    for stack, weights in zip(("encoder", "decoder"), model.hypernetwork(task), strict=True):
        for own, positions in ((weights.adapters, ADAPTER_POSITIONS), (weights.lora, LORA_POSITIONS)):
            if own is not None:
                flat = torch.cat([tensor.flatten(2) for tensor in own], dim=-1)
                for layer, row in enumerate(flat):
                    found |= {(stack, layer, position): vector for position, vector in zip(positions, row, strict=False)}
    return found


def _cosines(vectors: list[torch.Tensor]) -> np.ndarray:
    matrix = torch.nn.functional.normalize(torch.stack(vectors).double(), dim=-1)
    return (matrix @ matrix.T).numpy()


def _draw(space: Space, about: str, output: str | Path) -> None:
    known = known_corpora()
    names = [known[task].title if task in known else task for task in space.tasks]
    rows = len({(stack, position) for stack, _, position in space.places})
    with canvas(output, height=2.6 + 0.3 + 0.17 * rows) as figure:
        remark(figure, about)
        above, below = figure.subfigures(2, 1, height_ratios=[2.6, 0.6 + 0.17 * rows])
        _pairs(above, space, names)
        _places(below, space)


def _pairs(part: SubFigure, space: Space, names: list[str]) -> None:
    axes = part.subplots(1, 4, sharey=True)
    shown = (
        ("cosine of z", space.z, -1, 1, "RdBu_r"),
        ("cosine of generated weights", space.generated, -1, 1, "RdBu_r"),
        ("overlap of slot types", space.overlap, 0, 1, "cividis"),
        ("loss of a row as a column", space.loss, 0, space.loss.max(), "cividis_r"),
    )
    for ax, (title, values, low, high, colours) in zip(axes, shown, strict=True):
        ax.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        _numbers(ax, values, dark=(lambda value, low=low, high=high, c=colours: _dark(value, low, high, c)))
        ax.set_title(title)
        ax.set_xticks(range(len(names)), names, rotation=90)
        ax.set_yticks(range(len(names)), names)


def _places(part: SubFigure, space: Space) -> None:
    pairs = np.triu_indices(len(space.tasks), 1)
    kinds = list(dict.fromkeys((stack, position) for stack, _, position in space.places))
    layers = 1 + max(layer for _, layer, _ in space.places)
    loss = (space.loss + space.loss.T)[pairs]
    measures = (
        ("mean cosine of two tasks", lambda own: own.mean(), "RdBu_r"),
        ("correlation with label overlap", lambda own: _spearman(own, space.overlap[pairs]), "RdBu_r"),
        ("correlation with the loss", lambda own: _spearman(own, loss), "RdBu_r"),
    )
    axes = part.subplots(1, 3, sharey=True)
    for ax, (title, measure, colours) in zip(axes, measures, strict=True):
        values = np.full((len(kinds), layers), np.nan)
        for (stack, layer, position), cosines in space.places.items():
            values[kinds.index((stack, position)), layer] = measure(cosines[pairs])
        ax.imshow(values, cmap=colours, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        _numbers(ax, values, dark=lambda value, c=colours: _dark(value, -1, 1, c))
        ax.set_title(title)
        ax.set_xticks(range(layers), range(1, layers + 1))
        ax.set_xlabel("layer")
        ax.set_yticks(range(len(kinds)), [f"{stack}, {position.replace('_', ' ')}" for stack, position in kinds])


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    return float(spearmanr(one, other).statistic) if len(one) > 2 and np.ptp(one) and np.ptp(other) else float("nan")


def _dark(value: float, low: float, high: float, colours: str) -> bool:
    share = (value - low) / ((high - low) or 1)
    return abs(share - 0.5) > 0.35 if colours == "RdBu_r" else (share < 0.45) != colours.endswith("_r")


def _numbers(ax: Axes, values: np.ndarray, dark) -> None:
    for (y, x), value in np.ndenumerate(values):
        if value == value and values.shape[1] <= 12:
            ax.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=5.5, color="white" if dark(value) else "black")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)

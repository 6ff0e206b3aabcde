"""How many parameters each method trains, beside the paper's brackets; counted without weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.config.places import PUBLISHED_REMEDY, expanded
from hyperloader.config.settings import Backbone, BackboneSettings, DirectoryBackbone, HubBackbone, Kind, PretrainedBackbone, read_settings
from hyperloader.errors import SettingsError
from hyperloader.files import read_rows, there
from hyperloader.methods.registry import methods
from hyperloader.models.backbones import BACKBONES, CONFIG, MANIFEST, SETTINGS, open_backbone
from hyperloader.planning.plan import Plan, scale_of
from hyperloader.planning.trials import expected_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from hyperloader.config.settings import Settings
    from hyperloader.methods.network import NetworkMethod


@dataclass(frozen=True)
class Row:
    """Parameters of one method.

    Attributes:
        name: of the method or variant.
        method: its title.
        backbone: `t5` or `bert`.
        runs: models for all corpora together; each has the numbers that follow.
        total: of one model, without BERT's head, whose size depends on the corpus.
        trainable: given to the optimiser.
        live: trainable ones that some forward pass uses.
        percent: trainable ones of all, in percent.
        per_corpus: trainable ones that one more corpus adds, to the model or as a further one.
        paper_total: the paper's bracket, e.g. `229M`; empty where it has none.
        paper_trainable: likewise.
    """

    name: str
    method: str
    backbone: str
    runs: int
    total: int
    trainable: int
    live: int
    percent: float
    per_corpus: int
    paper_total: str
    paper_trainable: str


def count(
    plan: Plan, scale: str, published: str | Path, results: str = "results", *, names: Sequence[str] | None = None, roughly: bool = False
) -> Iterator[Row]:
    """Count the parameters of every method and variant that has any and whose library is installed, with its settings at a scale.

    Args:
        plan: for corpora, recipe and settings.
        scale: name of the scale.
        published: CSV of the paper's brackets.
        results: folder of the backbones that were pre-trained here; those from the hub are not needed.
        names: of the methods and variants; by default all.
        roughly: take about the right size for a vocabulary that is not made yet, instead of raising.

    Raises:
        SettingsError: the sizes of a backbone are not known.
    """
    paper = {row["title"]: row for row in read_rows(published, ("title", "total", "trainable"), remedy=PUBLISHED_REMEDY)}
    for name in names or (*methods(), *plan.variants(scale)):
        planned = plan.method(name, scale)
        method = planned.method
        if method.library and find_spec(method.library) is None:
            continue
        if not method.trains_network or method.backbone not in plan.scale(scale).backbones:
            continue
        own = plan.corpora if planned.multitask else plan.corpora[:1]
        config = config_of(plan, scale, method.backbone, results, roughly=roughly)
        settings = plan.method_settings(name, scale)
        total, trainable, live = _counts(method, config, own, settings)
        added = _counts(method, config, [*own, "one more"], settings)[1] - trainable if planned.multitask else trainable
        bracket = paper.get(planned.title, {})
        yield Row(
            name,
            planned.title,
            method.backbone,
            1 if planned.multitask else len(plan.corpora),
            total,
            trainable,
            live,
            100 * trainable / total,
            added,
            bracket.get("total", ""),
            bracket.get("trainable", ""),
        )


def _counts(method: NetworkMethod, config: PretrainedConfig, tasks: Iterable[str], settings: Settings) -> tuple[int, int, int]:
    """All, trainable and live parameters, without BERT's head."""
    import torch
    from transformers.modeling_utils import no_init_weights

    # on the meta device parameters have shapes but no memory; to draw them nevertheless takes longer than all the rest
    with torch.device("meta"), no_init_weights():
        backbone = BACKBONES[method.backbone].empty_model(config)
        backbone.tie_weights()
        model = method.build(backbone, dict.fromkeys(tasks, ()), settings)
    head = sum(parameter.numel() for parameter in model.classifier.parameters()) if method.backbone == "bert" else 0
    total, trainable, live = (number - head for number in model.parameter_counts())
    return total, trainable, live


def config_of(plan: Plan, scale: str, kind: Kind, results: str, *, roughly: bool) -> PretrainedConfig:
    """The configuration of a backbone of a scale; for the arguments and errors see `count`."""
    folder, wanted = Path(results) / scale_of(scale) / "backbones" / kind, plan.scale(scale).backbones[kind]
    if is_made(folder, wanted):
        return open_backbone(folder).config
    if isinstance(wanted, DirectoryBackbone) and there(expanded(wanted.path) / CONFIG):
        return BACKBONES[kind].read_config(expanded(wanted.path) / CONFIG)
    if isinstance(wanted, HubBackbone) and wanted.config:
        return BACKBONES[kind].config_class()(**wanted.config)
    if roughly and isinstance(wanted, PretrainedBackbone):
        return expected_config(kind, wanted)
    message = f"the sizes of the backbone '{kind}' of scale '{scale}' are not known yet"
    raise SettingsError(message, remedy=f"make it first: snakemake --cores 2 {folder / SETTINGS} {folder / MANIFEST}")


def is_made(folder: Path, wanted: Backbone) -> bool:
    """Whether the backbone in a folder is there, and is the one of these settings, not of former ones."""
    made = there(folder / MANIFEST) and there(folder / SETTINGS)
    return made and read_settings(BackboneSettings, folder / SETTINGS).backbone == wanted

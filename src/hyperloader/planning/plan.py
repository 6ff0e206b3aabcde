"""From the configuration to the list of runs: which there are, where each lives, and all that decides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hyperloader.config.settings import (
    BackboneSettings,
    Config,
    PretrainedBackbone,
    Recipe,
    RunSettings,
    Scale,
    Settings,
    TrainingChanges,
    read_yaml,
    validate,
)
from hyperloader.corpora.registry import get_corpus, known_corpora, paper_corpora
from hyperloader.errors import SettingsError
from hyperloader.files import listed
from hyperloader.methods.registry import get_method
from hyperloader.runs.run import Run


@dataclass(frozen=True)
class PlannedRun:
    """One training: method x corpora x fraction x seed."""

    scale: str
    recipe: str
    method: str
    corpora: tuple[str, ...]
    percent: float
    seed: int

    @property
    def tasks(self) -> str:
        """The corpora as one name: those of the paper together are `all`; names are joined by `+`."""
        paper = paper_corpora()
        return "+".join(["all", *self.corpora[len(paper) :]] if self.corpora[: len(paper)] == paper else self.corpora)

    @property
    def path(self) -> str:
        """The run's folder below `results/`."""
        return Run.PATTERN.format(**vars(self) | {"tasks": self.tasks, "percent": f"{self.percent:g}"})


class Plan:
    """All runs of one configuration, at any scale.

    Args:
        config: what to reproduce.
        folder: the folder of `scales/` and `recipes/`.
    """

    def __init__(self, config: Config, folder: str | Path = "config"):
        self.config, self.folder = config, Path(folder)
        for name in config.corpora:
            get_corpus(name)
        self.recipe: Recipe = read_yaml(Recipe, self.folder / "recipes" / f"{config.recipe}.yaml")
        for name in (*config.methods, *config.settings, *self.recipe.methods, *self.recipe.training_of):
            get_method(name)
        for key in ("corpora", "methods", "fractions", "seeds"):
            values = getattr(config, key)
            if len(set(values)) < len(values):
                raise SettingsError(f"'{key}' names something twice: {values}")
        # the registry's order is the paper's, so that the order in a config changes no result
        self.corpora = tuple(name for name in known_corpora() if name in config.corpora)

    @classmethod
    def of(cls, values: dict, folder: str | Path = "config") -> Plan:
        """Check a configuration read from `config.yaml` (with whatever was overridden) and plan it."""
        return cls(validate(Config, values, Path(folder) / "config.yaml"), folder)

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = ()) -> Plan:
        """Plan a configuration file.

        Args:
            path: of `config.yaml`, in the folder of `scales/` and `recipes/`.
            changes: `key=value`, the value in YAML, as for Snakemake's `--config`.

        Raises:
            SettingsError: the file or a change is not valid.
        """
        import yaml

        path = Path(path)
        values = read_yaml(Config, path).model_dump()
        for change in changes:
            key, equals, value = change.partition("=")
            if not equals:
                raise SettingsError(f"'{change}' is not KEY=VALUE")
            values[key] = yaml.safe_load(value)
        return cls.of(values, path.parent)

    def scales(self) -> list[str]:
        """Names of the known scales."""
        return [path.stem for path in listed(self.folder / "scales") if path.suffix == ".yaml"]

    def scale(self, name: str) -> Scale:
        """The settings of a scale.

        Raises:
            SettingsError: unknown scale, or its file is not valid.
        """
        if name not in self.scales():
            close = get_close_matches(name, self.scales(), n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise SettingsError(f"unknown scale '{name}'", remedy=f"{hint}known scales: {', '.join(self.scales())}")
        scale = read_yaml(Scale, self.folder / "scales" / f"{name}.yaml")
        for method in scale.training_of:
            get_method(method)
        return scale

    def runs(self, scale: str, fractions: list[float] | None = None) -> list[PlannedRun]:
        """The runs of a scale, of all configured fractions or of those given."""
        chosen = [percent for percent in self.config.fractions if fractions is None or percent in fractions]
        return [
            PlannedRun(scale, self.config.recipe, method, corpora, percent, seed)
            for method in self.config.methods
            for corpora in ([self.corpora] if get_method(method).multitask else [(name,) for name in self.corpora])
            for percent in chosen
            for seed in self.config.seeds
        ]

    def run_settings(self, run: PlannedRun, results: str = "results") -> RunSettings:
        """All that decides a run.

        What decides the training is merged: recipe < its changes for single-task methods < its changes for this method < scale < the
        scale's changes for single-task methods < the scale's changes for this method.
        """
        scale, method = self.scale(run.scale), get_method(run.method)
        layers: list[Settings] = []
        for source in (self.recipe, scale):
            single_task = [] if method.multitask else [source.single_task]
            layers += [source.training, *single_task, source.training_of.get(run.method, TrainingChanges())]
        changes = {key: value for layer in layers for key, value in layer.model_dump(exclude_unset=True).items()}
        values = dict(
            scale=run.scale,
            recipe=run.recipe,
            method=run.method,
            method_settings=self.method_settings(run.method, run.scale).model_dump(),
            data={name: f"{results}/{run.scale}/data/{name}" for name in run.corpora},
            percent=run.percent,
            seed=run.seed,
            backbone=None if method.backbone is None else f"{results}/{run.scale}/backbones/{method.backbone}",
            training=self.recipe.training.model_copy(update=changes),
        )
        # the names of files and folders, of scales and methods, are checked here
        return validate(RunSettings, values, f"run {run.path}")

    def method_settings(self, name: str, scale: str) -> Settings:
        """The settings of a method at a scale, merged: defaults < recipe < scale < config."""
        merged = {}
        for layer in (self.recipe.methods, self.scale(scale).methods, self.config.settings):
            merged |= layer.get(name, {})
        return get_method(name).settings(merged)

    def backbone_settings(self, scale: str, kind: str, results: str = "results") -> BackboneSettings:
        """All that decides a backbone.

        One that is pre-trained here on the corpora's text uses those of the paper, so that a configuration with fewer or more keeps it.
        """
        backbones = self.scale(scale).backbones
        if kind not in backbones:
            raise SettingsError(f"scale '{scale}' names no backbone '{kind}'", file=self.folder / "scales" / f"{scale}.yaml")
        backbone = backbones[kind]
        from_corpora = isinstance(backbone, PretrainedBackbone) and backbone.text == "corpora"
        data = {name: f"{results}/{scale}/data/{name}" for name in paper_corpora()} if from_corpora else {}
        return BackboneSettings(kind=kind, backbone=backbone, data=data)

"""From the configuration to the list of runs: which there are, where each lives, and all that decides it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hyperloader.config.settings import (
    DATA_SEED,
    Ablations,
    AddedTask,
    BackboneSettings,
    Config,
    PretrainedBackbone,
    Recipe,
    RunSettings,
    Scale,
    Settings,
    Training,
    TrainingChanges,
    Variant,
    VariantName,
    parsed_yaml,
    read_mapping,
    read_yaml,
    validate,
)
from hyperloader.corpora.registry import get_corpus, known_corpora, paper_corpora
from hyperloader.errors import SettingsError
from hyperloader.files import listed, there
from hyperloader.methods.method import Method
from hyperloader.methods.registry import get_method, methods
from hyperloader.runs.run import Run

CONFIG = "config.yaml"
ABLATIONS = "ablations.yaml"


def scale_of(folder: str) -> str:
    """The scale that a folder of results is of: its own name, or what stands before the `@` of a part's tables, `<scale>@<name>`."""
    return folder.partition("@")[0]


@dataclass(frozen=True)
class Added:
    """That a run adds its corpus to another one, and how (`AddedTask`)."""

    known: PlannedRun
    mode: str


@dataclass(frozen=True)
class PlannedRun:
    """One training: method or variant x corpora x fraction, or a number of sentences of it, x seed.

    The data seed is told in the path where it is not the usual one.
    """

    scale: str
    recipe: str
    method: str
    corpora: tuple[str, ...]
    percent: float
    seed: int
    data_seed: int = DATA_SEED
    shots: int | None = None
    added: Added | None = None

    @property
    def tasks(self) -> str:
        """The corpora as one name: those of the paper together are `all`; names are joined by `+`; one that is added has its mode."""
        if self.added:
            return f"{self.added.known.tasks}+{self.corpora[0]}~{self.added.mode}"
        paper = paper_corpora()
        return "+".join(["all", *self.corpora[len(paper) :]] if self.corpora[: len(paper)] == paper else self.corpora)

    @property
    def path(self) -> str:
        """The run's folder below `results/`."""
        amount = f"{self.percent:g}" if self.shots is None else f"{self.shots}shots"
        return Run.PATTERN.format(**vars(self) | {"tasks": self.tasks, "percent": amount + drawn(self.data_seed)})


@dataclass(frozen=True)
class PlannedMethod:
    """What a name of the configuration stands for: a method, or a variant of one.

    Attributes:
        name: in paths.
        method: the method itself.
        variant: what differs from it; None for the method itself.
    """

    name: str
    method: Method
    variant: Variant | None = None

    @property
    def title(self) -> str:
        """In tables."""
        return self.variant.title if self.variant else self.method.title

    @property
    def multitask(self) -> bool:
        """One run for all corpora, or one run for each."""
        own = self.variant.multitask if self.variant else None
        return self.method.multitask if own is None else own


def drawn(data_seed: int) -> str:
    """How a path tells the seed of the draws from the data."""
    return "" if data_seed == DATA_SEED else f"-draw{data_seed}"


def _check_variants(variants: dict[str, Variant], others: Container[str], file: Path | None = None) -> None:
    """Refuse a variant of no method, and one whose name is that of a method or of another variant."""
    for name, variant in variants.items():
        if name in methods():
            raise SettingsError(f"a variant and a method are both named '{name}'", file=file, remedy="rename the variant")
        if name in others:
            raise SettingsError(f"another variant is named '{name}'", file=file, remedy="rename the variant")
        get_method(variant.method)


class Plan:
    """All runs of one configuration, at any scale.

    Args:
        config: what to reproduce.
        folder: the folder of `scales/` and `recipes/`.
    """

    def __init__(self, config: Config, folder: str | Path = "config"):
        self.config, self.folder = config, Path(folder)
        self._scales: dict[str, Scale] = {}
        for name in config.corpora:
            get_corpus(name)
        self.recipe: Recipe = read_yaml(Recipe, self.folder / "recipes" / f"{config.recipe}.yaml")
        ablations = self.folder / ABLATIONS
        self.ablations = read_yaml(Ablations, ablations) if there(ablations) else Ablations()
        for name in (*config.methods, *config.settings, *self.recipe.methods, *self.recipe.training_of):
            self._check_name(name)
        _check_variants(self.ablations.variants, (), ablations)
        _check_variants(config.variants, self.ablations.variants)
        self.ablations = self.ablations.narrowed(config.fractions, config.ablations)
        compared = {name for names in self.ablations.names.values() for name in names}
        if unknown := [name for name in config.ablations if name not in compared]:
            message = f"'ablations' names what is then compared with nothing: {', '.join(unknown)}"
            raise SettingsError(message, remedy=f"name what a question of {ablations} is `against`, and of its `methods` some")
        if unknown := [name for name in config.new_tasks if name not in config.corpora]:
            message = f"'new_tasks' names what is none of the corpora: {', '.join(unknown)}"
            raise SettingsError(message, remedy=f"name some of {', '.join(config.corpora)}")
        if config.seeds:
            self._check_seeds(config.seeds)
        # the registry's order is the paper's, so that the order in a config changes no result
        self.corpora = tuple(name for name in known_corpora() if name in config.corpora)

    @classmethod
    def of(cls, values: dict, folder: str | Path = "config", file: str | Path | None = None) -> Plan:
        """Check a configuration read from `config.yaml` (with whatever was overridden) and plan it; `null` is a key's default."""
        # Snakemake's `--config` hands `null` on as a word
        values = {key: value for key, value in values.items() if value not in (None, "null")}
        return cls(validate(Config, values, file or Path(folder) / CONFIG), folder)

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = (), folder: str | Path | None = None) -> Plan:
        """Plan a configuration file.

        Args:
            path: of `config.yaml`, in the folder of `scales/` and `recipes/`; or of a file elsewhere that is merged with it, as by
                Snakemake's `--configfile`.
            changes: `key=value`, the value in YAML, merged as those of Snakemake's `--config`.
            folder: of `scales/` and `recipes/`; by default that of the file, or else `config`.

        Raises:
            SettingsError: the file or a change is not valid.
        """
        from snakemake.utils import update_config

        path = Path(path)
        folder = Path(folder or (path.parent if there(path.parent / "scales") else "config"))
        base = folder / CONFIG
        merged = there(base) and there(path) and not base.samefile(path)
        values = read_yaml(Config, base).model_dump(exclude_unset=True) if merged else {}
        own = read_mapping(path)
        if not isinstance(own, dict):
            raise SettingsError("is no list of keys and values", file=path)
        update_config(values, own)
        for change in changes:
            key, equals, value = change.partition("=")
            if not equals:
                raise SettingsError(f"'{change}' is not KEY=VALUE")
            update_config(values, {key: parsed_yaml(value, f"--set {key}")})
        return cls.of(values, folder, " --set ".join([str(path), *changes]))

    def scales(self) -> list[str]:
        """Names of the known scales."""
        return [path.stem for path in listed(self.folder / "scales") if path.suffix == ".yaml"]

    def scale(self, name: str) -> Scale:
        """The settings of a scale, which may be named by a folder of its results.

        Raises:
            SettingsError: unknown scale, or its file is not valid.
        """
        name = scale_of(name)
        if name in self._scales:
            return self._scales[name]
        if name not in self.scales():
            close = get_close_matches(name, self.scales(), n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise SettingsError(f"unknown scale '{name}'", remedy=f"{hint}known scales: {', '.join(self.scales())}")
        file = self.folder / "scales" / f"{name}.yaml"
        scale = read_yaml(Scale, file)
        # where there is no ablation study, the names of its variants are not known
        named = (*scale.methods, *scale.training_of, *scale.tuning.methods) if there(self.folder / ABLATIONS) else ()
        for known in named:
            self._check_name(known, scale)
        _check_variants(scale.variants, self.ablations.variants | self.config.variants, file)
        self._check_seeds(self.config.seeds or scale.seeds)
        return self._scales.setdefault(name, scale)

    def seeds(self, scale: str) -> list[int]:
        """The seeds of the runs of a scale: those of the configuration, or else the scale's own."""
        return self.config.seeds or self.scale(scale).seeds

    def _check_seeds(self, seeds: list[int]) -> None:
        if len(self.config.data_seeds) not in (1, len(seeds)):
            message = f"{len(self.config.data_seeds)} data seeds for {len(seeds)} seeds"
            raise SettingsError(message, remedy="name one for all, or one for each of the seeds")

    def variants(self, scale: str) -> dict[str, Variant]:
        """The variants of a scale: those of the ablation study, of the configuration, and its own."""
        return self.ablations.variants | self.config.variants | self.scale(scale).variants

    def method(self, name: str, scale: str) -> PlannedMethod:
        """What a name stands for at a scale.

        Raises:
            SettingsError: neither a method nor a variant, or a variant of what its method cannot do.
        """
        variant = None if name in methods() else self.variants(scale).get(name)
        planned = PlannedMethod(name, get_method(variant.method if variant else name), variant)
        if planned.multitask and planned.method.backbone == "bert":
            raise SettingsError(f"variant {name}: a BERT classifies the slot types of one corpus", remedy="leave multitask out")
        return planned

    def methods(self, scale: str) -> list[str]:
        """The configured methods and variants, without variants of other scales."""
        known = methods().keys() | self.variants(scale).keys()
        return [name for name in self.config.methods if name in known]

    def _check_name(self, name: str, scale: Scale | None = None) -> None:
        """Refuse what is neither a method nor a variant, of this scale or of any."""
        if name in methods() or name in self.config.variants or name in self.ablations.variants:
            return
        scales = [scale] if scale else [read_yaml(Scale, self.folder / "scales" / f"{other}.yaml") for other in self.scales()]
        if not any(name in own.variants for own in scales):
            get_method(name)

    def runs(self, scale: str, fractions: list[float] | None = None) -> list[PlannedRun]:
        """The runs of a scale, of all configured fractions or of those given."""
        chosen = [percent for percent in self.config.fractions if fractions is None or percent in fractions]
        return self.runs_of(self.methods(scale), scale, chosen)

    def ablation_runs(self, scale: str) -> list[PlannedRun]:
        """The runs of the ablation study; those of methods without changes are those of `runs`."""
        known = methods().keys() | self.variants(scale).keys()
        if unknown := [name for names in self.ablations.names.values() for name in names if name not in known]:
            message = f"a question names '{unknown[0]}', which is neither a method nor a variant"
            raise SettingsError(message, file=self.folder / ABLATIONS, remedy=f"known variants: {', '.join(self.variants(scale))}")
        return [run for percent, names in self.ablations.names.items() for run in self.runs_of(names, scale, [percent])]

    def runs_of(self, names: Sequence[str], scale: str, fractions: Sequence[float]) -> list[PlannedRun]:
        """The runs of methods or variants: each seed on its own draw of the data, if there are several, but whole data are drawn once."""
        seeds, data_seeds = self.seeds(scale), self.config.data_seeds
        draws = data_seeds if len(data_seeds) > 1 else data_seeds * len(seeds)
        return [
            PlannedRun(scale_of(scale), self.config.recipe, name, corpora, percent, seed, draw if percent < 100 else data_seeds[0])
            for name in names
            for corpora in ([self.corpora] if self.method(name, scale).multitask else [(corpus,) for corpus in self.corpora])
            for percent in fractions
            for seed, draw in zip(seeds, draws, strict=True)
        ]

    def run_settings(self, run: PlannedRun, results: str = "results") -> RunSettings:
        """All that decides a run.

        What decides the training is merged: recipe < its changes for single-task methods < its changes for this method < scale < the
        scale's changes for single-task methods < the scale's changes for this method. Those for a variant come after all of these.
        """
        scale, planned = self.scale(run.scale), self.method(run.method, run.scale)
        method, variant = planned.method, planned.variant
        layers: list[Settings] = []
        for source in (self.recipe, scale):
            single_task = [] if planned.multitask else [source.single_task]
            layers += [source.training, *single_task, source.training_of.get(method.name, TrainingChanges())]
        if variant:
            layers += [variant.training, *(source.training_of.get(run.method, TrainingChanges()) for source in (self.recipe, scale))]
        changes = {key: value for layer in layers for key, value in layer.model_dump(exclude_unset=True).items()}
        training = validate(Training, self.recipe.training.model_dump() | changes, f"run {run.path}")
        added = run.added and AddedTask(run=f"{results}/{run.added.known.path}", mode=run.added.mode)
        values = dict(
            scale=run.scale,
            recipe=run.recipe,
            method=method.name,
            variant=VariantName(name=run.method, title=variant.title) if variant else None,
            method_settings=self.method_settings(run.method, run.scale).model_dump(),
            data={name: f"{results}/{run.scale}/data{drawn(run.data_seed)}/{name}" for name in run.corpora},
            percent=run.percent,
            seed=run.seed,
            backbone=None if method.backbone is None else f"{results}/{run.scale}/backbones/{method.backbone}",
            training=added.training_of(training, len(run.added.known.corpora)) if added else training,
            shots=run.shots,
            added=added,
        )
        # the names of files and folders, of scales and methods, are checked here
        return validate(RunSettings, values, f"run {run.path}")

    def method_settings(self, name: str, scale: str) -> Settings:
        """The settings of a method at a scale, merged: defaults < recipe < scale < config; a variant's own and those for it come after."""
        planned, sources = self.method(name, scale), (self.recipe.methods, self.scale(scale).methods, self.config.settings)
        layers = [source.get(planned.method.name, {}) for source in sources]
        if planned.variant:
            layers += [planned.variant.settings, *(source.get(name, {}) for source in sources)]
        return planned.method.settings({key: value for layer in layers for key, value in layer.items()})

    def backbone_settings(self, scale: str, kind: str, results: str = "results") -> BackboneSettings:
        """All that decides a backbone.

        One that is pre-trained here on the corpora's text uses those of the paper, so that a configuration with fewer or more keeps it,
        in the usual draw of held-out sentences.
        """
        backbones = self.scale(scale).backbones
        if kind not in backbones:
            raise SettingsError(f"scale '{scale}' names no backbone '{kind}'", file=self.folder / "scales" / f"{scale}.yaml")
        backbone = backbones[kind]
        from_corpora = isinstance(backbone, PretrainedBackbone) and backbone.text == "corpora"
        data = {name: f"{results}/{scale}/data/{name}" for name in paper_corpora()} if from_corpora else {}
        return BackboneSettings(kind=kind, backbone=backbone, data=data)

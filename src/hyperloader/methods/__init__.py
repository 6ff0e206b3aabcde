"""What a method is, which methods there are, and HyperLoader itself.

A method is a folder with a `method.py` that defines `METHOD`. The folders of `baselines/` are found by themselves, and so are
those of every folder named in the environment variable `HYPERLOADER_METHODS` (separated as in `PATH`): adding a
method is adding a folder. `method.py` imports torch only inside `build`, so that listing methods stays cheap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from hyperloader.config.plugins import load_plugin, plugin_folders
from hyperloader.config.settings import Settings, Size, SizeOrZero, validate
from hyperloader.errors import SettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hyperloader.models.task_model import TaskModel


class Method:
    """One column of the paper's tables: how to build its model on a backbone.

    Attributes:
        name: the name of its folder, used in settings and paths.
        title: its name in the paper's tables, the key into `workflow/published/`.
        backbone: the kind of backbone that it sits on, if any.
        multitask: one run for all corpora, or one run for each.
        Settings: its hyper-parameters with the published values as defaults.
    """

    name: str
    title: str
    backbone: Literal["t5", "bert"] | None = "t5"
    multitask: bool = True
    Settings: ClassVar[type[Settings]] = Settings

    def settings(self, values: dict) -> Settings:
        """Check settings that differ from the defaults."""
        return validate(self.Settings, values, f"settings of method {self.name}")

    def build(self, backbone: PreTrainedModel, tasks: Mapping[str, Sequence[str]], settings: Settings) -> TaskModel:
        """Attach this method to a loaded backbone.

        Args:
            backbone: a T5 or a BERT with its pre-trained weights; the model keeps it and changes its modules.
            tasks: the tasks that the model will know, by name, with the slot types of each.
            settings: an instance of this method's `Settings`.
        """
        raise TypeError(f"method {self.name} has no build()")


class HypernetworkSettings(Settings):
    """Sizes of the hypernetwork (section 3.5) and of the adapters that it generates (section 3.2).

    The defaults are those of the published runs, whose task embedding had 64 numbers; the paper's text says 512 for
    HyperLoader, which the recipe `paper` sets.
    """

    task_dim: Size = 64
    layer_dim: Size = 64
    position_dim: SizeOrZero = Field(64, description="0: no position embedding")
    hidden_dim: Size | None = Field(128, description="null: the projector is a single linear layer")
    embedding_dim: Size = 64
    reduction_factor: Size = 32
    adapter_generators: Literal["shared", "per_position"] = "shared"


class HypernetworkMethod(Method):
    """A method whose adapters and layer norms, and with a `lora_rank` LoRA matrices, are generated."""

    Settings = HypernetworkSettings

    def build(self, backbone, tasks, settings):
        from hyperloader.models.hypernetwork import Sizes
        from hyperloader.models.task_model import HypernetworkT5

        values = {"lora_rank": 0, "adapters": True} | settings.model_dump()
        bottleneck = divided(backbone.config.d_model, values.pop("reduction_factor"))
        if not values.pop("adapters"):
            bottleneck = 0
        return HypernetworkT5(backbone, tasks, Sizes(**values, bottleneck=bottleneck))


def divided(d_model: int, reduction_factor: int) -> int:
    """The bottleneck of adapters.

    Raises:
        SettingsError: the factor does not divide the width.
    """
    bottleneck, rest = divmod(d_model, reduction_factor)
    if rest:
        raise SettingsError(f"reduction_factor {reduction_factor} does not divide the backbone's d_model {d_model}")
    return bottleneck


class HyperLoaderSettings(HypernetworkSettings):
    """The sizes above and what is generated for LoRA (section 3.4)."""

    lora_rank: SizeOrZero = Field(8, description="0: adapters only, which is HyperFormer++")
    adapters: bool = Field(True, description="false: LoRA only")
    lora_generators: Literal["shared", "across_stacks", "per_projection", "per_position"] = Field(
        "shared", description="one per stack, one for both stacks, one for q and one for v, one for each position"
    )
    lora_bias: bool = False

    @model_validator(mode="after")
    def _generates_something(self) -> HyperLoaderSettings:
        if not self.adapters and not self.lora_rank:
            raise ValueError("with adapters: false and lora_rank: 0 nothing is generated")
        return self


class HyperLoader(HypernetworkMethod):
    """Adapters, LoRA matrices and layer norms generated per task, layer and position (arXiv 2407.01411)."""

    name = "hyperloader"
    title = "HyperLoader"
    Settings = HyperLoaderSettings


def method_folders() -> tuple[Path, ...]:
    """Where methods are looked for: `baselines/`, then the folders of `HYPERLOADER_METHODS`."""
    return plugin_folders("baselines", "HYPERLOADER_METHODS")


@cache
def methods() -> dict[str, Method]:
    """All methods by name, HyperLoader first."""
    found: dict[str, Method] = {HyperLoader.name: HyperLoader()}
    for folder in method_folders():
        for path in sorted(folder.glob("*/method.py")):
            name = path.parent.name
            if name in found:
                raise SettingsError(f"there are two methods named '{name}'", file=path, remedy="rename one of the folders")
            module = load_plugin(path, f"hyperloader_method_{name}")
            if not isinstance(getattr(module, "METHOD", None), Method):
                raise SettingsError("does not define METHOD, an instance of hyperloader.methods.Method", file=path)
            module.METHOD.name = name
            found[name] = module.METHOD
    return found


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        SettingsError: there is none; names those there are.
    """
    if name not in methods():
        raise SettingsError(f"unknown method '{name}'", remedy=f"known methods: {', '.join(methods())}")
    return methods()[name]

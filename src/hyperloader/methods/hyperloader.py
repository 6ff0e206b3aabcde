"""HyperLoader itself, and what methods with a hypernetwork share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hyperloader.config.settings import LayerNorms, Settings, Size, SizeOrZero, later
from hyperloader.methods.network import NetworkMethod, bottleneck_size


class HypernetworkSettings(Settings):
    """Sizes of the hypernetwork (section 3.5) and of the adapters that it generates (section 3.2).

    The defaults are those of the published runs, whose task embedding had 64 numbers; the paper's text says 512 for
    HyperLoader, which the recipe `paper` sets.
    """

    task_dim: SizeOrZero = Field(64, description="0: nothing tells the tasks apart")
    layer_dim: SizeOrZero = Field(64, description="0: no layer embedding")
    position_dim: SizeOrZero = Field(64, description="0: no position embedding")
    hidden_dim: Size | None = Field(128, description="null: the projector is a single linear layer")
    embedding_dim: Size = 64
    reduction_factor: Size = 32
    adapter_generators: Literal["shared", "per_position"] = "shared"
    task_embedding: Literal["trained", "random", "shuffled"] = later(
        "trained", description="random: not trained; shuffled: in training that of a task drawn at random for each step"
    )
    layer_norms: LayerNorms = later("trained", description="those of T5")

    @model_validator(mode="after")
    def _embeds_something(self) -> HypernetworkSettings:
        if not self.task_dim + self.layer_dim + self.position_dim:
            raise ValueError("with task_dim, layer_dim and position_dim 0 there is nothing to generate from")
        if not self.task_dim and self.task_embedding != "trained":
            raise ValueError(f"with task_dim: 0 there is no task embedding to be {self.task_embedding}")
        return self


class HypernetworkMethod(NetworkMethod):
    """A method whose adapters and layer norms, and with a `lora_rank` LoRA matrices, are generated."""

    Settings = HypernetworkSettings
    takes_tasks = True

    def build(self, backbone, tasks, settings):
        from hyperloader.models.hypernetwork import Sizes
        from hyperloader.models.task_model import HypernetworkT5

        values = {"lora_rank": 0, "adapters": True, "layer_norms": settings.layer_norms} | settings.model_dump()
        layer_norms = values.pop("layer_norms")
        bottleneck = bottleneck_size(backbone.config.d_model, values.pop("reduction_factor"))
        if not values.pop("adapters"):
            bottleneck = 0
        return HypernetworkT5(backbone, tasks, Sizes(**values, bottleneck=bottleneck), layer_norms)


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

"""HyperFormer++ (Karimi Mahabadi et al. 2021), the column "HyperFormer" of the paper's tables.

HyperLoader without LoRA: the same hypernetwork with two positions, feed-forward and self-attention.
"""

from pydantic import PositiveInt

from hyperloader.methods import Method
from hyperloader.settings import Settings


class HyperFormerPlusPlusSettings(Settings):
    """Sizes of the hypernetwork; the defaults are those of the original repository."""

    task_dim: PositiveInt = 64
    layer_dim: PositiveInt = 64
    position_dim: PositiveInt = 64
    hidden_dim: PositiveInt = 128
    embedding_dim: PositiveInt = 64
    reduction_factor: PositiveInt = 32


class HyperFormerPlusPlus(Method):
    """Adapters and layer norms generated per task, layer and position."""

    title = "HyperFormer"
    Settings = HyperFormerPlusPlusSettings

    def build(self, backbone, tasks, settings):
        from hyperloader.hypernetwork import Sizes
        from hyperloader.task_model import HypernetworkT5

        bottleneck = backbone.config.d_model // settings.reduction_factor
        sizes = Sizes(**settings.model_dump(exclude={"reduction_factor"}), bottleneck=bottleneck, lora_rank=0)
        return HypernetworkT5(backbone, tasks, sizes)


METHOD = HyperFormerPlusPlus()

"""HyperFormer++ (Karimi Mahabadi et al. 2021), the column "HyperFormer" of the paper's tables.

HyperLoader without LoRA: the same hypernetwork with two positions, feed-forward and self-attention.
"""

from hyperloader.methods.hyperloader import HypernetworkMethod


class HyperFormerPlusPlus(HypernetworkMethod):
    """Adapters and layer norms generated per task, layer and position."""

    title = "HyperFormer"


METHOD = HyperFormerPlusPlus()

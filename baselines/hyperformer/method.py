"""HyperFormer (Karimi Mahabadi et al. 2021), the larger sibling of HyperFormer++, which no table of the paper shows.

No embedding of the position: feed-forward and self-attention have a generator each.
"""

from typing import Literal

from hyperloader.config.settings import SizeOrZero
from hyperloader.methods.hyperloader import HypernetworkMethod, HypernetworkSettings


class HyperFormerSettings(HypernetworkSettings):
    """Those of HyperFormer++, but for the positions."""

    position_dim: SizeOrZero = 0
    adapter_generators: Literal["shared", "per_position"] = "per_position"


class HyperFormer(HypernetworkMethod):
    """Adapters and layer norms generated per task and layer, by a generator for each position."""

    title = "HyperFormer (without ++)"
    Settings = HyperFormerSettings


METHOD = HyperFormer()

"""Hyperdecoder (Ivison and Peters 2022), the column "Hyperdecoder" of the paper's tables.

Static adapters in the encoder; the decoder's adapters are generated anew for every sentence from what the encoder says about it.
"""

from pydantic import PositiveInt

from hyperloader.methods import Method
from hyperloader.settings import Settings


class HyperdecoderSettings(Settings):
    """Sizes of the adapters and of the hypernetwork; the defaults are those of the original repository for T5-base."""

    encoder_bottleneck: PositiveInt = 64
    decoder_bottleneck: PositiveInt = 64
    hidden_dim: PositiveInt = 128
    layer_dim: PositiveInt = 10


class Hyperdecoder(Method):
    """Adapters of the decoder generated per sentence and layer."""

    title = "Hyperdecoder"
    Settings = HyperdecoderSettings

    def build(self, backbone, tasks, settings):
        from .network import HyperdecoderT5

        return HyperdecoderT5(backbone, tasks, **settings.model_dump())


METHOD = Hyperdecoder()

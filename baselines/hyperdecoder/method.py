"""Hyperdecoder (Ivison and Peters 2022), the column "Hyperdecoder" of the paper's tables.

Static adapters in the encoder; the decoder's adapters are generated anew for every sentence from what the encoder says about it.
"""

from hyperloader.config.settings import Settings, Size
from hyperloader.methods.network import NetworkMethod


class HyperdecoderSettings(Settings):
    """Sizes of the adapters and of the hypernetwork; the defaults are those of the original repository for T5-base."""

    encoder_bottleneck: Size = 64
    decoder_bottleneck: Size = 64
    hidden_dim: Size = 128
    layer_dim: Size = 10


class Hyperdecoder(NetworkMethod):
    """Adapters of the decoder generated per sentence and layer."""

    title = "Hyperdecoder"
    Settings = HyperdecoderSettings

    def build(self, backbone, tasks, settings):
        from .network import HyperdecoderT5

        return HyperdecoderT5(backbone, tasks, **settings.model_dump())


METHOD = Hyperdecoder()

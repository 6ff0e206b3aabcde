"""Static adapters and LoRA matrices: HyperLoader's, trained themselves instead of generated."""

from pydantic import model_validator

from hyperloader.config.settings import LayerNorms, Settings, Size, SizeOrZero, later
from hyperloader.methods.network import NetworkMethod


class StaticWeightsSettings(Settings):
    """Sizes in encoder and decoder; the defaults are HyperLoader's for T5-base, whatever number of parameters that makes."""

    encoder_bottleneck: SizeOrZero = 24
    decoder_bottleneck: SizeOrZero = 24
    encoder_rank: SizeOrZero = 8
    decoder_rank: SizeOrZero = 8
    shared: bool = False
    layer_norms: LayerNorms = "trained"
    generated_from: Size = later(64, description="`embedding_dim` of the HyperLoader that it is compared with")

    @model_validator(mode="after")
    def _has_something(self) -> "StaticWeightsSettings":
        if not self.encoder_bottleneck + self.decoder_bottleneck + self.encoder_rank + self.decoder_rank:
            raise ValueError("with all bottlenecks and ranks 0 there is nothing to train")
        return self


class StaticWeights(NetworkMethod):
    """Adapters after feed-forward and self-attention and LoRA on q and v: a set for each task, or one for all."""

    title = "Static adapters and LoRA"
    Settings = StaticWeightsSettings

    def build(self, backbone, tasks, settings):
        from hyperloader.models.task_model import StaticT5

        bottlenecks = (settings.encoder_bottleneck, settings.decoder_bottleneck)
        ranks = (settings.encoder_rank, settings.decoder_rank)
        return StaticT5(backbone, tasks, bottlenecks, ranks, settings.shared, settings.generated_from, settings.layer_norms)


METHOD = StaticWeights()

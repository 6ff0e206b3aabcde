"""UniPELT on BERT (Mao et al. 2022), the column "UniPELT-BERT" of the paper's tables: prefix, adapters and LoRA behind gates."""

from pydantic import Field

from hyperloader.config.settings import Settings, Size
from hyperloader.methods.network import NetworkMethod, bottleneck_size


class UniPELTBertSettings(Settings):
    """Sizes of the three submodules; the defaults are those of the original repository."""

    prefix_length: Size = 10
    prefix_hidden: Size = Field(512, description="width of the network that generates the prefix, without effect on a flat one")
    flat_prefix: bool = Field(False, description="the prefix's keys and values are parameters themselves")
    reduction_factor: Size = 16
    lora_rank: Size = 8
    lora_alpha: Size = Field(8, description="the scaling is alpha / rank; without effect with gates, which take its place")
    use_gating: bool = True


class UniPELTBert(NetworkMethod):
    """Prefix, adapters and LoRA, each with a gate per layer; a model for each corpus."""

    title = "UniPELT-BERT"
    backbone = "bert"
    multitask = False
    Settings = UniPELTBertSettings

    def build(self, backbone, tasks, settings):
        from hyperloader.models.task_model import TokenClassifier

        from .network import add_unipelt

        bottleneck_size(backbone.config.hidden_size, settings.reduction_factor)
        add_unipelt(backbone, **settings.model_dump())
        return TokenClassifier(backbone, tasks)


METHOD = UniPELTBert()

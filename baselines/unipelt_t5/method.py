"""UniPELT on T5 (Mao et al. 2022), the column "UniPELT-T5" of the paper's tables: adapters and LoRA, no prefix, no gates."""

from hyperloader.config.settings import Settings, Size
from hyperloader.methods.network import NetworkMethod, bottleneck_size

ADAPTER = "unipelt"


class UniPELTT5Settings(Settings):
    """Sizes of the adapters and of LoRA, whose scaling is `lora_alpha / lora_rank`."""

    reduction_factor: Size = 16
    lora_rank: Size = 8
    lora_alpha: Size = 8


class UniPELTT5(NetworkMethod):
    """Adapters after self-attention and feed-forward, LoRA on q and v of every attention; a model for each corpus."""

    title = "UniPELT-T5"
    multitask = False
    Settings = UniPELTT5Settings

    def build(self, backbone, tasks, settings):
        import warnings

        import adapters
        from adapters.composition import Stack

        from hyperloader.models.task_model import PlainT5

        bottleneck_size(backbone.config.d_model, settings.reduction_factor)
        bottleneck = adapters.DoubleSeqBnConfig(reduction_factor=settings.reduction_factor)
        lora = adapters.LoRAConfig(r=settings.lora_rank, alpha=settings.lora_alpha)
        adapters.init(backbone)
        # before anything is added, so that the added parameters alone are trained
        backbone.requires_grad_(False)
        backbone.add_adapter(ADAPTER, config=adapters.ConfigUnion(bottleneck, lora))
        # set_active_adapters would do the same, but first warn that nothing is active
        backbone.adapters_config.active_setup = Stack(ADAPTER)
        # of the library's own call, in every forward pass
        warnings.filterwarnings("ignore", "`past_key_value` is deprecated .* for `T5Block.forward`", FutureWarning)
        return PlainT5(backbone, tasks)


METHOD = UniPELTT5()

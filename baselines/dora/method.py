"""DoRA (Liu et al. 2024) as in the PEFT library."""

from hyperloader.config.settings import Settings, Size
from hyperloader.methods.library import PeftMethod


class DoRASettings(Settings):
    """Rank of the matrices, whose product is scaled by `lora_alpha / lora_rank`."""

    lora_rank: Size = 8
    lora_alpha: Size = 8


class DoRA(PeftMethod):
    """LoRA of the direction of each weight, and its magnitude trained apart."""

    title = "DoRA"
    Settings = DoRASettings

    def config(self, settings):
        from peft import LoraConfig

        sizes = {"r": settings.lora_rank, "lora_alpha": settings.lora_alpha}
        return LoraConfig(**sizes, lora_dropout=0.0, target_modules=["q", "v"], bias="none", use_dora=True)


METHOD = DoRA()

"""LoRA (Hu et al. 2022) as in the PEFT library."""

from hyperloader.config.settings import Settings, Size
from hyperloader.methods.library import PeftMethod


class LoRASettings(Settings):
    """Rank of the matrices, whose product is scaled by `lora_alpha / lora_rank`."""

    lora_rank: Size = 8
    lora_alpha: Size = 8


class LoRA(PeftMethod):
    """Low-rank updates of the query and value projections of every attention."""

    title = "LoRA"
    Settings = LoRASettings

    def config(self, settings):
        from peft import LoraConfig

        return LoraConfig(r=settings.lora_rank, lora_alpha=settings.lora_alpha, lora_dropout=0.0, target_modules=["q", "v"], bias="none")


METHOD = LoRA()

"""Methods of the PEFT library: T5 is frozen, and what the library puts into it is trained."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from hyperloader.config.plugins import extra
from hyperloader.config.settings import Settings, Size
from hyperloader.methods.network import NetworkMethod

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration


class PeftMethod(NetworkMethod):
    """A model for each corpus; a variant with `multitask: true` is one for all, with nothing that tells the tasks apart."""

    multitask = False
    library = "peft"

    @abstractmethod
    def config(self, settings: Settings) -> Any:
        """The library's configuration."""

    def inject(self, backbone: T5ForConditionalGeneration, settings: Settings) -> T5ForConditionalGeneration:
        """The frozen backbone with what is trained."""
        from peft import inject_adapter_in_model

        return inject_adapter_in_model(self.config(settings), backbone)

    def build(self, backbone, tasks, settings):
        from hyperloader.models.task_model import PlainT5

        extra(self.library)
        backbone.requires_grad_(False)
        return PlainT5(self.inject(backbone, settings), tasks)


class LowRankSettings(Settings):
    """Rank of the matrices, whose product is scaled by `lora_alpha / lora_rank`."""

    lora_rank: Size = 8
    lora_alpha: Size = 8


class LowRankMethod(PeftMethod):
    """Low-rank updates of the query and value projections of every attention; with `use_dora`, of their directions."""

    Settings = LowRankSettings
    use_dora: ClassVar[bool] = False

    def config(self, settings: LowRankSettings) -> Any:
        from peft import LoraConfig

        sizes = {"r": settings.lora_rank, "lora_alpha": settings.lora_alpha}
        return LoraConfig(**sizes, lora_dropout=0.0, target_modules=["q", "v"], bias="none", use_dora=self.use_dora)

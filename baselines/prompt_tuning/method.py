"""Prompt tuning (Lester et al. 2021) as in the PEFT library."""

from hyperloader.config.settings import Settings, Size
from hyperloader.methods.library import PeftMethod


class PromptTuningSettings(Settings):
    """How many virtual tokens stand before each sentence."""

    virtual_tokens: Size = 100


class PromptTuning(PeftMethod):
    """Trained embeddings of virtual tokens, which the encoder reads before each sentence."""

    title = "Prompt tuning"
    Settings = PromptTuningSettings

    def config(self, settings):
        from peft import PromptTuningConfig

        sizes = {"num_virtual_tokens": settings.virtual_tokens, "num_transformer_submodules": 1}
        return PromptTuningConfig(task_type="SEQ_2_SEQ_LM", prompt_tuning_init="SAMPLE_VOCAB", **sizes)

    def inject(self, backbone, settings):
        from peft import PromptEmbedding

        from .network import PromptedEmbedding

        config = self.config(settings)
        config.token_dim = backbone.config.d_model
        backbone.encoder.embed_tokens = PromptedEmbedding(backbone.shared, PromptEmbedding(config, backbone.shared))
        return backbone


METHOD = PromptTuning()

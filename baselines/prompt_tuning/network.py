"""Words and virtual tokens, embedded by one module."""

from torch import Tensor, nn, where


class PromptedEmbedding(nn.Module):
    """Embeds ids: those of words by the backbone, those that follow by a trained prompt.

    Args:
        words: the backbone's embedding.
        prompt: the library's, of the virtual tokens.
    """

    def __init__(self, words: nn.Embedding, prompt: nn.Module):
        super().__init__()
        self.words, self.prompt = words, prompt

    def forward(self, ids: Tensor) -> Tensor:
        first = self.words.num_embeddings
        known, virtual = self.words(ids.clamp(max=first - 1)), self.prompt((ids - first).clamp(min=0))
        return where((ids < first)[..., None], known, virtual)

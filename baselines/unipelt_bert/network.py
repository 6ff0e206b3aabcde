"""UniPELT's three submodules on a BERT, as the `adapters` library computes them.

    gate     g = mean over the positions of sigmoid(x w + b)    one number per sentence, layer and submodule
    LoRA     q(x) = Wq x + bq + g B A x                         v likewise, with a gate of its own
    prefix   keys [g Pk | k(x)], values [g Pv | v(x)]           one gate for both
    adapter  LN(h + g up(relu(down(x))) + r)                    x = LN(h + r), h the feed-forward output, r its input

Mao et al. 2022. With the same weights the library computes what the original implementation computes.
"""

from __future__ import annotations

import adapters
from adapters.composition import Stack
from torch import nn
from transformers import BertModel

ADAPTER = "unipelt"
STD = 0.02


def add_unipelt(
    bert: BertModel,
    *,
    prefix_length: int,
    prefix_hidden: int,
    flat_prefix: bool,
    reduction_factor: int,
    lora_rank: int,
    lora_alpha: int,
    use_gating: bool,
) -> None:
    """Freeze a BERT and add UniPELT to it, in place; only what is added is trainable.

    Args:
        bert: its modules are replaced by the library's.
        prefix_length: keys and values put before those of each self-attention.
        prefix_hidden: width of the network that generates the prefix of all layers.
        flat_prefix: the prefix's keys and values are parameters themselves.
        reduction_factor: hidden size divided by the bottleneck of the adapters.
        lora_rank: of the updates of q and v; `lora_alpha / lora_rank` scales them where there are no gates.
        lora_alpha: see `lora_rank`.
        use_gating: a gate for each submodule.
    """
    submodules = (
        adapters.PrefixTuningConfig(prefix_length=prefix_length, bottleneck_size=prefix_hidden, flat=flat_prefix, use_gating=use_gating),
        adapters.SeqBnConfig(reduction_factor=reduction_factor, use_gating=use_gating),
        adapters.LoRAConfig(r=lora_rank, alpha=lora_alpha, use_gating=use_gating),
    )
    adapters.init(bert)
    # before anything is added, so that the added parameters alone are trained
    bert.requires_grad_(False)
    bert.add_adapter(ADAPTER, config=adapters.ConfigUnion(*submodules))
    # set_active_adapters would do the same, but first warn that nothing is active
    bert.adapters_config.active_setup = Stack(ADAPTER)
    _initialise(bert)


def _initialise(bert: BertModel) -> None:
    """Initial weights as in the original, where the library's differ: its prefix is larger, its gates have random biases."""
    for name, parameter in bert.named_parameters():
        if parameter.requires_grad:
            if name.endswith(".bias"):
                nn.init.zeros_(parameter)
            elif ".prefix_tunings." in name:
                nn.init.normal_(parameter, std=STD)

"""DoRA (Liu et al. 2024) as in the PEFT library."""

from hyperloader.methods.library import LowRankMethod


class DoRA(LowRankMethod):
    """LoRA of the direction of each weight, and its magnitude trained apart."""

    title = "DoRA"
    use_dora = True


METHOD = DoRA()

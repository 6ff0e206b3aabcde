"""LoRA (Hu et al. 2022) as in the PEFT library."""

from hyperloader.methods.library import LowRankMethod


class LoRA(LowRankMethod):
    """Low-rank updates of the query and value projections of every attention."""

    title = "LoRA"


METHOD = LoRA()

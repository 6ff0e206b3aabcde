"""(IA)^3 (Liu et al. 2022) as in the PEFT library."""

from hyperloader.methods.library import PeftMethod


class IA3(PeftMethod):
    """Keys, values and the inner activations of feed-forward blocks, each scaled by a trained vector."""

    title = "(IA)3"

    def config(self, settings):
        from peft import IA3Config

        return IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"])


METHOD = IA3()

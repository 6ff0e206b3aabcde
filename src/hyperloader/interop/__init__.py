"""Checkpoints of the original implementations, in and out: HyperFormer++, HyperLoader and Hyperdecoder."""

from hyperloader.interop.state_dicts import load_original_checkpoint, original_state_dict

__all__ = ["load_original_checkpoint", "original_state_dict"]

"""The results of a scale as one file: packed, checked in another place without training, and compared with others."""

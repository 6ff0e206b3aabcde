"""HyperLoader: hypernetwork-based multi-task sequence labelling, and the suite that reproduces its paper."""

__version__ = "0.1.0"

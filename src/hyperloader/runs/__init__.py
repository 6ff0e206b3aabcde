"""A run on disk: its records and predictions, and who may work in it."""

"""Training: which examples a step sees, the loop, its checkpoints, and a run from settings to saved weights."""

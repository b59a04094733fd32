"""Training: runs, stages, losses, checkpoints."""

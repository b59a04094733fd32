"""Training data: banks of clips, degraded masks, and samples for each family of models."""

"""Upper bounds of a model."""

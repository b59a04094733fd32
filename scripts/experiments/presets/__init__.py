"""Models and baselines on several data sets."""

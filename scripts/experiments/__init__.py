"""Experiments: each package writes one page or picture of docs/results, by `python -m scripts.experiments.NAME`."""

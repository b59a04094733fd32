"""The predictors without a model, whose place is with the metrics: those score them, and need no torch."""

from vidamodal.metrics.baselines import BASELINES, predict_baseline

__all__ = ["BASELINES", "predict_baseline"]

"""Calibration of probabilities and confidences."""

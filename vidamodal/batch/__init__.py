"""Prediction of many videos: finding them, workers that share the load, and the manifest of all outcomes."""

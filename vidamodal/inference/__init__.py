"""Prediction of amodal tracks: from a video and its visible masks to files."""

"""Validation scores over training."""

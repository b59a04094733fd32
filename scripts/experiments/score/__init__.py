"""Scores of one model on a data set."""

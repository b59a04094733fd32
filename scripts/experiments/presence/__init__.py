"""Presence: whether an object of which nothing is visible is hidden or gone."""

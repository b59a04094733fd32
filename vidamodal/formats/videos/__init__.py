"""Annotated videos in the formats of other tools and data sets."""

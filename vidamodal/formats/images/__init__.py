"""Annotated images in the formats of published data sets."""

"""Mask-only worlds: scene descriptions, rasteriser, and sampling of clips."""

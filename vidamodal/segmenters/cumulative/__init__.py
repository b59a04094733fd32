"""Cumulative occlusion learning (2024) as a segmenter of frames without masks."""

from vidamodal.segmenters.cumulative.config import CumulativeSegmenterConfig
from vidamodal.segmenters.cumulative.model import CumulativeSegmenter

__all__ = ["CumulativeSegmenter", "CumulativeSegmenterConfig"]

"""AISDiff (2024) as a segmenter of frames without masks."""

from vidamodal.segmenters.aisdiff.config import AISDiffSegmenterConfig
from vidamodal.segmenters.aisdiff.model import AISDiffSegmenter

__all__ = ["AISDiffSegmenter", "AISDiffSegmenterConfig"]

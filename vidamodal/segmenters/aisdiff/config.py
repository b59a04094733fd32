"""Settings of the AISDiff segmenter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vidamodal.segmenters.aisdiff.detector import DetectorConfig
from vidamodal.segmenters.aisdiff.inpainting import PriorConfig


@dataclass(frozen=True)
class AISDiffSegmenterConfig:
    """Settings of the segmenter."""

    size: int = 128
    """Cells per side of the canvas to which frames are resized."""
    labels: tuple[str, ...] = ()
    """Names of the categories; empty to take them from the training data."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    bins: int = 14
    """Cells per side of a region's features; its masks have twice as many."""
    margin: float = 1.2
    """Ratio of the sides of a region to those of its box."""
    shape_prior: bool = True
    """If false, there is no DiffSP, and the attention alone weights the amodal feature: a control."""
    amodal: Literal["predicted", "visible"] = "predicted"
    """The amodal masks: predicted, or copies of the visible ones as a control."""
    noise: Literal["clip", "frame"] = "clip"
    """Sampling noise: shared by the frames of a clip, or independent in each frame."""
    least_score: float = 0.35
    """Minimum score of an instance: those below it tend to mislead tracking."""
    least_area: int = 4
    """Minimum visible area of an instance in cells."""
    same: float = 0.5
    """IoU of visible masks above which the instance with the lower score is suppressed: the boxes of different objects
    in a heap overlap, their visible masks do not."""
    learning_regions: int = 8
    """Regions per image in training; with 0 only the detector is trained, which takes a sixth of the time."""
    learning_steps: int = 2
    """Steps of DiffSP in training."""
    true_masks: float = 0.5
    """Share of regions for which DiffSP gets ground-truth masks in training, instead of predicted ones."""

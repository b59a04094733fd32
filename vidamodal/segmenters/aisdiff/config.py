"""Configuration of the AISDiff segmenter."""

from __future__ import annotations

from dataclasses import dataclass, field

from vidamodal.segmenters.aisdiff.detector import DetectorConfig
from vidamodal.segmenters.aisdiff.diffsp import PriorConfig


@dataclass(frozen=True)
class AISDiffSegmenterConfig:
    """Of the segmenter of bare frames."""

    size: int = 128
    """Cells a side of the canvas that frames are brought to."""
    labels: tuple[str, ...] = ()
    """The categories; empty: training finds them in its data."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    bins: int = 14
    """A side of a region's features; its masks have twice as many."""
    margin: float = 1.2
    """Sides of a region over those of its box."""
    shape_prior: bool = True
    """Off: no DiffSP, and the amodal feature is weighed by the attention alone. A control."""
    amodal: str = "predicted"
    """predicted | visible: copied from the visible branch. A control."""
    noise: str = "clip"
    """clip | frame: whether the frames of a clip share their noise."""
    least_score: float = 0.35
    """Instances below it are left out: weak ones lead tracks astray."""
    least_area: int = 4
    """Of an instance, so many cells must show."""
    same: float = 0.5
    """IoU of visible masks from which the worse instance is left out: boxes of different objects overlap in heaps, what
    shows of them does not."""
    learning_regions: int = 8
    """Of each picture, so many regions are learnt from; with 0 the detector learns alone, in a sixth of the time."""
    learning_steps: int = 2
    """Steps of DiffSP while the rest learns ..."""
    true_masks: float = 0.5
    """... and the share of regions in which it then sees the true masks, in place of the predicted ones."""

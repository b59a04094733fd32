"""Settings of the segmenter by cumulative occlusion learning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vidamodal.segmenters.cumulative.denoiser import DenoiserConfig

Choice = Literal["selected", "mean"]
"""How one mask is made of several samples: the most representative sample, or a vote per cell."""


@dataclass(frozen=True)
class CumulativeSegmenterConfig:
    """Settings of the segmenter; the defaults are the paper's, where it states them."""

    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    size: int = 64
    """Cells per side of the canvas to which frames are resized."""
    predicts: Literal["noise", "mask"] = "noise"
    """Output of the network: the noise (Eq. 10), or the clean mask, trained with BCE + Dice."""
    samples: int = 3
    """Samples per layer: K (Table 1)."""
    choose: Choice = "selected"
    """How a layer is made of its samples (Table 2)."""
    cumulative: bool = True
    """If false, the network gets the number of the layer in place of the cumulative mask: a control (Table 4)."""
    noise: Literal["clip", "frame"] = "clip"
    """Sampling noise: shared by the frames of a clip, or independent in each frame."""
    omitted: float = 0.0
    """Share of cumulative masks from which one layer is removed in training (Eq. 12)."""
    most_layers: int = 0
    """Maximum number of layers: N_max; 0 to take it from the training data."""
    least_area: int = 0
    """Minimum area of a layer in cells: Area_min; 0 to take it from the training data."""
    together: int = 1
    """Frames per batch. Batches are padded to this size, so that results do not depend on the other frames."""

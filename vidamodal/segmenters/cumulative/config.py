"""Configuration of the cumulative-occlusion segmenter."""

from __future__ import annotations

from dataclasses import dataclass, field

from vidamodal.segmenters.cumulative.denoiser import DenoiserConfig


@dataclass(frozen=True)
class CumulativeSegmenterConfig:
    """Of the segmenter of bare frames; the defaults of what the paper names are the paper's."""

    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    size: int = 64
    """Cells a side of the canvas that frames are brought to."""
    predicts: str = "noise"
    """noise (Eq. 10) | mask: the clean one, by BCE + Dice."""
    samples: int = 3
    """K (Table 1)."""
    choose: str = "selected"
    """selected | mean: the most representative sample of a layer, or where half of them agree (Table 2)."""
    cumulative: bool = True
    """Without, the network is told a layer's number in place of what lies in front of it. A control (Table 4)."""
    noise: str = "clip"
    """clip | frame: whether the frames of a clip share their noise."""
    omitted: float = 0.0
    """Share of cumulative masks that a layer is taken out of in training (Eq. 12)."""
    most_layers: int = 0
    """N_max; 0: training finds it in its data."""
    least_area: int = 0
    """Area_min in cells; 0: likewise."""
    together: int = 1
    """Frames that go through the network at once, always as many, so that what else there is changes nothing: more of
    them serve a GPU."""

"""An image model: a framewise head that completes each frame by itself, without tokenizer and transformer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import HeadInputs, find_head
from vidamodal.models.amodal import AmodalOutput, CoarsePrediction
from vidamodal.noise import Noise
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.windows import View, WindowConfig

CERTAIN = 6.0
"""Logit of visible pixels, and minus that of the others, which replaces the coarse mask."""


@dataclass(frozen=True)
class FramewiseConfig:
    """Configuration of a framewise model, as in config.json."""

    head: str = "conddiff"
    """Id of the head."""
    crop: int = 64
    """Side of the window in cells."""
    windows: WindowConfig = field(default_factory=lambda: WindowConfig(mode="boxes", passes=1))
    chunk: int = 24
    """Frames that are predicted together; see `vidamodal.models.amodal.ModelConfig` for this and what follows."""
    overlap: int = 0
    threshold: float = 0.5
    temperature: float = 1.0
    partial: PartialDecision = field(default_factory=PartialDecision)
    presence_threshold: float = 0.5
    mirror: bool = False


class FramewiseModel(nn.Module):
    """Completes the visible masks of tracks frame by frame; only the windows depend on other frames."""

    def __init__(self, config: FramewiseConfig, head_config: Any = None) -> None:
        super().__init__()
        head_class = find_head(config.head)
        self.config = config
        self.head_config = head_config or head_class.config_class()
        self.head = head_class(self.head_config, config.crop, 0)

    @property
    def view(self) -> View:
        """The windows and input channels of the model."""
        head = self.head
        return View(self.config.windows, self.config.crop, head.reads_pixels, head.reads_order, head.reads_depth)

    takes_anchors = False
    """This model does not complete tracks from true masks of some of their frames."""

    @property
    def stochastic(self) -> bool:
        """True if the prediction is sampled."""
        return self.head.stochastic

    def forward(self, crops: TrackCrops, noise: Noise | None = None) -> AmodalOutput:
        """Return the prediction; ``noise`` is used by a head that samples."""
        inputs = self.predict_coarse(crops, noise or Noise.of(0)).inputs
        return AmodalOutput(None, inputs.coarse, self.head(inputs))

    def predict_coarse(self, crops: TrackCrops, noise: Noise) -> CoarsePrediction:
        """Return the inputs of the head: the visible mask as the coarse one, and no features."""
        inputs = HeadInputs(crops, CERTAIN * (2 * crops.visible - 1), crops.image[:, :, :0], noise)
        return CoarsePrediction(None, inputs, None)

    def complete(self, crops: TrackCrops, generator: torch.Generator) -> AmodalOutput:
        """Return the prediction; the generator is used by a head that samples."""
        output: AmodalOutput = self(crops, Noise((generator,)))
        return output

    @torch.no_grad()
    def sample(self, crops: TrackCrops, _steps: int, generator: torch.Generator) -> AmodalOutput:
        """Return a hypothesis, which equals the prediction if the head does not sample."""
        return self.complete(crops, generator)

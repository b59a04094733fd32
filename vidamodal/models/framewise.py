"""A head that stands alone: every frame completed by itself, without tokenizer and transformer. An image model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import HeadInputs, find_head
from vidamodal.models.amodal import AmodalOutput
from vidamodal.noise import Noise
from vidamodal.windows import View, WindowConfig

SEEN = 6.0
"""Logit of what is visible, and minus that of the rest, in place of a coarse mask."""


@dataclass(frozen=True)
class FramewiseConfig:
    """All that the config.json of such a model says; for chunk and on, see `ModelConfig`."""

    head: str = "conddiff"
    crop: int = 64
    """Cells a side of the window."""
    windows: WindowConfig = field(default_factory=lambda: WindowConfig(mode="boxes", passes=1))
    chunk: int = 24
    overlap: int = 0
    threshold: float = 0.5
    temperature: float = 1.0


class FramewiseModel(nn.Module):
    """Visible masks and pixels of tracks in, amodal masks out; no frame knows of another, but for the windows."""

    def __init__(self, config: FramewiseConfig, head_config: Any = None) -> None:
        super().__init__()
        head_class = find_head(config.head)
        self.config = config
        self.head_config = head_config or head_class.config_class()
        self.head = head_class(self.head_config, config.crop, 0)

    @property
    def view(self) -> View:
        """How it looks at clips."""
        return View(self.config.windows, self.config.crop, self.head.reads_pixels, self.head.reads_order)

    @property
    def stochastic(self) -> bool:
        """Whether its prediction is drawn."""
        return self.head.stochastic

    def forward(self, crops: TrackCrops, noise: Noise | None = None) -> AmodalOutput:
        """The prediction."""
        _, inputs = self.look(crops, noise or Noise.of(0))
        return AmodalOutput(None, inputs.coarse, self.head(inputs))

    def look(self, crops: TrackCrops, noise: Noise) -> tuple[None, HeadInputs]:
        """What the head sees: in place of a coarse mask the visible one, and no features."""
        return None, HeadInputs(crops, SEEN * (2 * crops.visible - 1), crops.image[:, :, :0], noise)

    def complete(self, crops: TrackCrops, generator: torch.Generator) -> AmodalOutput:
        """The prediction; the generator serves a head that draws."""
        output: AmodalOutput = self(crops, Noise((generator,)))
        return output

    @torch.no_grad()
    def sample(self, crops: TrackCrops, _steps: int, generator: torch.Generator) -> AmodalOutput:
        """A hypothesis; without a head that draws, the prediction again."""
        return self.complete(crops, generator)

"""Interface and registry of framewise heads, which refine the coarse amodal mask of each object-frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.data.crops import TrackCrops
from vidamodal.errors import InputError
from vidamodal.noise import Noise
from vidamodal.registry import choose, find_classes

PROBABILITY_MARGIN = 1e-4
"""Least distance of a probability from 0 and 1 before it is converted to a logit."""


@dataclass(frozen=True)
class HeadInputs:
    """Inputs of a framewise head, for b tracks over t frames in windows of s x s cells."""

    crops: TrackCrops
    coarse: Float[Tensor, "b t s s"]
    """Logits of the coarse amodal mask."""
    features: Float[Tensor, "b t c g g"]
    """Features of the transformer on the token grid; c = 0 if the head is used without a transformer."""
    noise: Noise
    """Random numbers of a head that samples its prediction."""


class FramewiseHead(nn.Module, ABC):
    """Base class of heads. A head processes each frame by itself; all temporal reasoning precedes it.

    Only what a head samples may be shared by the frames of a track, such as noise or a shape prior.

    A module in this package registers the head that it defines or imports: see `find_head`.
    """

    ID: ClassVar[str]
    """Name of the head in configs and in config.json."""
    config_class: ClassVar[type]
    """Dataclass of the head's settings."""

    stochastic = False
    """True if the head samples its prediction with `HeadInputs.noise`, so that it can produce hypotheses."""
    reads_pixels = False
    """True if the head needs the colours of the window."""
    reads_order = False
    """True if the head uses the occlusion order."""
    reads_depth = False
    """True if the head uses the evidence from depth."""

    @abstractmethod
    def __init__(self, config: Any, crop: int, channels: int) -> None:
        """Build the head.

        Args:
            config: Settings, an instance of ``config_class``.
            crop: Cells per side of the windows.
            channels: Channels of the transformer's features; 0 if the head is used without a transformer, in which
                case the coarse mask is the visible one.
        """
        super().__init__()

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Networks that `forward` and `training_logits` call, which torch.compile may compile."""
        return (self,)

    @abstractmethod
    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Return logits of the amodal mask."""

    def training_logits(self, inputs: HeadInputs, _truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """Return the logits that the loss compares with the ground truth.

        Args:
            inputs: As in `forward`.
            _truth: Ground-truth amodal masks, with values 0 and 1; a diffusion head adds noise to them.
        """
        logits: Tensor = self(inputs)
        return logits

    def loss(
        self, _logits: Float[Tensor, "b t s s"], _truth: Float[Tensor, "b t s s"], _inside: Float[Tensor, "b t s s"]
    ) -> Float[Tensor, "b t"] | None:
        """Return the loss of each object-frame, or None for the default one (binary cross-entropy and Dice).

        Args:
            _logits: Output of `training_logits`.
            _truth: Ground-truth amodal masks, with values 0 and 1.
            _inside: Share of each cell that lies inside the image.
        """
        return None

    def load_pretrained(self) -> None:
        """Load the pretrained weights that the config names, if any.

        Raises:
            InputError: If they cannot be loaded or do not fit.
        """


def window_colours(crops: TrackCrops) -> Float[Tensor, "b t 3 s s"]:
    """Return the colours of the windows. Raises InputError if the crops were made without pixels."""
    if crops.image.shape[2] != 3:
        raise InputError("this head reads pixels, but the input has only masks. Pass the video, or use another head.")
    return crops.image


def probability_logits(probability: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert probabilities to finite logits."""
    return torch.logit(probability, eps=PROBABILITY_MARGIN)


def find_head(identity: str) -> type[FramewiseHead]:
    """Return the head class with this id.

    Heads are discovered by scanning the modules and subpackages of ``vidamodal.heads``.

    Raises:
        InputError: If there is none.
    """
    import vidamodal.heads

    return choose(find_classes(vidamodal.heads, FramewiseHead), identity, "head")  # type: ignore[type-abstract]

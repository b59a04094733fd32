"""The identity head: the coarse mask of the transformer without refinement, a control for all other heads."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vidamodal.heads.base import FramewiseHead, HeadInputs


@dataclass(frozen=True)
class CoarseConfig:
    """Settings of the identity head: none."""


class CoarseHead(FramewiseHead):
    """Head that returns the coarse logits."""

    ID = "coarse"
    config_class = CoarseConfig

    def __init__(self, config: CoarseConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Return the coarse logits."""
        return inputs.coarse

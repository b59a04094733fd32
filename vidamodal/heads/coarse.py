"""No refinement: the coarse mask of the transformer is the result. The control of every other head."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vidamodal.heads.base import FramewiseHead, HeadInputs


@dataclass(frozen=True)
class CoarseConfig:
    """Nothing to set."""


class CoarseHead(FramewiseHead):
    """Gives the coarse logits back."""

    ID = "coarse"
    config_class = CoarseConfig

    def __init__(self, config: CoarseConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        return inputs.coarse

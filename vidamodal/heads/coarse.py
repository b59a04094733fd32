"""No refinement: the coarse mask of the transformer is the result. The control of every other head."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vidamodal.heads.base import FramewiseHead, HeadInputs


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


class Head(FramewiseHead):
    """Gives the coarse logits back."""

    def __init__(self, config: Config, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        return inputs.coarse

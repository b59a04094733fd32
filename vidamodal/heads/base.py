"""What a head gets and gives. A head is one file in this package; see `load_head_class`, `load_segmenter_class`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.data.crops import TrackCrops
from vidamodal.noise import Noise
from vidamodal.registry import find_classes
from vidamodal.types import InputError


@dataclass(frozen=True)
class HeadInputs:
    """What a framewise head sees."""

    crops: TrackCrops
    coarse: Float[Tensor, "b t s s"]
    """Logits of the coarse amodal mask."""
    features: Float[Tensor, "b t c g g"]
    """The transformer's features on the token grid; no channel (c = 0) where the head stands alone."""
    noise: Noise
    """What a head draws from, if it draws at all."""


class FramewiseHead(nn.Module, ABC):
    """Refines the coarse mask frame by frame: amodal logits (b, t, s, s) out. Whatever is temporal came before it."""

    ID: ClassVar[str]
    """Name in configs and config.json."""
    config_class: ClassVar[type]
    """Dataclass of its settings."""
    draws = False
    """Whether what it gives depends on its noise: then hypotheses are drawn from it."""
    pixels = False
    """Whether it reads the window's colours."""
    order = False
    """Whether it reads who lies in front of whom."""

    @abstractmethod
    def __init__(self, config: Any, crop: int, channels: int) -> None:
        """Build for windows of `crop` cells and `channels` features; `config` is the dataclass named by `Config`.

        No channels: the head stands alone, without a transformer, and the coarse mask is the visible one.
        """
        super().__init__()

    @abstractmethod
    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]: ...

    def learn(self, inputs: HeadInputs, _truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """Logits to learn from; the truth is the amodal mask, which a diffusion head spoils and gives back."""
        logits: Tensor = self(inputs)
        return logits

    def loss(
        self, _logits: Float[Tensor, "b t s s"], _truth: Float[Tensor, "b t s s"], _inside: Float[Tensor, "b t s s"]
    ) -> Float[Tensor, "b t"] | None:
        """A loss of its own for each object-frame, in place of BCE + Dice; None for those."""
        return None

    def load_pretrained(self) -> None:  # noqa: B027  (few heads have any)
        """Put weights in that its config names; InputError if they cannot be had."""


def head_ids() -> list[str]:
    """Return the ids of all heads."""
    return list(_heads())


def find_head(identity: str) -> type[FramewiseHead]:
    """Return the head class with this id.

    Raises:
        InputError: If there is none.
    """
    heads = _heads()
    if identity not in heads:
        raise InputError(f"unknown head {identity!r}. Choose one of {', '.join(heads)}.")
    return heads[identity]


def _heads() -> dict[str, type[FramewiseHead]]:
    import vidamodal.heads

    return find_classes(vidamodal.heads, FramewiseHead)  # type: ignore[type-abstract]

"""The convolutional refinement of C2F-Seg (section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class Refined:
    """Logits of both branches of Eq. 9."""

    visible: Float[Tensor, "n s s"]
    amodal: Float[Tensor, "n s s"]


class Refiner(nn.Module):
    """Convolutional refinement with a visible and an amodal branch (section 3.4, Eqs. 8 and 9).

    As released, the coarse mask is downsampled to the token grid by its nearest pixel, and upsampling repeats pixels.
    """

    def __init__(self, width: int, widths: tuple[int, ...], attention: Literal["paper", "released", "none"]) -> None:
        """Build the refinement.

        Args:
            width: Channels at its beginning.
            widths: Channels of the backbone's four maps.
            attention: Form of Eq. 8.
        """
        super().__init__()
        if width % 16:
            raise ValueError(f"the refinement's channels are halved four times: {width} is not a multiple of 16")
        self.attention = attention
        self.image = _convolve(widths[3], widths[3], 1)
        self.reduce = _convolve(widths[3], width)
        self.weighed = _convolve(widths[3], width) if attention == "paper" else None
        inner = width + 1 + {"paper": width, "released": 1, "none": 0}[attention]
        self.enter = nn.Sequential(_convolve(inner, inner), _convolve(inner, width // 2))
        self.third = nn.Conv2d(widths[2], width // 2, 1)
        self.shared = _convolve(width // 2, width // 4)
        self.visible, self.amodal = Branch(width // 4, widths[:2]), Branch(width // 4, widths[:2])

    def forward(self, maps: tuple[Float[Tensor, "n c g g"], ...], coarse: Float[Tensor, "n s s"]) -> Refined:
        """Refine a coarse mask, given as probabilities, with the maps of the backbone."""
        first, second, third, fourth = maps
        x = self._join(self.image(fourth), coarse)
        x = _double(self.enter(x) + self.third(third))
        x = self.shared(x)
        visible, amodal = (
            interpolate(branch(x, second, first), size=coarse.shape[-2:], mode="nearest")[:, 0].float()
            for branch in (self.visible, self.amodal)
        )
        return Refined(visible, amodal)

    def _join(self, image: Float[Tensor, "n c g g"], coarse: Float[Tensor, "n s s"]) -> Float[Tensor, "n d g g"]:
        """Return the features, their attention under the coarse mask (Eq. 8) and the mask itself, side by side."""
        small = interpolate(coarse[:, None], size=image.shape[-2:], mode="nearest")
        return torch.cat([self.reduce(image), *self._attend(image, small), small.to(image.dtype)], dim=1)

    def _attend(self, image: Float[Tensor, "n c g g"], mask: Float[Tensor, "n 1 g g"]) -> list[Tensor]:
        if self.attention == "none":
            return []
        with torch.autocast(image.device.type, enabled=False):
            weights = attention_map(image.float(), mask.float(), scaled=self.attention == "paper").to(image.dtype)
        return [weights] if self.weighed is None else [self.weighed(weights * image)]


def attention_map(
    image: Float[Tensor, "n c g g"], mask: Float[Tensor, "n 1 g g"], scaled: bool
) -> Float[Tensor, "n 1 g g"]:
    """Return the softmax of Eq. 8 over the positions of a frame; ``scaled`` divides by the square root of the channels.

    As printed, the shapes of mask and features do not match. As released, the query is the mean feature under the mask.
    """
    query = (image * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp_min(1e-6)
    scores = torch.einsum("nc,ncgh->ngh", query, image) * (image.shape[1] ** -0.5 if scaled else 1.0)
    return rearrange(rearrange(scores, "n g h -> n (g h)").softmax(-1), "n (g h) -> n 1 g h", g=image.shape[2])


class Branch(nn.Module):
    """A branch of the refinement: from twice to eight times the token grid, with skip connections of the backbone."""

    def __init__(self, width: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        first, second = widths
        self.second, self.first = nn.Conv2d(second, width, 1), nn.Conv2d(first, width // 2, 1)
        self.middle, self.end = _convolve(width, width // 2), _convolve(width // 2, width // 4)
        self.leave = nn.Conv2d(width // 4, 1, 3, padding=1)

    def forward(
        self, x: Float[Tensor, "n c p p"], second: Float[Tensor, "n d p p"], first: Float[Tensor, "n e q q"]
    ) -> Float[Tensor, "n 1 r r"]:
        """Return the logits of the branch's mask."""
        x = self.middle(_double(x + self.second(second)))
        x = self.end(_double(x + self.first(first)))
        logits: Tensor = self.leave(x)
        return logits


def _convolve(before: int, after: int, size: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, size, padding=size // 2, bias=False)  # the norm has a bias
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


def _double(x: Float[Tensor, "n c p p"]) -> Float[Tensor, "n c q q"]:
    return interpolate(x, scale_factor=2, mode="nearest")

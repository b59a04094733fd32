"""Mask branches and the Shape Prior Amodal Predictor of AISDiff (section 3.2, Fig. 3)."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate


class GraphConvolution(nn.Module):
    """Residual graph convolution (Kipf and Welling, 2017) over all cells of a region.

    As in BCNet, the graph is complete and its edge weights are similarities of learned features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(width, width // 2, 1), nn.Conv2d(width, width // 2, 1)
        self.value = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.GroupNorm(8, width)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return ``x`` plus the result of the convolution."""
        nodes = "n c h w -> n (h w) c"
        query, key, value = (rearrange(part(x), nodes) for part in (self.query, self.key, self.value))
        edges = (query @ rearrange(key, "n k c -> n c k") * query.shape[-1] ** -0.5).softmax(dim=-1)
        return x + torch.relu(self.norm(rearrange(edges @ value, "n (h w) c -> n c h w", h=x.shape[2])))


class MaskPrediction(nn.Sequential):
    """A transposed 2 x 2 convolution of stride 2, followed by a 1 x 1 convolution."""

    def __init__(self, width: int, planes: int = 1) -> None:
        super().__init__(nn.ConvTranspose2d(width, width, 2, stride=2), nn.ReLU(), nn.Conv2d(width, planes, 1))


class Branch(nn.Module):
    """Feature extraction and mask prediction, for the occluder mask or for the visible mask."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.extract = nn.Sequential(convolution(width, width), GraphConvolution(width), convolution(width, width))
        self.predict = MaskPrediction(width)

    def forward(self, x: Float[Tensor, "n c r r"]) -> tuple[Float[Tensor, "n c r r"], Float[Tensor, "n m m"]]:
        """Return features, and logits of the mask at twice the resolution."""
        features = self.extract(x)
        return features, self.predict(features)[:, 0]


class AmodalPredictor(nn.Module):
    """The Shape Prior Amodal Predictor (Fig. 3): a learned attention map and the prior weight the amodal feature."""

    def __init__(self, width: int, planes: int = 1) -> None:
        super().__init__()
        self.extract = nn.Sequential(convolution(width, width), convolution(width, width))
        self.attend = nn.Sequential(convolution(width, width), nn.Conv2d(width, 1, 3, padding=1), nn.Sigmoid())
        self.predict = MaskPrediction(width, planes)

    def forward(
        self, x: Float[Tensor, "n c r r"], prior: Float[Tensor, "n g g"] | None
    ) -> Float[Tensor, "n planes m m"]:
        """Return logits of the amodal mask at twice the resolution.

        Args:
            x: Features of the regions.
            prior: Shape priors in [0, 1]; None to weight by the attention alone.
        """
        amodal = self.extract(x)
        attention = self.attend(amodal)
        if prior is not None:
            attention = attention * interpolate(prior[:, None], size=x.shape[-2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.predict(attention * amodal)
        return logits


def convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Build a 3 x 3 convolution with group normalisation and a rectifier."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.GroupNorm(8, after), nn.ReLU()
    )

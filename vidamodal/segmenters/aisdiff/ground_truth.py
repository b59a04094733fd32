"""Ground truth of images with their instances, and the regions that training samples from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff.roi import roi_align


@dataclass(frozen=True)
class FrameGroundTruth:
    """A batch of b images of s x s cells with up to m instances each."""

    image: Float[Tensor, "b 3 s s"]
    """Colours in [0, 1]."""
    boxes: Float[Tensor, "b m 4"]
    """Boxes of the amodal masks: left, top, right, bottom in cells."""
    labels: Int[Tensor, "b m"]
    """Index of the category; -1 if it is unknown."""
    visible: Bool[Tensor, "b m s s"]
    amodal: Bool[Tensor, "b m s s"]
    occluding: Bool[Tensor, "b m s s"]
    """Union of the visible masks of all occluders of the instance."""
    valid: Bool[Tensor, "b m"]
    """False in padding."""

    @property
    def size(self) -> int:
        """Number of instances."""
        return int(self.valid.sum())

    @staticmethod
    def join(parts: Sequence[FrameGroundTruth]) -> FrameGroundTruth:
        """Concatenate batches."""
        return FrameGroundTruth(
            *(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(FrameGroundTruth))
        )


@dataclass(frozen=True)
class RegionSamples:
    """Sampled instances, r of each image, as n = b r regions."""

    boxes: Float[Tensor, "n 4"]
    """Jittered boxes."""
    image: Int[Tensor, " n"]
    """Index of the image."""
    labels: Int[Tensor, " n"]
    masks: Float[Tensor, "n 3 s s"]
    """Visible, amodal and occluder mask."""
    weight: Float[Tensor, " n"]
    """1, or 0 in padding, where an image has fewer than r instances."""

    @staticmethod
    def sample(truth: FrameGroundTruth, count: int, jitter: float, noise: Noise) -> RegionSamples:
        """Sample instances uniformly and without replacement.

        Args:
            truth: The images.
            count: Maximum number of instances per image.
            jitter: Standard deviation of the sides of the boxes, relative to the size of the box.
            noise: Random numbers.
        """
        count = min(count, truth.valid.shape[1])
        order = torch.where(truth.valid, noise.uniform(truth.boxes, truth.valid.shape[1]), 2.0)
        chosen = order.argsort(dim=1)[:, :count]

        def take(values: Tensor) -> Tensor:
            rows = torch.arange(len(values), device=values.device)[:, None]
            return rearrange(values[rows, chosen], "b r ... -> (b r) ...")

        boxes = take(truth.boxes)
        shift = rearrange(noise.normal(truth.boxes, count, 4), "b r four -> (b r) four")
        boxes = boxes + jitter * shift * repeat(boxes[:, 2:] - boxes[:, :2], "n two -> n (side two)", side=2)
        masks = torch.stack([take(each) for each in (truth.visible, truth.amodal, truth.occluding)], dim=1).float()
        image = torch.arange(len(truth.boxes), device=boxes.device).repeat_interleave(count)
        return RegionSamples(boxes, image, take(truth.labels), masks, take(truth.valid).float())

    def masks_in(self, boxes: Float[Tensor, "n 4"], cells: int) -> Float[Tensor, "n 3 cells cells"]:
        """Return the masks of each instance, cut out by the box of the same index and thresholded at 0.5."""
        own = torch.arange(len(boxes), device=boxes.device)
        return (roi_align(self.masks, boxes, own, cells) >= 0.5).float()

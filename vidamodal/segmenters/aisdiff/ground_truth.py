"""Ground truth of frames with their instances, and regions sampled from it."""

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
    """b pictures of s x s cells with their true instances, m places for each of them."""

    image: Float[Tensor, "b 3 s s"]
    """Colours in [0, 1]."""
    boxes: Float[Tensor, "b m 4"]
    """Of the amodal masks: left, top, right, bottom in cells."""
    labels: Int[Tensor, "b m"]
    """Numbers of the vocabulary; -1: not known."""
    visible: Bool[Tensor, "b m s s"]
    amodal: Bool[Tensor, "b m s s"]
    occluding: Bool[Tensor, "b m s s"]
    """What shows of all objects that hide part of it."""
    valid: Bool[Tensor, "b m"]
    """False where there is no instance."""

    @property
    def size(self) -> int:
        """How many instances."""
        return int(self.valid.sum())

    @staticmethod
    def join(parts: Sequence[FrameGroundTruth]) -> FrameGroundTruth:
        """All pictures of several samples."""
        return FrameGroundTruth(
            *(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(FrameGroundTruth))
        )


@dataclass(frozen=True)
class RegionSamples:
    """Some instances of each picture, r of each, as n = b r regions."""

    boxes: Float[Tensor, "n 4"]
    image: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    masks: Float[Tensor, "n 3 s s"]
    """Visible, amodal and occluding."""
    weight: Float[Tensor, " n"]
    """0 where a picture has no more instances."""

    @staticmethod
    def of(truth: FrameGroundTruth, count: int, jitter: float, noise: Noise) -> RegionSamples:
        """Each instance as likely as another, its box moved and resized by so many sides (standard deviation)."""
        count = min(count, truth.valid.shape[1])
        order = torch.where(truth.valid, noise.uniform(truth.boxes, truth.valid.shape[1]), 2.0)
        chosen = order.argsort(dim=1)[:, :count]

        def take(values: Tensor) -> Tensor:
            rows = torch.arange(len(values), device=values.device)[:, None]
            return rearrange(values[rows, chosen], "b r ... -> (b r) ...")

        boxes = take(truth.boxes)
        moved = rearrange(noise.normal(truth.boxes, count, 4), "b r four -> (b r) four")
        boxes = boxes + jitter * moved * repeat(boxes[:, 2:] - boxes[:, :2], "n two -> n (side two)", side=2)
        masks = torch.stack([take(each) for each in (truth.visible, truth.amodal, truth.occluding)], dim=1).float()
        image = torch.arange(len(truth.boxes), device=boxes.device).repeat_interleave(count)
        return RegionSamples(boxes, image, take(truth.labels), masks, take(truth.valid).float())

    def within(self, boxes: Float[Tensor, "n 4"], cells: int) -> Float[Tensor, "n 3 cells cells"]:
        """The masks in boxes of their own."""
        own = torch.arange(len(boxes), device=boxes.device)
        return (roi_align(self.masks, boxes, own, cells) >= 0.5).float()

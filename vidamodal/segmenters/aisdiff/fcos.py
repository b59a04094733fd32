"""FCOS (2019): the network, its training targets and its losses, at the locations of a feature pyramid.

As in the paper: focal loss on classes, centerness, GIoU of the distances to the four sides; an object is assigned to
the level of its size and to locations near its centre, and a location with several objects to the smallest one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot, softplus

from vidamodal.segmenters.aisdiff.roi import generalised_iou

LEVEL_REACH = 8.0
"""A level is responsible for objects whose farthest side is up to so many of its cells away."""
CENTRE_RADIUS = 1.5
"""Locations within so many cells of an object's centre are assigned to it."""
GAMMA, ALPHA = 2.0, 0.25
"""Parameters of the focal loss."""
INITIAL_PROBABILITY = 0.01
"""Probability of every class before training."""
SCALES = (2, 4, 8)
"""Strides of the levels, relative to the map for regions."""


@dataclass(frozen=True)
class FcosOutput:
    """Predictions at the l locations of all levels."""

    logits: Float[Tensor, "b l k"]
    """Logits of the classes."""
    sides: Float[Tensor, "b l 4"]
    """Distances to the left, top, right and bottom side, in cells of the level."""
    centerness: Float[Tensor, "b l"]
    """Logits of the centerness."""

    def float(self) -> FcosOutput:
        """Return the output in single precision."""
        return FcosOutput(self.logits.float(), self.sides.float(), self.centerness.float())


@dataclass(frozen=True)
class FcosTargets:
    """Training targets at the l locations of all levels."""

    object: Int[Tensor, "b l"]
    """Index of the object that a location is assigned to; -1 for none."""
    box: Float[Tensor, "b l 4"]
    """Box of that object."""
    centerness: Float[Tensor, "b l"]
    """Centerness (Eq. 3 of FCOS): 1 in the middle of the box; 0 without an object."""


class Fcos(nn.Module):
    """Convolutions that predict classes, sides and centerness, with weights shared by the levels."""

    def __init__(self, width: int, tower: int, classes: int) -> None:
        """Build the network.

        Args:
            width: Channels of the pyramid.
            tower: Convolutions before the classes, and before the boxes.
            classes: Number of classes.
        """
        super().__init__()
        self.of_class, self.of_box = (_tower(width, tower) for _ in range(2))
        self.classes = nn.Conv2d(width, classes, 3, padding=1)
        self.sides = nn.Conv2d(width, 4, 3, padding=1)
        self.centred = nn.Conv2d(width, 1, 3, padding=1)
        nn.init.normal_(self.classes.weight, 0, 0.01)
        nn.init.constant_(self.classes.bias, -math.log(1 / INITIAL_PROBABILITY - 1))  # type: ignore[arg-type]
        nn.init.constant_(self.sides.bias, 2.0)  # type: ignore[arg-type]

    def forward(self, maps: list[Float[Tensor, "b c _ _"]]) -> FcosOutput:
        """Predict at every cell of the levels."""
        levels = []
        for each in maps:
            class_features, box_features = self.of_class(each), self.of_box(each)
            levels.append(
                (self.classes(class_features), softplus(self.sides(box_features)), self.centred(box_features))
            )
        logits, sides, centerness = (
            torch.cat([rearrange(level, "b k h w -> b (h w) k") for level in kind], dim=1)
            for kind in zip(*levels, strict=True)
        )
        return FcosOutput(logits, sides, centerness[..., 0])


class Locations(nn.Module):
    """Fixed geometry of the l locations: the cells of all levels, row by row."""

    points: Tensor
    strides: Tensor
    reach: Tensor
    mirror: Tensor

    def __init__(self, size: int, stride: int) -> None:
        """Lay out the levels.

        Args:
            size: Cells per side of the canvas.
            stride: Stride of the map for regions, to which `SCALES` are relative.
        """
        super().__init__()
        strides = [stride * scale for scale in SCALES]
        counts = [(size // each) ** 2 for each in strides]
        limits = [LEVEL_REACH * each for each in strides[:-1]]
        reach = torch.tensor([[0.0, limits[0]], limits, [limits[1], math.inf]])
        numbers = torch.arange(sum(counts)).split(counts)  # type: ignore[no-untyped-call]
        mirrored = [level.view(math.isqrt(len(level)), -1).flip(1).flatten() for level in numbers]
        repeats = torch.tensor(counts)
        self.register_buffer("points", torch.cat([_cell_centres(size, each) for each in strides]), persistent=False)
        self.register_buffer("reach", reach.repeat_interleave(repeats, dim=0), persistent=False)
        self.register_buffer("strides", torch.tensor(strides).float().repeat_interleave(repeats), persistent=False)
        self.register_buffer("mirror", torch.cat(mirrored), persistent=False)

    def boxes(self, sides: Float[Tensor, "b l 4"]) -> Float[Tensor, "b l 4"]:
        """Convert predicted distances to boxes on the canvas."""
        sides = sides * self.strides[:, None]
        return torch.cat([self.points - sides[..., :2], self.points + sides[..., 2:]], dim=-1)

    def flip(self, output: FcosOutput) -> FcosOutput:
        """Convert the output for mirrored images to that for the images themselves."""
        sides = output.sides[:, self.mirror][..., [2, 1, 0, 3]]
        return FcosOutput(output.logits[:, self.mirror], sides, output.centerness[:, self.mirror])

    def targets(self, boxes: Float[Tensor, "b m 4"], valid: Bool[Tensor, "b m"]) -> FcosTargets:
        """Assign locations to ground-truth boxes; boxes that are not valid are padding."""
        points, corners = self.points[:, None, :], boxes[:, None]
        sides = torch.cat([points - corners[..., :2], corners[..., 2:] - points], dim=-1)
        assigned = self._assigned(sides, corners) & valid[:, None]
        area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)[:, None].expand_as(assigned)
        smallest, chosen = torch.where(assigned, area, math.inf).min(dim=-1)
        positive = smallest.isfinite()
        box = boxes.gather(1, repeat(chosen, "b l -> b l four", four=4))
        left, top, right, bottom = sides.gather(2, repeat(chosen, "b l -> b l 1 four", four=4))[:, :, 0].unbind(dim=-1)
        ratio = (torch.minimum(left, right) * torch.minimum(top, bottom)) / (
            torch.maximum(left, right) * torch.maximum(top, bottom)
        ).clamp_min(1e-6)
        return FcosTargets(torch.where(positive, chosen, -1), box, torch.where(positive, ratio.clamp_min(0).sqrt(), 0))

    def _assigned(self, sides: Float[Tensor, "b l m 4"], corners: Float[Tensor, "b 1 m 4"]) -> Bool[Tensor, "b l m"]:
        """Return which objects contain a location near their centre and have the size of its level."""
        farthest, nearest = sides.amax(dim=-1), sides.amin(dim=-1)
        centre = (corners[..., :2] + corners[..., 2:]) / 2
        distance = (self.points[:, None, :] - centre).abs().amax(dim=-1)
        inside = (nearest > 0) & (distance < CENTRE_RADIUS * self.strides[:, None])
        return inside & (farthest > self.reach[:, :1]) & (farthest <= self.reach[:, 1:])


def fcos_losses(
    output: FcosOutput, boxes: Float[Tensor, "b l 4"], targets: FcosTargets, labels: Int[Tensor, "b m"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the losses of FCOS, each as a sum over all locations.

    Args:
        output: Predictions in single precision.
        boxes: Predicted boxes.
        targets: Training targets.
        labels: Index of each object's category; -1 if it is unknown.

    Returns:
        The focal loss and the loss of the centerness, both to be divided by the number of assigned locations, and the
        GIoU loss, weighted by the target centerness and to be divided by its sum.
    """
    positive = targets.object >= 0
    wanted = torch.zeros_like(output.logits)
    if output.logits.shape[-1] == 1:
        wanted[positive] = 1
    else:
        label = labels.gather(1, targets.object.clamp_min(0))
        labelled = positive & (label >= 0)
        wanted[labelled] = one_hot(label[labelled], output.logits.shape[-1]).to(wanted)
    cross_entropy = binary_cross_entropy_with_logits(output.logits, wanted, reduction="none")
    modulation = (output.logits.sigmoid() - wanted).abs() ** GAMMA
    focal = (cross_entropy * modulation * torch.where(wanted > 0, ALPHA, 1 - ALPHA)).sum()
    centerness = binary_cross_entropy_with_logits(
        output.centerness[positive], targets.centerness[positive], reduction="sum"
    )
    giou = 1 - generalised_iou(boxes[positive], targets.box[positive])
    return focal, centerness, (giou * targets.centerness[positive]).sum()


def _tower(width: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.ReLU()]
    return nn.Sequential(*layers)


def _cell_centres(size: int, stride: int) -> Float[Tensor, "l 2"]:
    """Return the centres (x, y) of the cells of a level, row by row."""
    at = (torch.arange(size // stride) + 0.5) * stride
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1).flatten(0, 1)

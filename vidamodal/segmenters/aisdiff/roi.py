"""Regions of interest: RoIAlign (Mask R-CNN, section 3, aligned to half pixels), and masks put back where they belong.

Boxes are (left, top, right, bottom) in pixels of the image; pixel i covers [i, i + 1).
"""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample


def roi_align(
    features: Float[Tensor, "b c h w"],
    boxes: Float[Tensor, "n 4"],
    image: Int[Tensor, " n"],
    bins: int,
    stride: int = 1,
    sampling: int = 2,
) -> Float[Tensor, "n c bins bins"]:
    """The features of each box in so many bins a side: the mean over ``sampling`` x ``sampling`` points of a bin.

    Points are interpolated linearly between the centres of cells; up to a cell beyond the map they take its border,
    further out they are 0. ``image`` says which of the b images a box lies in, ``stride`` how many pixels a cell
    covers. Differentiable, in features and boxes.
    """
    at = (torch.arange(bins * sampling, device=features.device, dtype=boxes.dtype) + 0.5) / (bins * sampling)
    left, top, right, bottom = (boxes / stride).unbind(dim=1)
    xs = left[:, None] + at * (right - left)[:, None] - 0.5
    ys = top[:, None] + at * (bottom - top)[:, None] - 0.5
    rows, columns = _between(ys, features.shape[2]), _between(xs, features.shape[3])
    cells = rearrange(features, "b c h w -> b h w c")
    sampled = features.new_zeros(())
    for y, weight_y in rows:
        for x, weight_x in columns:
            weight = weight_y[:, :, None] * weight_x[:, None, :]
            sampled = sampled + weight[..., None] * cells[image[:, None, None], y[:, :, None], x[:, None, :]]
    return reduce(sampled, "n (p sy) (q sx) c -> n c p q", "mean", sy=sampling, sx=sampling)


def _between(at: Float[Tensor, "n p"], size: int) -> list[tuple[Int[Tensor, "n p"], Float[Tensor, "n p"]]]:
    """The two cells that each place lies between, and the weights of their values; 0 far outside."""
    near = ((at >= -1) & (at <= size)).to(at.dtype)
    at = at.clamp(0, size - 1)
    low = at.detach().floor().clamp(max=max(size - 2, 0))
    share = at - low
    cell = low.long()
    return [(cell, (1 - share) * near), ((cell + 1).clamp_max(size - 1), share * near)]


def paste_masks(masks: Float[Tensor, "n m m"], boxes: Float[Tensor, "n 4"], size: int) -> Float[Tensor, "n size size"]:
    """Masks over their boxes, on a canvas: linear between the centres of their cells, 0 outside the boxes."""
    at = torch.arange(size, device=masks.device, dtype=masks.dtype) + 0.5
    left, top, right, bottom = boxes.to(masks.dtype).unbind(dim=1)
    x = (at - left[:, None]) / (right - left).clamp_min(1e-6)[:, None]
    y = (at - top[:, None]) / (bottom - top).clamp_min(1e-6)[:, None]
    within = _unit(y)[:, :, None] & _unit(x)[:, None, :]
    grid = torch.stack(
        [(2 * x - 1)[:, None, :].expand(-1, size, -1), (2 * y - 1)[:, :, None].expand(-1, -1, size)], dim=-1
    )
    drawn = grid_sample(masks[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return drawn[:, 0] * within


def _unit(share: Float[Tensor, "n p"]) -> Bool[Tensor, "n p"]:
    return (share >= 0) & (share < 1)


def enlarged(boxes: Float[Tensor, "n 4"], scale: float) -> Float[Tensor, "n 4"]:
    """Boxes about the same centres, with sides so many times as long."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, scale * (boxes[:, 2:] - boxes[:, :2]) / 2
    return torch.cat([middle - half, middle + half], dim=1)


def box_overlaps(one: Float[Tensor, "n 4"], other: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """The IoU of every box of the one with every box of the other."""
    low, high = torch.maximum(one[:, None, :2], other[:, :2]), torch.minimum(one[:, None, 2:], other[:, 2:])
    shared = (high - low).clamp_min(0).prod(dim=-1)
    return shared / (_area(one)[:, None] + _area(other) - shared).clamp_min(1e-6)


def mask_overlaps(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n n"]:
    """The IoU of every mask with every other one; 0 where both are empty."""
    flat = rearrange(masks, "n h w -> n (h w)").float()
    shared, area = flat @ flat.T, flat.sum(dim=1)
    return shared / (area[:, None] + area - shared).clamp_min(1)


def generalised_iou(one: Float[Tensor, "n 4"], other: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """GIoU of pairs of boxes: their IoU, less the share that neither has of the smallest box round both."""
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    shared = (high - low).clamp_min(0).prod(dim=-1)
    union = (_area(one) + _area(other) - shared).clamp_min(1e-6)
    around = (torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])).prod(dim=-1)
    return shared / union - (around - union) / around.clamp_min(1e-6)


def suppress(overlaps: Float[Tensor, "n n"], scores: Float[Tensor, " n"], most: float) -> Int[Tensor, " k"]:
    """Non-maximum suppression: those that remain, best first, after each has removed the worse ones that overlap it by
    more than that. Of equal scores the first one counts as better."""
    order = torch.argsort(scores, descending=True, stable=True)
    clash = overlaps[order][:, order] > most
    kept = torch.ones(len(order), dtype=torch.bool, device=scores.device)
    for k in range(len(order)):
        if kept[k]:
            kept[k + 1 :] &= ~clash[k, k + 1 :]
    return order[kept]


def _area(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=-1)

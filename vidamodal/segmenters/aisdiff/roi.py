"""Regions of interest: RoIAlign (Mask R-CNN, section 3, aligned to half pixels), pasting, overlaps and suppression.

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
    """Return the features inside each box, averaged over bins; differentiable in features and boxes.

    A bin is the mean of points that are interpolated linearly between the centres of cells. Up to one cell outside the
    map, points take the value of its border; farther outside they are 0.

    Args:
        features: Maps of b images.
        boxes: Boxes in pixels.
        image: Index of each box's image.
        bins: Bins per side.
        stride: Pixels per side of a cell of the map.
        sampling: Points per side of a bin.
    """
    at = (torch.arange(bins * sampling, device=features.device, dtype=boxes.dtype) + 0.5) / (bins * sampling)
    left, top, right, bottom = (boxes / stride).unbind(dim=1)
    xs = left[:, None] + at * (right - left)[:, None] - 0.5
    ys = top[:, None] + at * (bottom - top)[:, None] - 0.5
    rows, columns = _neighbours(ys, features.shape[2]), _neighbours(xs, features.shape[3])
    cells = rearrange(features, "b c h w -> b h w c")
    sampled = features.new_zeros(())
    for y, weight_y in rows:
        for x, weight_x in columns:
            weight = weight_y[:, :, None] * weight_x[:, None, :]
            sampled = sampled + weight[..., None] * cells[image[:, None, None], y[:, :, None], x[:, None, :]]
    return reduce(sampled, "n (p sy) (q sx) c -> n c p q", "mean", sy=sampling, sx=sampling)


def _neighbours(at: Float[Tensor, "n p"], size: int) -> list[tuple[Int[Tensor, "n p"], Float[Tensor, "n p"]]]:
    """Return the two cells next to each position with their weights, which are 0 far outside the map."""
    near = ((at >= -1) & (at <= size)).to(at.dtype)
    at = at.clamp(0, size - 1)
    low = at.detach().floor().clamp(max=max(size - 2, 0))
    share = at - low
    cell = low.long()
    return [(cell, (1 - share) * near), ((cell + 1).clamp_max(size - 1), share * near)]


def paste_masks(masks: Float[Tensor, "n m m"], boxes: Float[Tensor, "n 4"], size: int) -> Float[Tensor, "n size size"]:
    """Paste masks into their boxes on a canvas of ``size`` x ``size`` pixels.

    Values are interpolated linearly between the centres of the masks' cells, and are 0 outside the boxes.
    """
    at = torch.arange(size, device=masks.device, dtype=masks.dtype) + 0.5
    left, top, right, bottom = boxes.to(masks.dtype).unbind(dim=1)
    x = (at - left[:, None]) / (right - left).clamp_min(1e-6)[:, None]
    y = (at - top[:, None]) / (bottom - top).clamp_min(1e-6)[:, None]
    within = _in_unit_interval(y)[:, :, None] & _in_unit_interval(x)[:, None, :]
    grid = torch.stack(
        [(2 * x - 1)[:, None, :].expand(-1, size, -1), (2 * y - 1)[:, :, None].expand(-1, -1, size)], dim=-1
    )
    pasted = grid_sample(masks[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return pasted[:, 0] * within


def _in_unit_interval(values: Float[Tensor, "n p"]) -> Bool[Tensor, "n p"]:
    return (values >= 0) & (values < 1)


def enlarge_boxes(boxes: Float[Tensor, "n 4"], scale: float) -> Float[Tensor, "n 4"]:
    """Scale the sides of boxes around their centres."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, scale * (boxes[:, 2:] - boxes[:, :2]) / 2
    return torch.cat([middle - half, middle + half], dim=1)


def box_overlaps(one: Float[Tensor, "n 4"], other: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Return the IoU of all pairs of boxes."""
    low, high = torch.maximum(one[:, None, :2], other[:, :2]), torch.minimum(one[:, None, 2:], other[:, 2:])
    shared = (high - low).clamp_min(0).prod(dim=-1)
    return shared / (_area(one)[:, None] + _area(other) - shared).clamp_min(1e-6)


def mask_overlaps(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n n"]:
    """Return the IoU of all pairs of masks; 0 if both are empty."""
    flat = rearrange(masks, "n h w -> n (h w)").float()
    shared, area = flat @ flat.T, flat.sum(dim=1)
    return shared / (area[:, None] + area - shared).clamp_min(1)


def generalised_iou(one: Float[Tensor, "n 4"], other: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """Return the GIoU of corresponding boxes: their IoU minus the share of their hull outside both."""
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    shared = (high - low).clamp_min(0).prod(dim=-1)
    union = (_area(one) + _area(other) - shared).clamp_min(1e-6)
    hull = (torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])).prod(dim=-1)
    return shared / union - (hull - union) / hull.clamp_min(1e-6)


def suppress(overlaps: Float[Tensor, "n n"], scores: Float[Tensor, " n"], threshold: float) -> Int[Tensor, " k"]:
    """Return the indices that remain after non-maximum suppression, by decreasing score.

    Args:
        overlaps: IoU of all pairs.
        scores: Scores; of equal ones the first counts as higher.
        threshold: IoU above which the candidate with the lower score is removed.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    clash = overlaps[order][:, order] > threshold
    kept = torch.ones(len(order), dtype=torch.bool, device=scores.device)
    for k in range(len(order)):
        if kept[k]:
            kept[k + 1 :] &= ~clash[k, k + 1 :]
    return order[kept]


def _area(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=-1)

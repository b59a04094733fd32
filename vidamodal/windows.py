"""Windows that follow their objects through a clip, from visible boxes and areas or from a first completion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

from vidamodal.geometry import Windows
from vidamodal.types import InputError

SCENE_TRACKS = 6
"""Fewest tracks from which the motion of the whole scene is inferred."""
SCENE_ROUNDS, SCENE_RIDGE, SCENE_SMOOTHNESS = 15, 0.1, 1.0
SCENE_TRUST = 0.3
"""Distance, as a share of the object's size, between the scene's path and the object that halves the path's weight."""
LEAST_SHARE = 0.05
"""Lower bound of the visible share by which a frame is weighted."""


@dataclass(frozen=True)
class WindowConfig:
    """How windows follow their objects."""

    mode: Literal["track", "boxes"] = "track"
    """track: one stabilised square per track. boxes: the enlarged visible box of each frame, as in C2F-Seg."""
    scale: float = 2.0
    """Side of the window over the side of the object's visible box."""
    quantile: float = 0.9
    """Quantile of the visible box's side within ``horizon`` frames that is taken for the object's size."""
    horizon: int = 24
    """Frames before and after a frame that contribute to its window's size."""
    floor: float = 0.85
    """Smallest size of an object, over the median size of the clip's objects ..."""
    growth: float = 2.5
    """... unless that is more than this many times the visible size."""
    smoothness: float = 3.0
    """Penalty on the squared acceleration of the centre, relative to the squared distance in a fully visible frame."""
    drift: float = 0.1
    """Penalty on the squared velocity of the centre; it slows the windows of objects that are not visible."""
    passes: int = 2
    """How often a clip is completed: first in these windows, then in windows that `follow_scene` lays around the
    completion before."""


@dataclass(frozen=True)
class View:
    """Model inputs: the windows, the cells along each side, and whether pixels, order and depth are read as well."""

    windows: WindowConfig
    cells: int
    pixels: bool = False
    order: bool = False
    depth: bool = False


def lay_windows(
    boxes: Float[np.ndarray, "n t 4"], areas: Float[np.ndarray, "n t"], height: int, width: int, config: WindowConfig
) -> Windows:
    """Return the windows of all tracks by ``config.mode``.

    Args:
        boxes: Visible boxes (top, left, bottom, right) in pixels; nan where nothing is visible.
        areas: Visible areas in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        config: How windows follow their objects.

    Raises:
        InputError: If the mode is unknown.
    """
    if config.mode == "track":
        return track_windows(boxes, areas, config)
    if config.mode == "boxes":
        return box_windows(boxes, height, width, config.scale)
    raise InputError(f"windows.mode is {config.mode!r}. Choose track or boxes.")


def box_windows(boxes: Float[np.ndarray, "n t 4"], height: int, width: int, scale: float) -> Windows:
    """Return the crops of C2F-Seg: in each frame the visible box, enlarged about its centre and cut to the image.

    As in the released code, all windows of a track have the size of its highest and its widest crop, the crop lies at
    the top left of its window, and the window shows nothing beyond the crop. Where nothing is visible, the released
    code reads the true amodal box; this function interpolates between the frames in which the object is visible.

    Args:
        boxes: Visible boxes (top, left, bottom, right) in pixels; nan where nothing is visible.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        scale: Side of the crop over the side of the visible box.
    """
    center, side = np.full((2, *boxes.shape[:2], 2), np.nan)
    shown = np.zeros(boxes.shape, np.int64)
    frames = np.arange(boxes.shape[1])
    for k in np.flatnonzero(np.isfinite(boxes[..., 0]).any(axis=1)):
        seen = np.isfinite(boxes[k, :, 0])
        box = np.stack([np.interp(frames, frames[seen], boxes[k, seen, edge]) for edge in range(4)], axis=1)
        middle, reach = (box[:, :2] + box[:, 2:]) / 2, scale * (box[:, 2:] - box[:, :2]) / 2
        low = np.clip(np.floor(middle - reach), 0, (height, width))
        high = np.clip(np.ceil(middle + reach), low + 1, (height, width))
        size = (high - low).max(axis=0)
        center[k] = (low + size / 2)[:, ::-1]
        side[k] = size[::-1]
        shown[k] = np.concatenate([low, high], axis=1)
    return Windows(center, side, shown)


def track_windows(boxes: Float[np.ndarray, "n t 4"], areas: Float[np.ndarray, "n t"], config: WindowConfig) -> Windows:
    """Return stabilised square windows; those of tracks that are never visible are nan.

    The path of a centre minimises its squared distance to the centres of the visible boxes, weighted by the visible
    share, plus its squared velocity and acceleration: one banded system per track. `scripts/dev/bench.py` prints the
    share of the occluded regions that these windows hold.

    Args:
        boxes: Visible boxes (top, left, bottom, right) in pixels; nan where nothing is visible.
        areas: Visible areas in pixels.
        config: How windows follow their objects.
    """
    center = (boxes[..., [1, 0]] + boxes[..., [3, 2]]) / 2
    extent = np.maximum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
    out = Windows(np.full(center.shape, np.nan), np.full(center.shape, np.nan))
    seen = np.isfinite(extent)
    tracks = np.flatnonzero(seen.any(axis=1))
    for k in tracks:
        share = areas[k] / np.quantile(areas[k][seen[k]], config.quantile)
        out.center[k] = _smooth_path(center[k], np.where(seen[k], np.clip(share, LEAST_SHARE, 1.0) ** 2, 0.0), config)
        out.side[k] = config.scale * _smooth_size(extent[k], config)[:, None]
    if len(tracks):
        usual = config.floor * np.median(out.side[tracks], axis=0)
        out.side[tracks] = np.maximum(out.side[tracks], np.minimum(usual, config.growth * out.side[tracks]))
    return out


def follow_scene(
    windows: Windows, boxes: Float[np.ndarray, "n t 4"], shares: Float[np.ndarray, "n t"], config: WindowConfig
) -> Windows:
    """Return windows of the same sides whose centres follow a first completion and the motion of the whole scene.

    A centre follows the path that the scene suggests for its object, as far as that path agrees with the frames in
    which the object is visible, and otherwise the object itself, as in `track_windows`.

    Args:
        windows: Windows of the first completion.
        boxes: Boxes (top, left, bottom, right) in pixels of the completed masks; ignored where ``shares`` is 0.
        shares: Visible share of each completed mask, in [0, 1].
        config: How windows follow their objects.
    """
    weight = np.where(shares > 0, np.clip(shares, LEAST_SHARE, 1.0), 0.0)
    boxes = np.where(weight[..., None] > 0, boxes, 0.0)
    center = (boxes[..., [1, 0]] + boxes[..., [3, 2]]) / 2
    out = Windows(np.full(center.shape, np.nan), windows.side)
    tracks = np.flatnonzero(weight.any(axis=1))
    for k in tracks:
        out.center[k] = _smooth_path(center[k], weight[k], config)
    if len(tracks) >= SCENE_TRACKS:
        paths = _scene_paths(center[tracks], weight[tracks], out.center[tracks])
        for k, path in zip(tracks, paths, strict=True):
            error = np.sum((path - center[k]) ** 2, axis=1) / (windows.side[k].max(axis=1) / config.scale) ** 2
            trust = 1 / (1 + np.average(error, weights=weight[k]) / SCENE_TRUST**2)
            base = trust * path + (1 - trust) * out.center[k]
            out.center[k] = base + _smooth_path(center[k] - base, weight[k], config)
    return out


def _scene_paths(
    center: Float[np.ndarray, "n t 2"], weight: Float[np.ndarray, "n t"], start: Float[np.ndarray, "n t 2"]
) -> Float[np.ndarray, "n t 2"]:
    """Return the path of each object if the scene moved as one rigid body.

    The image paths of rigidly moving points under an affine camera form a matrix of rank 4 (Tomasi and Kanade, 1992):
    three coordinates and a constant for each point, times a 4 x 2 camera for each frame. It is fitted to the visible
    frames by alternating weighted least squares with a small ridge; each camera is pulled towards its neighbours.
    ``start`` holds complete paths, of which only the shape matters.
    """
    middle = np.average(center[weight > 0], axis=0, weights=weight[weight > 0])
    size = np.sqrt(np.mean((start - start.mean(axis=0)) ** 2)) + 1e-9
    seen = np.where(weight[..., None] > 0, (center - middle) / size, 0.0)
    spread = (start - start.mean(axis=0)).reshape(len(start), -1) / size
    left = np.linalg.svd(spread, full_matrices=False)[0][:, :3] * np.sqrt(len(start))
    points = np.pad(left, ((0, 0), (0, 3 - left.shape[1])))  # a single frame has only two directions
    cameras = np.zeros((weight.shape[1], 4, 2))
    for step in range(SCENE_ROUNDS):
        cameras = _fit_cameras(points, cameras, weight, seen, smooth=step > 0)
        points = _fit_points(cameras, weight, seen)
    return np.asarray(np.einsum("ni,tic->ntc", _homogeneous(points), cameras) * size + middle)


def _fit_cameras(
    points: Float[np.ndarray, "n 3"],
    cameras: Float[np.ndarray, "t 4 2"],
    weight: Float[np.ndarray, "n t"],
    seen: Float[np.ndarray, "n t 2"],
    smooth: bool,
) -> Float[np.ndarray, "t 4 2"]:
    """Fit the camera of each frame to the points; ``smooth`` pulls it towards the previous ones of its neighbours."""
    lifted = _homogeneous(points)
    gram = np.einsum("nt,ni,nj->tij", weight, lifted, lifted)
    pull = SCENE_SMOOTHNESS * gram.mean(axis=0) * smooth
    padded = np.concatenate([cameras[:1], cameras, cameras[-1:]])
    return np.linalg.solve(
        gram + pull + SCENE_RIDGE * np.diag([1, 1, 1, 1e-3]),
        np.einsum("nt,ni,ntc->tic", weight, lifted, seen) + pull @ (padded[:-2] + padded[2:]) / 2,
    )


def _fit_points(
    cameras: Float[np.ndarray, "t 4 2"], weight: Float[np.ndarray, "n t"], seen: Float[np.ndarray, "n t 2"]
) -> Float[np.ndarray, "n 3"]:
    """Fit the points to the cameras."""
    turn, shift = cameras[:, :3], cameras[:, 3]
    normal = np.einsum("nt,tic,tjc->nij", weight, turn, turn) + SCENE_RIDGE * np.eye(3)
    right = np.einsum("nt,tic,ntc->ni", weight, turn, seen - shift)
    return np.linalg.solve(normal, right[..., None])[..., 0]


def _homogeneous(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def _smooth_size(extent: Float[np.ndarray, " t"], config: WindowConfig) -> Float[np.ndarray, " t"]:
    """Return a slowly changing size: a high quantile of the visible extents around each frame, interpolated."""
    frames = len(extent)
    if frames <= config.horizon:
        return np.full(frames, np.nanquantile(extent, config.quantile))
    knots = np.arange(0, frames + config.horizon, config.horizon)
    values = np.full(len(knots), np.nan)
    for i, knot in enumerate(knots):
        near = extent[max(knot - config.horizon, 0) : knot + config.horizon + 1]
        if np.isfinite(near).any():
            values[i] = np.nanquantile(near, config.quantile)
    known = np.isfinite(values)
    return np.asarray(np.exp(np.interp(np.arange(frames), knots[known], np.log(values[known]))))


def _smooth_path(
    center: Float[np.ndarray, "t 2"], weight: Float[np.ndarray, " t"], config: WindowConfig
) -> Float[np.ndarray, "t 2"]:
    """Return the path p that minimises w |p - c|^2 + drift |Dp|^2 + smoothness |DDp|^2, with the differences D."""
    frames = len(center)
    seen = weight[:, None] > 0
    band = np.zeros((3, frames))  # upper band of the normal equations
    band[2] = weight + 1e-9
    d, s = config.drift, config.smoothness
    if frames > 1:
        band[2, :-1] += d
        band[2, 1:] += d
        band[1, 1:] -= d
    if frames > 2:
        band[2, :-2] += s
        band[2, 1:-1] += 4 * s
        band[2, 2:] += s
        band[1, 1:-1] -= 2 * s
        band[1, 2:] -= 2 * s
        band[0, 2:] += s
    return np.asarray(solveh_banded(band[-min(3, frames) :], weight[:, None] * np.where(seen, center, 0.0)))

"""Track windows: the square an object is looked at in, cutting masks to it and pasting predictions back.

Image coordinates are in pixels, x to the right, y down; pixel i covers [i, i + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded


@dataclass(frozen=True)
class WindowConfig:
    """How track windows follow their objects. Chosen by `make bench`'s crop ceiling on generated worlds."""

    scale: float = 2.0
    """Side of the window over the side of the object's visible box."""
    quantile: float = 0.9
    """The visible box's side is this quantile over ``horizon`` frames either way: occlusion only makes it smaller."""
    horizon: int = 24
    slack: float = 0.02
    """Weight of a frame that shows nothing: a small pull towards the scene's motion."""
    smoothness: float = 30.0
    """Price of a change of the object's own velocity, against a fully visible frame's distance."""
    drift: float = 1.0
    """Price of the object's own velocity: between sightings it follows the scene."""


@dataclass(frozen=True)
class Windows:
    """Square windows of n tracks over t frames: centre (x, y) and side, in pixels."""

    center: Float[np.ndarray, "n t 2"]
    side: Float[np.ndarray, "n t"]


def track_windows(
    boxes: Float[np.ndarray, "n t 4"], areas: Float[np.ndarray, "n t"], config: WindowConfig
) -> Windows:
    """Stabilised windows from visible boxes (top, left, bottom, right; nan where nothing is seen) and visible areas.

    A centre minimises its squared distance to the visible boxes' centres, weighted by how much is seen, plus the
    squared velocity and acceleration of the object relative to the scene (one banded solve a track). The scene's
    motion at a place is an affine map a frame, fitted to all objects, so that an object behind others moves on with
    the camera. Only boxes are needed, so a first pass over a long video keeps little. Tracks never seen get nan.
    """
    count, frames = areas.shape
    center = (boxes[..., [1, 0]] + boxes[..., [3, 2]]) / 2
    extent = np.maximum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
    seen = np.isfinite(extent)
    motion = _scene_motion(center, np.where(seen, areas, 0.0))
    out = Windows(np.full((count, frames, 2), np.nan), np.full((count, frames), np.nan))
    for k in np.flatnonzero(seen.any(axis=1)):
        side = _side(extent[k], config)
        weight = np.where(seen[k], np.clip(areas[k] / np.quantile(areas[k][seen[k]], config.quantile), 0.05, 1.0), 0.0)
        out.center[k] = _follow(center[k], weight**2, motion, config)
        out.side[k] = config.scale * side
    return out


def _side(extent: Float[np.ndarray, "t"], config: WindowConfig) -> Float[np.ndarray, "t"]:
    """A slowly changing size: a high quantile of the seen extents around each frame, filled and smoothed."""
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
    return np.exp(np.interp(np.arange(frames), knots[known], np.log(values[known])))


def _scene_motion(
    center: Float[np.ndarray, "n t 2"], areas: Float[np.ndarray, "n t"]
) -> Float[np.ndarray, "t-1 3 2"]:
    """Affine maps (1, x, y) -> displacement to the next frame, by ridge regression over the objects seen in both.

    The ridge holds down the linear part, so that few objects give a common shift and none gives no motion.
    """
    count, frames = areas.shape
    maps = np.zeros((max(frames - 1, 0), 3, 2))
    root = np.sqrt(areas)
    for t in range(frames - 1):
        weight = np.minimum(root[:, t], root[:, t + 1])
        # A part that comes out from behind an occluder moves the centre too: trust objects whose area is steady.
        weight = weight * (np.minimum(areas[:, t], areas[:, t + 1]) / np.maximum(areas[:, t : t + 2].max(axis=1), 1)) ** 4
        use = weight > 0
        if not use.any():
            continue
        a = np.concatenate([np.ones((use.sum(), 1)), center[use, t]], axis=1)
        w = weight[use, None] / weight[use].sum()
        mean = (w * center[use, t]).sum(axis=0)
        a[:, 1:] -= mean
        spread = (w * a[:, 1:] ** 2).sum()
        normal = a.T @ (w * a) + np.diag([1e-9, *[0.1 * spread + 1e-6] * 2])
        maps[t] = np.linalg.solve(normal, a.T @ (w * (center[use, t + 1] - center[use, t])))
        maps[t, 0] -= mean @ maps[t, 1:]
    return maps


def _follow(
    center: Float[np.ndarray, "t 2"],
    weight: Float[np.ndarray, "t"],
    motion: Float[np.ndarray, "t-1 3 2"],
    config: WindowConfig,
) -> Float[np.ndarray, "t 2"]:
    """The smooth path along the scene's motion that stays near the seen centres."""
    frames = len(center)
    seen = np.flatnonzero(weight)
    if frames == 1:
        return center.copy()
    # The path of a point carried by the scene through the seen centres: where to evaluate its motion.
    guess = np.stack([np.interp(np.arange(frames), seen, center[seen, axis]) for axis in (0, 1)], axis=1)
    step = np.einsum("ti,tij->tj", np.concatenate([np.ones((frames - 1, 1)), guess[:-1]], axis=1), motion)
    carried = np.concatenate([np.zeros((1, 2)), np.cumsum(step, axis=0)])
    residual = np.where(weight[:, None] > 0, center - carried, 0.0)

    # Normal equations of sum w |e - r|^2 + drift |De|^2 + smoothness |DDe|^2, upper band form.
    band = np.zeros((3, frames))
    band[2] = weight + 1e-9
    d = config.drift
    band[2, :-1] += d
    band[2, 1:] += d
    band[1, 1:] -= d
    if frames > 2:
        s = config.smoothness
        band[2, :-2] += s
        band[2, 1:-1] += 4 * s
        band[2, 2:] += s
        band[1, 1:-1] -= 2 * s
        band[1, 2:] -= 2 * s
        band[0, 2:] += s
    return carried + solveh_banded(band[-min(3, frames) :], weight[:, None] * residual)


def crop_matrix(center: float, side: float, cells: int, pixels: int) -> Float[np.ndarray, "cells pixels"]:
    """Weights that resample a line of pixels to the cells of a window, antialiased (tent filter), zero outside.

    Rows sum to 1 inside the image and to less at its border, so the weights of an image of ones tell what is inside.
    """
    pitch = side / cells
    at = center - side / 2 + (np.arange(cells) + 0.5) * pitch
    reach = max(pitch, 1.0)
    # The tent is sampled at the pixels' centres over the whole line, beyond the image too, to normalise it.
    first = np.floor(at - reach).astype(int)
    index = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    weight = np.maximum(1 - np.abs(index + 0.5 - at[:, None]) / reach, 0)
    weight /= weight.sum(axis=1, keepdims=True)
    matrix = np.zeros((cells, pixels), dtype=np.float32)
    inside = (index >= 0) & (index < pixels)
    rows = np.broadcast_to(np.arange(cells)[:, None], index.shape)
    matrix[rows[inside], index[inside]] = weight[inside]
    return matrix


def paste_matrix(center: float, side: float, cells: int, pixels: int) -> tuple[slice, Float[np.ndarray, "p cells"]]:
    """Linear interpolation of a window's cells at the pixels it covers: the pixels as a slice, and their weights."""
    start = center - side / 2
    first = int(np.clip(np.ceil(start - 0.5), 0, pixels))
    last = int(np.clip(np.floor(start + side - 0.5) + 1, first, pixels))
    at = np.clip((np.arange(first, last) + 0.5 - start) / side * cells - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(int), cells - 2)
    matrix = np.zeros((last - first, cells), dtype=np.float32)
    rows = np.arange(last - first)
    matrix[rows, low] = 1 - (at - low)
    matrix[rows, low + 1] = at - low
    return slice(first, last), matrix


@dataclass(frozen=True)
class Cropper:
    """One window of one frame: cuts (h, w) images to (cells, cells), and knows which cells lie inside the image."""

    rows: Float[np.ndarray, "cells h"]
    columns: Float[np.ndarray, "cells w"]

    @staticmethod
    def at(center: Float[np.ndarray, "2"], side: float, cells: int, height: int, width: int) -> Cropper:
        return Cropper(
            crop_matrix(float(center[1]), side, cells, height), crop_matrix(float(center[0]), side, cells, width)
        )

    @property
    def inside(self) -> Float[np.ndarray, "cells cells"]:
        return np.outer(self.rows.sum(axis=1), self.columns.sum(axis=1))

    def cut(self, image: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "cells cells"]:
        """The image's share of each cell, in [0, 1]."""
        top, bottom = _support(self.rows)
        left, right = _support(self.columns)
        if top == bottom or left == right:
            return np.zeros((len(self.rows), len(self.columns)), dtype=np.float32)
        part = image[top:bottom, left:right].astype(np.float32)
        return self.rows[:, top:bottom] @ part @ self.columns[:, left:right].T


def _support(matrix: Float[np.ndarray, "cells pixels"]) -> tuple[int, int]:
    used = np.flatnonzero(matrix.any(axis=0))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)


def paste(
    values: Float[np.ndarray, "cells cells"], center: Float[np.ndarray, "2"], side: float, height: int, width: int
) -> tuple[slice, slice, Float[np.ndarray, "p q"]]:
    """A window's values at the image's pixels: row slice, column slice and the interpolated values there."""
    rows, across = paste_matrix(float(center[1]), side, len(values), height)
    columns, along = paste_matrix(float(center[0]), side, len(values), width)
    return rows, columns, across @ values @ along.T

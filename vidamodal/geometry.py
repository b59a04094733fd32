"""Track windows: the square an object is looked at in, cutting masks to it and pasting predictions back.

Image coordinates are in pixels, x to the right, y down; pixel i covers [i, i + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int, Shaped, UInt8, UInt16
from scipy.linalg import solveh_banded

from vidamodal.types import InputError


@dataclass(frozen=True)
class WindowConfig:
    """How windows follow their objects."""

    mode: str = "track"
    """track: one stabilised square a track; boxes: per frame the visible box, `scale` times as large (C2F-Seg)."""
    scale: float = 2.0
    """Side of the window over the side of the object's visible box."""
    quantile: float = 0.9
    """The visible box's side is this quantile over ``horizon`` frames either way: occlusion only makes it smaller."""
    horizon: int = 24
    floor: float = 0.85
    """An object seen only in slivers is taken to be this large, over the median of the clip's objects ..."""
    growth: float = 2.5
    """... but at most this much larger than what is seen of it."""
    smoothness: float = 3.0
    """Price of a squared acceleration of the centre, against a fully visible frame's squared distance."""
    drift: float = 0.1
    """Price of a squared velocity: unseen objects slow down."""
    passes: int = 2
    """2: clips are completed twice, the second time in windows that `follow_scene`; 1: in `track_windows` alone."""


@dataclass(frozen=True)
class View:
    """How a model looks at clips: in which windows, of how many cells a side, and whether beyond masks."""

    windows: WindowConfig
    cells: int
    pixels: bool = False
    order: bool = False


SCENE_TRACKS = 6
"""Fewer tracks than this say too little of how the scene moves."""
SCENE_ROUNDS, SCENE_RIDGE, SCENE_SMOOTHNESS = 15, 0.1, 1.0
SCENE_TRUST = 0.3
"""A path that misses its object by this share of its size counts for half."""
LEAST_SHARE = 0.05
"""A sliver counts as if this share of the object were seen."""


@dataclass(frozen=True)
class Window:
    """What one object is looked at in, in one frame: centre (x, y) and sides (x, y) in pixels.

    ``shown`` (top, left, bottom, right) bounds what the window shows of the image, in whole pixels; None is all.
    """

    center: tuple[float, float]
    side: tuple[float, float]
    shown: tuple[int, int, int, int] | None = None

    @staticmethod
    def around(height: int, width: int) -> Window:
        """The smallest square that holds a whole frame, the frame in its middle."""
        side = float(max(height, width))
        return Window((width / 2, height / 2), (side, side))

    @property
    def area(self) -> float:
        """In pixels."""
        return self.side[0] * self.side[1]


@dataclass(frozen=True)
class Windows:
    """Windows of n tracks over t frames; see `Window`. Tracks never seen have nan."""

    center: Float[np.ndarray, "n t 2"]
    side: Float[np.ndarray, "n t 2"]
    shown: Int[np.ndarray, "n t 4"] | None = None

    def at(self, track: int, frame: int) -> Window:
        """One of them."""
        x, y = self.center[track, frame].tolist()
        wide, high = self.side[track, frame].tolist()
        if self.shown is None:
            return Window((x, y), (wide, high))
        top, left, bottom, right = self.shown[track, frame].tolist()
        return Window((x, y), (wide, high), (top, left, bottom, right))

    @property
    def areas(self) -> Float[np.ndarray, "n t"]:
        """In pixels."""
        return self.side.prod(axis=2)


def lay_windows(
    boxes: Float[np.ndarray, "n t 4"], areas: Float[np.ndarray, "n t"], height: int, width: int, config: WindowConfig
) -> Windows:
    """The windows that ``config.mode`` names, from visible boxes and areas. InputError for a mode there is not."""
    if config.mode == "track":
        return track_windows(boxes, areas, config)
    if config.mode == "boxes":
        return box_windows(boxes, height, width, config.scale)
    raise InputError(f"unknown mode of windows {config.mode!r}: choose track or boxes")


def box_windows(boxes: Float[np.ndarray, "n t 4"], height: int, width: int, scale: float) -> Windows:
    """C2F-Seg's crops: per frame the visible box, ``scale`` times as large about its centre and cut to the image.

    As in the released code all crops of a track have one scale, that of its highest and its widest crop, lie at the
    top left of their windows and show nothing beyond themselves. Where nothing is seen, that code takes the true amodal
    box; here it is the box between those of the neighbouring frames in which the object is seen.
    """
    out = Windows(
        np.full((*boxes.shape[:2], 2), np.nan), np.full((*boxes.shape[:2], 2), np.nan), np.zeros(boxes.shape, np.int64)
    )
    assert out.shown is not None
    frames = np.arange(boxes.shape[1])
    for k in np.flatnonzero(np.isfinite(boxes[..., 0]).any(axis=1)):
        seen = np.isfinite(boxes[k, :, 0])
        box = np.stack([np.interp(frames, frames[seen], boxes[k, seen, edge]) for edge in range(4)], axis=1)
        middle, reach = (box[:, :2] + box[:, 2:]) / 2, scale * (box[:, 2:] - box[:, :2]) / 2
        low = np.clip(np.floor(middle - reach), 0, (height, width))
        high = np.clip(np.ceil(middle + reach), low + 1, (height, width))
        size = (high - low).max(axis=0)
        out.center[k] = (low + size / 2)[:, ::-1]
        out.side[k] = size[::-1]
        out.shown[k] = np.concatenate([low, high], axis=1)
    return out


def track_windows(boxes: Float[np.ndarray, "n t 4"], areas: Float[np.ndarray, "n t"], config: WindowConfig) -> Windows:
    """Stabilised windows from visible boxes (top, left, bottom, right; nan where nothing is seen) and visible areas.

    A centre minimises its squared distance to the visible boxes' centres, weighted by how much is seen, plus its
    squared velocity and acceleration (one banded solve a track). Only boxes are needed, so a first pass over a long
    video keeps little. Tracks never seen get nan. `scripts/bench.py` prints what share of the hidden parts these
    windows hold.
    """
    center = (boxes[..., [1, 0]] + boxes[..., [3, 2]]) / 2
    extent = np.maximum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
    out = Windows(np.full(center.shape, np.nan), np.full(center.shape, np.nan))
    seen = np.isfinite(extent)
    tracks = np.flatnonzero(seen.any(axis=1))
    for k in tracks:
        share = areas[k] / np.quantile(areas[k][seen[k]], config.quantile)
        out.center[k] = _follow(center[k], np.where(seen[k], np.clip(share, LEAST_SHARE, 1.0) ** 2, 0.0), config)
        out.side[k] = config.scale * _side(extent[k], config)[:, None]
    if len(tracks):
        usual = config.floor * np.median(out.side[tracks], axis=0)
        out.side[tracks] = np.maximum(out.side[tracks], np.minimum(usual, config.growth * out.side[tracks]))
    return out


def follow_scene(
    windows: Windows, boxes: Float[np.ndarray, "n t 4"], shares: Float[np.ndarray, "n t"], config: WindowConfig
) -> Windows:
    """Windows of the same sides laid anew, from the boxes of whole objects in the frames that show some of them.

    ``boxes`` hold a first completion (top, left, bottom, right), ``shares`` how much of it is seen: 0 where nothing
    is, and then the box is not looked at. A centre follows the path that the scene as a whole suggests for its object,
    as far as that path explains where the object was seen, and then the object itself, as in `track_windows`.
    """
    weight = np.where(shares > 0, np.clip(shares, LEAST_SHARE, 1.0), 0.0)
    boxes = np.where(weight[..., None] > 0, boxes, 0.0)
    center = (boxes[..., [1, 0]] + boxes[..., [3, 2]]) / 2
    out = Windows(np.full(center.shape, np.nan), windows.side)
    tracks = np.flatnonzero(weight.any(axis=1))
    for k in tracks:
        out.center[k] = _follow(center[k], weight[k], config)
    if len(tracks) >= SCENE_TRACKS:
        paths = _scene_paths(center[tracks], weight[tracks], out.center[tracks])
        for k, path in zip(tracks, paths, strict=True):
            off = np.sum((path - center[k]) ** 2, axis=1) / (windows.side[k].max(axis=1) / config.scale) ** 2
            trust = 1 / (1 + np.average(off, weights=weight[k]) / SCENE_TRUST**2)
            base = trust * path + (1 - trust) * out.center[k]
            out.center[k] = base + _follow(center[k] - base, weight[k], config)
    return out


def _scene_paths(
    center: Float[np.ndarray, "n t 2"], weight: Float[np.ndarray, "n t"], start: Float[np.ndarray, "n t 2"]
) -> Float[np.ndarray, "n t 2"]:
    """Where each object would be in every frame if the scene were rigid.

    The image paths of points that move together, seen by an affine camera, are a matrix of rank 4 (Tomasi and Kanade,
    1992): three coordinates of each point and a shift, times a 4 x 2 camera of each frame. It is fitted to what is
    seen by alternating weighted least squares with a small ridge and cameras pulled towards those of the neighbouring
    frames, so that the others tell where a hidden object went. ``start`` has no gaps; only its shape matters.
    """
    middle = np.average(center[weight > 0], axis=0, weights=weight[weight > 0])
    size = np.sqrt(np.mean((start - start.mean(axis=0)) ** 2)) + 1e-9
    seen = np.where(weight[..., None] > 0, (center - middle) / size, 0.0)
    spread = (start - start.mean(axis=0)).reshape(len(start), -1) / size
    left = np.linalg.svd(spread, full_matrices=False)[0][:, :3] * np.sqrt(len(start))
    points = np.pad(left, ((0, 0), (0, 3 - left.shape[1])))  # a single frame has but two directions
    cameras = np.zeros((weight.shape[1], 4, 2))
    for step in range(SCENE_ROUNDS):
        lifted = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        gram = np.einsum("nt,ni,nj->tij", weight, lifted, lifted)
        pull = SCENE_SMOOTHNESS * gram.mean(axis=0) * (step > 0)
        padded = np.concatenate([cameras[:1], cameras, cameras[-1:]])
        cameras = np.linalg.solve(
            gram + pull + SCENE_RIDGE * np.diag([1, 1, 1, 1e-3]),
            np.einsum("nt,ni,ntc->tic", weight, lifted, seen) + pull @ (padded[:-2] + padded[2:]) / 2,
        )
        turn, shift = cameras[:, :3], cameras[:, 3]
        normal = np.einsum("nt,tic,tjc->nij", weight, turn, turn) + SCENE_RIDGE * np.eye(3)
        right = np.einsum("nt,tic,ntc->ni", weight, turn, seen - shift)
        points = np.linalg.solve(normal, right[..., None])[..., 0]
    lifted = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return np.einsum("ni,tic->ntc", lifted, cameras) * size + middle


def _side(extent: Float[np.ndarray, " t"], config: WindowConfig) -> Float[np.ndarray, " t"]:
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


def _follow(
    center: Float[np.ndarray, "t 2"], weight: Float[np.ndarray, " t"], config: WindowConfig
) -> Float[np.ndarray, "t 2"]:
    """The smooth path near the seen centres: least squares of w |e - c|^2 + drift |De|^2 + smoothness |DDe|^2."""
    frames = len(center)
    seen = weight[:, None] > 0
    band = np.zeros((3, frames))  # the normal equations' upper band
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
    return solveh_banded(band[-min(3, frames) :], weight[:, None] * np.where(seen, center, 0.0))


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
    def at(window: Window, cells: int, height: int, width: int) -> Cropper:
        rows = crop_matrix(window.center[1], window.side[1], cells, height)
        columns = crop_matrix(window.center[0], window.side[0], cells, width)
        if window.shown is not None:
            top, left, bottom, right = window.shown
            rows[:, :top] = rows[:, bottom:] = 0
            columns[:, :left] = columns[:, right:] = 0
        return Cropper(rows, columns)

    @property
    def inside(self) -> Float[np.ndarray, "cells cells"]:
        return np.outer(self.rows.sum(axis=1), self.columns.sum(axis=1))

    def cut(self, image: Shaped[np.ndarray, "h w"]) -> Float[np.ndarray, "cells cells"]:
        """The mean over each cell; of a mask, its share of the cell in [0, 1]."""
        top, bottom = _support(self.rows)
        left, right = _support(self.columns)
        if top == bottom or left == right:
            return np.zeros((len(self.rows), len(self.columns)), dtype=np.float32)
        part = image[top:bottom, left:right].astype(np.float32)
        return self.rows[:, top:bottom] @ part @ self.columns[:, left:right].T

    def cut_image(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 cells cells"]:
        """Colours in [0, 1], zero outside the image."""
        top, bottom = _support(self.rows)
        left, right = _support(self.columns)
        part = rearrange(image[top:bottom, left:right], "h w c -> c h w").astype(np.float32) / 255
        return self.rows[:, top:bottom] @ part @ self.columns[:, left:right].T

    def pick(self, labels: UInt16[np.ndarray, "h w"]) -> UInt16[np.ndarray, "cells cells"]:
        """The label at the centre of each cell, 0 outside the image."""
        picked = labels[np.ix_(self.rows.argmax(axis=1), self.columns.argmax(axis=1))]
        return np.where(self.inside > 0.5, picked, np.uint16(0))


def _support(matrix: Float[np.ndarray, "cells pixels"]) -> tuple[int, int]:
    used = np.flatnonzero(matrix.any(axis=0))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)


def paste(
    values: Float[np.ndarray, "cells cells"], window: Window, height: int, width: int
) -> tuple[slice, slice, Float[np.ndarray, "p q"]]:
    """A window's values at the image's pixels: row slice, column slice and the interpolated values there."""
    rows, across = paste_matrix(window.center[1], window.side[1], len(values), height)
    columns, along = paste_matrix(window.center[0], window.side[0], len(values), width)
    if window.shown is not None:
        top, left, bottom, right = window.shown
        rows, across = _limit(rows, across, top, bottom)
        columns, along = _limit(columns, along, left, right)
    return rows, columns, across @ values @ along.T


def _limit(
    pixels: slice, matrix: Float[np.ndarray, "p cells"], first: int, last: int
) -> tuple[slice, Float[np.ndarray, "q cells"]]:
    start, stop = max(pixels.start, first), min(pixels.stop, last)
    stop = max(start, stop)
    return slice(start, stop), matrix[start - pixels.start : stop - pixels.start]

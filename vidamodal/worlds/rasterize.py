"""Exact masks and depth of a scene from its triangles and camera: a scanline z-buffer in numpy.

A pixel belongs to an object if the ray through its centre hits the object, as in Blender's auxiliary layers with one
sample. Meshes are closed and their faces wound counter-clockwise as seen from outside, so back faces are skipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from vidamodal.worlds.spec import CameraSpec

NEAR = 0.05
"""Distance in metres from the camera's plane at which triangles are cut; what is nearer is not seen."""

ImageSize = int | tuple[int, int]
"""Height and width of an image in pixels, or the side of a square one."""

FLOOR_HALF_WIDTH = 100.0
"""Half the width in metres, along x and y, of the floor at z = 0."""


def height_and_width(size: ImageSize) -> tuple[int, int]:
    """Return the height and the width of an image in pixels."""
    return (size, size) if isinstance(size, int) else size


def focal_pixels(camera: CameraSpec, size: ImageSize) -> float:
    """Return the focal length in pixels: the sensor is as wide as the longer side of the image."""
    return camera.focal_length / camera.sensor_width * max(height_and_width(size))


def camera_axes(camera: CameraSpec, frame: int) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "3 3"]]:
    """Return the position in metres and the axes (right, up, forward) of a camera with world z up."""
    position = np.asarray(camera.positions[frame], dtype=np.float64)
    forward = np.asarray(camera.targets[frame], dtype=np.float64) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return position, np.stack([right, np.cross(right, forward), forward])


def project(
    points: Float[np.ndarray, "v 3"], camera: CameraSpec, frame: int, size: ImageSize
) -> tuple[Float[np.ndarray, "v 2"], Float[np.ndarray, " v"]]:
    """Project points to an image.

    Args:
        points: World coordinates in metres.
        camera: Camera of the scene.
        frame: Frame of the camera's path.
        size: Size of the image.

    Returns:
        Image coordinates in pixels (x to the right, y down), and depth in metres along the optical axis.
    """
    position, axes = camera_axes(camera, frame)
    return _to_image((points - position) @ axes.T, camera, size)


def _to_image(
    local: Float[np.ndarray, "v 3"], camera: CameraSpec, size: ImageSize
) -> tuple[Float[np.ndarray, "v 2"], Float[np.ndarray, " v"]]:
    """Project points in the axes of the camera (right, up, forward)."""
    depth = np.maximum(local[:, 2], 1e-9)
    height, width = height_and_width(size)
    focal = focal_pixels(camera, size)
    return local[:, :2] / depth[:, None] * (focal, -focal) + (width / 2, height / 2), local[:, 2]


def rasterize(
    vertices: Sequence[Float[np.ndarray, "_ 3"]],
    faces: Sequence[Int[np.ndarray, "_ 3"]],
    camera: CameraSpec,
    frame: int,
    size: ImageSize,
) -> Float[np.ndarray, "n h w"]:
    """Return the depth of each object alone at each pixel centre.

    Args:
        vertices: World coordinates of each object in metres.
        faces: Triangles of each object.
        camera: Camera of the scene.
        frame: Frame of the camera's path.
        size: Size of the image.

    Returns:
        Metres along the optical axis as float32; inf outside the object.
    """
    count = len(vertices)
    height, width = height_and_width(size)
    inverse = np.zeros(count * height * width, dtype=np.float32)
    if count:
        starts = np.cumsum([0, *(len(v) for v in vertices[:-1])])
        position, axes = camera_axes(camera, frame)
        local = (np.concatenate(vertices) - position) @ axes.T
        xy, depth = _to_image(local, camera, size)
        triangles = np.concatenate([f + s for f, s in zip(faces, starts, strict=True)])
        owner = np.repeat(np.arange(count), [len(f) for f in faces])
        _splat(inverse, xy[triangles], depth[triangles], owner, (height, width))
        crossing = np.flatnonzero((depth[triangles] <= NEAR).any(axis=1) & (depth[triangles] > NEAR).any(axis=1))
        if len(crossing):
            corners, source = _cut_at_near_plane(local[triangles[crossing]])
            xy, depth = _to_image(corners.reshape(-1, 3), camera, size)
            shape = len(corners), 3
            _splat(inverse, xy.reshape(*shape, 2), depth.reshape(shape), owner[crossing[source]], (height, width))
    with np.errstate(divide="ignore"):
        return (1.0 / inverse).reshape(count, height, width)


def _cut_at_near_plane(
    corners: Float[np.ndarray, "f 3 3"],
) -> tuple[Float[np.ndarray, "m 3 3"], Int[np.ndarray, " m"]]:
    """Return what lies beyond the near plane of triangles that cross it, in camera axes, and the triangle of each."""
    plane = NEAR * (1 + 1e-6)
    behind = corners[:, :, 2] <= NEAR
    single = behind.sum(axis=1) == 1
    # The corner that is alone on its side comes first; the winding stays.
    alone = np.where(single, behind.argmax(axis=1), (~behind).argmax(axis=1))
    turned = np.take_along_axis(corners, ((alone[:, None] + np.arange(3)) % 3)[:, :, None], axis=1)
    a, b, c = turned[:, 0], turned[:, 1], turned[:, 2]
    ab, ac = (a + (end - a) * ((plane - a[:, 2:]) / (end[:, 2:] - a[:, 2:])) for end in (b, c))
    beyond = [np.stack([a, ab, ac], axis=1)[~single]]
    beyond += [np.stack(part, axis=1)[single] for part in ([ab, b, c], [ab, c, ac])]
    source = [np.flatnonzero(~single), np.flatnonzero(single), np.flatnonzero(single)]
    return np.concatenate(beyond), np.concatenate(source)


def floor_depth(camera: CameraSpec, frame: int, size: ImageSize) -> Float[np.ndarray, "h w"]:
    """Return the depth of the empty floor at each pixel centre in metres along the optical axis; inf beyond it."""
    position, (right, up, forward) = camera_axes(camera, frame)
    across, down = pixel_offsets(camera, size)
    # Rays are scaled to advance 1 m along the optical axis.
    ray = forward + across[None, :, None] * right - down[:, None, None] * up
    with np.errstate(divide="ignore"):
        depth = -position[2] / ray[..., 2]
    depth[~(depth > 0)] = np.inf
    with np.errstate(invalid="ignore"):
        away = np.abs(position[:2] + depth[..., None] * ray[..., :2]).max(axis=2)
    return np.where(away <= FLOOR_HALF_WIDTH, depth, np.inf)


def floor_disparity(camera: CameraSpec, frame: int, size: ImageSize) -> Float[np.ndarray, "h w"]:
    """Return one over the depth of an endless empty floor at each pixel centre in 1/metres; 0 above the horizon."""
    position, (right, up, forward) = camera_axes(camera, frame)
    across, down = pixel_offsets(camera, size)
    # A ray that advances 1 m along the optical axis falls by this much; the floor lies position[2] below the camera.
    fall = down[:, None] * up[2] - across[None, :] * right[2] - forward[2]
    return np.asarray(np.maximum(fall / max(position[2], NEAR), 0.0), dtype=np.float32)


def pixel_offsets(camera: CameraSpec, size: ImageSize) -> tuple[Float[np.ndarray, " w"], Float[np.ndarray, " h"]]:
    """Return how far the rays through the pixel centres of each column and row move to the right and down per metre."""
    height, width = height_and_width(size)
    focal = focal_pixels(camera, size)
    return (np.arange(width) + 0.5 - width / 2) / focal, (np.arange(height) + 0.5 - height / 2) / focal


def _splat(
    inverse: Float[np.ndarray, " p"],
    xy: Float[np.ndarray, "f 3 2"],
    depth: Float[np.ndarray, "f 3"],
    owner: Int[np.ndarray, " f"],
    size: tuple[int, int],
) -> None:
    """Write the greatest inverse depth of all triangles into their owners' images, in place."""
    # Twice the signed area; with y down, triangles that face the camera are negative.
    a, b, c = xy[:, 0], xy[:, 1], xy[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    height, width = size
    top, bottom = _pixel_range(xy[:, :, 1], height)
    keep = (area < -1e-9) & (depth.min(axis=1) > NEAR) & (top < bottom)
    xy, depth, owner, area, top, bottom = xy[keep], depth[keep], owner[keep], area[keep], top[keep], bottom[keep]
    if not len(xy):
        return

    # Inverse depth is an affine function of the image coordinates: value = gx x + gy y + g0.
    w = 1.0 / depth
    a, b, c = xy[:, 0], xy[:, 1], xy[:, 2]
    ab, ac, wb, wc = b - a, c - a, w[:, 1] - w[:, 0], w[:, 2] - w[:, 0]
    gx = (wb * ac[:, 1] - wc * ab[:, 1]) / area
    gy = (wc * ab[:, 0] - wb * ac[:, 0]) / area
    g0 = w[:, 0] - gx * a[:, 0] - gy * a[:, 1]

    triangle, row, column = _covered_pixels(xy, top, bottom, width)
    value = (gx[triangle] * (column + 0.5) + gy[triangle] * (row + 0.5) + g0[triangle]).astype(np.float32)
    np.maximum.at(inverse, (owner[triangle] * height + row) * width + column, value)


def _covered_pixels(
    xy: Float[np.ndarray, "f 3 2"], top: Int[np.ndarray, " f"], bottom: Int[np.ndarray, " f"], width: int
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return triangle, row and column of every pixel whose centre a triangle covers."""
    # One span of pixels for each triangle and image row: the part of the row inside all three edges.
    triangle, row = _ragged(top, bottom)
    y = row + 0.5
    left = np.full(len(row), -np.inf)
    right = np.full(len(row), np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        p, d = xy[:, start], xy[:, end] - xy[:, start]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(d[:, 1] != 0, d[:, 0] / d[:, 1], 0.0)
        x = p[triangle, 0] + slope[triangle] * (y - p[triangle, 1])
        down = d[triangle, 1] > 0
        flat = d[triangle, 1] == 0
        # With y down, front faces run clockwise: the inside lies to the right of an edge that goes down.
        left = np.where(down & ~flat, np.maximum(left, x), left)
        right = np.where(~down & ~flat, np.minimum(right, x), right)
    first = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    last = np.clip(np.floor(right - 0.5) + 1, 0, width).astype(np.int64)
    span, column = _ragged(first, np.maximum(first, last))
    return triangle[span], row[span], column


def _pixel_range(values: Float[np.ndarray, "f 3"], size: int) -> tuple[Int[np.ndarray, " f"], Int[np.ndarray, " f"]]:
    """Return the range of pixels whose centres lie within the values of each row, cut to the image."""
    first = np.clip(np.ceil(values.min(axis=1) - 0.5), 0, size).astype(np.int64)
    last = np.clip(np.floor(values.max(axis=1) - 0.5) + 1, 0, size).astype(np.int64)
    return first, last


def _ragged(
    first: Int[np.ndarray, " k"], last: Int[np.ndarray, " k"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return all pairs (i, j) with first[i] <= j < last[i], in order."""
    lengths = last - first
    index = np.repeat(np.arange(len(first)), lengths)
    offset = np.arange(len(index)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return index, first[index] + offset


def visible_and_amodal(
    depth: Float[np.ndarray, "n h w"],
) -> tuple[Bool[np.ndarray, "n h w"], Bool[np.ndarray, "n h w"]]:
    """Return visible masks (the nearest object at each pixel) and amodal masks from the depth of each object."""
    amodal = np.isfinite(depth)
    visible = np.zeros_like(amodal)
    if len(depth):
        nearest = depth.argmin(axis=0)
        np.put_along_axis(visible, nearest[None], amodal.any(axis=0)[None], axis=0)
    return visible, amodal

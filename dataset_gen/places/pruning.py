"""Removal of scenery that would spoil a scene: what fills the image, or hides the subjects most of the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidamodal.worlds.rasterize import rasterize
from vidamodal.worlds.spec import CameraSpec, Mesh, ObjectSpec, place_object

PROBED_FRAMES = 8
"""Frames that are looked at."""

PROBE_PIXELS = 1600
"""Pixels of a probe image."""

MOST_HIDDEN = 0.55
"""Largest share of the subjects' pixels that one thing may hide, over all frames."""

MOST_FILLED = 0.75
"""Largest share of an image that one thing before a subject may fill."""

MOST_BACKDROP = 0.15
"""Largest share of the subjects' pixels that a wall or a house may hide: it is there for what is behind them."""


@dataclass(frozen=True)
class Pruned:
    """Objects of a scene, numbered from 1, and what its camera sees of those that have tracks."""

    objects: tuple[ObjectSpec, ...]
    shown: float
    """Share of the image that they take, as a mean over the frames."""
    occluded: float
    """Share of their pixels that is hidden; where one thing is behind two, it counts twice."""


def prune(objects: Sequence[ObjectSpec], meshes: Mapping[str, Mesh], camera: CameraSpec, aspect: float) -> Pruned:
    """Remove scenery that hides too much, and measure what remains.

    Args:
        objects: Objects of a scene.
        meshes: Meshes of their assets by name.
        camera: Camera with a position for each frame.
        aspect: Width of the image over its height.
    """
    rows = max(8, round(np.sqrt(PROBE_PIXELS / aspect)))
    size = rows, max(8, round(rows * aspect))
    tracked = np.array([not thing.scenery for thing in objects], dtype=bool)
    faces = [meshes[thing.asset].faces for thing in objects]
    hidden, filled, area = np.zeros(len(objects)), np.zeros(len(objects)), 0
    union, total = [], 0
    frames = np.unique(np.linspace(0, len(camera.positions) - 1, PROBED_FRAMES).round().astype(int)).tolist()
    for frame in frames:
        depth = rasterize([place_object(meshes[o.asset], o, frame) for o in objects], faces, camera, frame, size)
        subject = depth[tracked].min(axis=0, initial=np.inf)
        shown = np.isfinite(subject)
        before = depth < subject
        union.append(shown.mean())
        area += int(shown.sum())
        total += int(np.isfinite(depth[tracked]).sum())
        hidden += (before & shown).sum(axis=(1, 2))
        filled = np.maximum(filled, np.isfinite(depth).mean(axis=(1, 2)) if shown.any() else 0.0)
    share = hidden / max(area, 1)
    limit = np.array([MOST_BACKDROP if thing.backdrop else MOST_HIDDEN for thing in objects])
    fills = filled > np.array([np.inf if thing.backdrop else MOST_FILLED for thing in objects])
    keep = tracked | ~((share > limit) | fills)
    kept = [thing for thing, stays in zip(objects, keep, strict=True) if stays]
    overlap = total - area + float(hidden[keep & ~tracked].sum())
    return Pruned(
        tuple(replace(thing, id=k + 1) for k, thing in enumerate(kept)), float(np.mean(union)), overlap / max(total, 1)
    )

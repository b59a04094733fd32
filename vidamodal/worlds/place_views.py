"""Views of worlds that are places (streets, rooms, fields): a stretch of frames, seen by a camera like the world's own.

Unlike a heap, a place has a camera that belongs to what happens there: it follows a subject, or waits where people
pass. Its path is kept and moved as a whole, and the hand that holds it shakes anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from vidamodal.types import InputError
from vidamodal.worlds.spec import CameraSpec, ObjectSpec, SceneSpec

PLACES = ("street", "room", "field")
"""Presets whose worlds are places."""

HEIGHTS = (112, 192)
"""Range of the image's height in pixels."""

MOST_PIXELS = 40_000
"""Largest number of pixels of an image; wide images are lower for it."""

TOGETHER = 1.3
"""Things that move and never are farther apart than this, in metres, belong together: a rider and a bicycle."""


@dataclass(frozen=True)
class PlaceView:
    """Part of a world that is to be rasterised."""

    objects: tuple[ObjectSpec, ...]
    camera: CameraSpec
    """Camera with a position for every frame of the world."""
    frames: Sequence[int]
    """Frames of the world that the clip shows."""
    size: tuple[int, int]
    """Height and width of the image in pixels."""


def sample_view(world: SceneSpec, rng: np.random.Generator, frames: int, drop: float, spacing: int = 1) -> PlaceView:
    """Sample a view of a place.

    Args:
        world: A world of one of the presets in ``PLACES``.
        rng: Source of all parameters.
        frames: Number of frames of the clip.
        drop: Greatest share of the objects that are left out.
        spacing: Frames of the video from one frame of the clip to the next. The frame rate of the video may be that of
            the world or half of it.

    Raises:
        InputError: If the world is shorter than the clip.
    """
    if world.frames < frames:
        raise InputError(
            f"world {world.seed} ({world.preset}): it lasts {world.frames} frames, but clips have {frames}. Generate "
            f"the worlds with at least {frames} frames, or reduce sample.world.frames."
        )
    last = spacing * (frames - 1)
    strides = [stride for stride in (1, 2) if stride * last < world.frames and world.fps / stride >= 5]
    stride = spacing * int(rng.choice(strides)) if strides else spacing
    start = int(rng.integers(world.frames - stride * (frames - 1)))
    height, width = world.image_size
    rows = min(int(rng.integers(HEIGHTS[0], HEIGHTS[1] + 1)), int(np.sqrt(MOST_PIXELS * height / width)))
    kept = _kept(world.objects, rng, drop)
    return PlaceView(
        objects=tuple(thing for thing, keep in zip(world.objects, kept, strict=True) if keep),
        camera=varied_camera(world.camera, rng),
        frames=range(start, start + stride * (frames - 1) + 1, stride),
        size=(rows, max(1, round(rows * width / height))),
    )


def varied_camera(camera: CameraSpec, rng: np.random.Generator) -> CameraSpec:
    """Move a camera's path as a whole: by distance, azimuth and height; change its lens, its target and its shake."""
    positions, targets = np.array(camera.positions), np.array(camera.targets)
    back = (positions - targets).mean(axis=0)
    turn, nearer = np.radians(rng.uniform(-25, 25)), np.exp(rng.uniform(-0.25, 0.25))
    cos, sin = np.cos(turn), np.sin(turn)
    flat = nearer * np.array([cos * back[0] - sin * back[1], sin * back[0] + cos * back[1]])
    shift = np.append(flat - back[:2], back[2] * rng.uniform(-0.3, 0.3))
    shift[2] = max(shift[2], 0.25 - positions[:, 2].min())
    reach = float(np.linalg.norm(back))
    moved = positions + shift
    aim = targets + rng.normal(0, 0.03, 3) * reach + shake(rng, len(targets), rng.choice((0.0, 0.004, 0.012))) * reach
    # The camera never looks straight up or down, where it would have no upright axis.
    return CameraSpec(
        focal_length=camera.focal_length * float(np.exp(rng.uniform(-0.2, 0.2))),
        sensor_width=camera.sensor_width,
        positions=tuple(map(tuple, moved.tolist())),
        targets=tuple(map(tuple, aim.tolist())),
    )


def shake(rng: np.random.Generator, frames: int, amount: float) -> Float[np.ndarray, "t 3"]:
    """Return the wander of a hand that holds a camera: slow noise with the given standard deviation."""
    slow = gaussian_filter1d(rng.normal(size=(frames + 24, 3)), rng.uniform(2, 6), axis=0)[12:-12]
    return np.asarray(amount * slow / max(float(slow.std()), 1e-9))


def _kept(objects: Sequence[ObjectSpec], rng: np.random.Generator, drop: float) -> Bool[np.ndarray, " n"]:
    """Choose the objects that stay: things that belong together stay together, and a target always stays."""
    group = _groups(objects)
    kept = (rng.random(len(objects)) >= rng.uniform(0, drop))[group]
    targets = [k for k, thing in enumerate(objects) if not thing.scenery]
    if targets and not kept[targets].any():
        kept |= group == group[rng.choice(targets)]
    return np.asarray(kept | np.array([thing.backdrop for thing in objects], dtype=bool))


def _groups(objects: Sequence[ObjectSpec]) -> np.ndarray:
    """Return for each object the first of those that it belongs to."""
    group = np.arange(len(objects))
    moving = [k for k, thing in enumerate(objects) if len(thing.poses) > 1]
    paths = {k: np.array([pose.position[:2] for pose in objects[k].poses]) for k in moving}
    for place, k in enumerate(moving):
        for other in moving[:place]:
            if np.abs(paths[k] - paths[other]).max() < TOGETHER:
                group[k] = group[other]
                break
    return group

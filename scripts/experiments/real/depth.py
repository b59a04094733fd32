"""Depth maps of the composites, made from their ground truth, right and wrong in several ways.

A ground plane rises towards the camera from the upper to the lower border. Each object stands upright on it, where its
whole shape ends below; what passes in front of it is nearer by a margin.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import maximum_filter

from vidamodal.data.rough_depth import degrade_depth
from vidamodal.inference.depth.depth_source import DepthSource
from vidamodal.types import ClipTracks, Track

Maps = Float[np.ndarray, "t h w"]
Masks = Bool[np.ndarray, "n t h w"]

HORIZON, GROUND = 0.1, 0.6
"""Disparity at the upper border, and how much larger it is at the lower one."""
MARGINS = (0.08, 0.25)
"""Smallest and largest difference in disparity between an object and what passes in front of it."""
HALO = 7
"""Side in pixels of the filter by which near surfaces grow."""
LEVELS = 255
"""Steps of a map of 8 bits."""
MISSED = 0.25
"""Share of the frames in which the occluder is missing."""


def right(maps: Maps, _masks: Masks, _rng: np.random.Generator) -> Maps:
    """The maps as they are."""
    return maps


def rough(maps: Maps, masks: Masks, rng: np.random.Generator) -> Maps:
    """Maps as rough as those that models are trained with."""
    return degrade_depth(maps, masks, rng)


def coarse(maps: Maps, _masks: Masks, _rng: np.random.Generator) -> Maps:
    """Maps of 8 bits in which near surfaces have halos: not seen in training."""
    grown = maximum_filter(maps, (1, HALO, HALO))
    low, high = grown.min(), grown.max()
    return np.round((grown - low) / (high - low) * LEVELS)


def missed(maps: Maps, masks: Masks, rng: np.random.Generator) -> Maps:
    """Maps without the occluders in some frames: not seen in training."""
    out, frames = maps.copy(), len(maps)
    gone = np.zeros(frames, dtype=bool)
    first = rng.integers(frames)
    gone[(first + np.arange(round(MISSED * frames))) % frames] = True
    ground = _ground(*maps.shape[1:])
    for mask in masks[1:]:
        out[gone] = np.where(mask[gone], ground, out[gone])
    return out


def flipped(maps: Maps, _masks: Masks, _rng: np.random.Generator) -> Maps:
    """Maps whose values point the other way, which must be refused."""
    return maps.max() - maps


DEGRADATIONS: dict[str, Callable[[Maps, Masks, np.random.Generator], Maps]] = {
    "right": right, "rough": rough, "coarse": coarse, "missed": missed, "flipped": flipped,
}  # fmt: skip


def depth_of_clip(key: str, truth: ClipTracks, everything: ClipTracks, degradation: str) -> DepthSource:
    """Return the depth maps of a composite.

    Args:
        key: Its name, from which the randomness comes.
        truth: Its ground truth, of one track.
        everything: The visible masks of all its objects.
        degradation: A key of `DEGRADATIONS`.
    """
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    (subject,) = truth.tracks
    occluders = [track for track in everything.tracks if track.id != subject.id]
    masks = np.stack([_visible(track, truth) for track in (subject, *occluders)])
    maps = _exact_maps(subject, masks, truth, rng)
    values = DEGRADATIONS[degradation](maps, masks, rng).astype(np.float32)
    return DepthSource(lambda frame: values[frame], name=f"{degradation} depth")


def _exact_maps(subject: Track, masks: Masks, truth: ClipTracks, rng: np.random.Generator) -> Maps:
    height, width = truth.video.height, truth.video.width
    ground = _ground(height, width)
    maps = np.repeat(ground[None], truth.video.frames, axis=0)
    margin = rng.uniform(*MARGINS)
    assert subject.amodal is not None
    for t, amodal in enumerate(subject.amodal):
        box = None if amodal is None else amodal.box()
        own = HORIZON if box is None else float(ground[box[2] - 1, 0])
        maps[t][masks[0, t]] = own
        for mask in masks[1:, t]:
            if mask.any():
                foot = float(ground[np.flatnonzero(mask.any(axis=1))[-1], 0])
                maps[t][mask] = max(foot, own + margin)
    return maps


def _ground(height: int, width: int) -> Float[np.ndarray, "h w"]:
    rows = HORIZON + GROUND * (np.arange(height, dtype=np.float32) + 0.5) / height
    return np.repeat(rows[:, None], width, axis=1)


def _visible(track: Track, truth: ClipTracks) -> Bool[np.ndarray, "t h w"]:
    empty = np.zeros((truth.video.height, truth.video.width), dtype=bool)
    return np.stack([empty if mask is None else mask.decode() for mask in track.visible])

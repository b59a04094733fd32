"""Training clips from data sets with true amodal masks, and with images where the model reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from vidamodal.formats import Clip, find_dataset
from vidamodal.types import ClipTracks, InputError, Rle, Track
from vidamodal.worlds.sample import ClipMasks, WorldConfig, sample_spacing

KEPT = 256
"""Clips whose run lengths stay in memory, about 0.2 MB each."""


@dataclass(frozen=True)
class RecordedBank:
    """Clips of data sets; a sample is a number of frames of one clip."""

    clips: tuple[Clip, ...]
    pixels: bool
    """True if samples have images."""

    @staticmethod
    def load(path: Path, pixels: bool) -> RecordedBank:
        """Load the clips under a path.

        Raises:
            InputError: If the path holds no data set in a known format.
        """
        return RecordedBank(tuple(find_dataset(path).clips.values()), pixels)

    def __len__(self) -> int:
        return len(self.clips)

    def sample(self, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        """Sample ``config.frames`` frames of a random clip, at equal distances.

        Raises:
            InputError: If the clip is too short, has no amodal masks, or lacks images that are needed.
        """
        return self.sample_clip(self.clips[rng.integers(len(self.clips))], rng, config)

    def sample_clip(self, clip: Clip, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        """Sample ``config.frames`` frames of one of the clips; raises like `sample`."""
        truth = _ground_truth(clip)
        frames, video = config.frames, truth.video
        if video.frames < frames:
            raise InputError(
                f"clip {clip.key}: it has {video.frames} frames, but samples have {frames}. "
                "Reduce sample.world.frames, or leave the clip out."
            )
        spacing = sample_spacing(rng, config, video.frames)
        last = spacing * (frames - 1)
        start = int(rng.integers(video.frames - last))
        chosen = slice(start, start + last + 1, spacing)
        tracks = [t for t in truth.tracks if t.amodal is not None and t.ever_visible]
        if not tracks:
            raise InputError(f"clip {clip.key}: it has no amodal masks to learn from. Leave it out.")
        masks = _masks(tracks, chosen, np.zeros((video.height, video.width), dtype=bool))
        # A visible object without amodal masks is not part of the sample, but is no background either.
        complete = len(tracks) == sum(t.ever_visible for t in truth.tracks)
        masks = replace(masks, exhaustive=truth.exhaustive and complete, spacing=spacing)
        return replace(masks, image=_images(clip, chosen)) if self.pixels else masks


def _masks(tracks: Sequence[Track], frames: slice, empty: Bool[np.ndarray, "h w"]) -> ClipMasks:
    """Decode the masks of some frames and make the visible ones disjoint."""
    rows = [(track.visible[frames], (track.amodal or ())[frames]) for track in tracks]
    known = np.array([[v is not None and a is not None for v, a in zip(*row, strict=True)] for row in rows])
    visible, amodal = (_decode([row[side] for row in rows], empty) for side in (0, 1))
    amodal &= known[..., None, None]
    visible &= amodal
    for k in range(len(visible) - 1):  # the last of overlapping visible masks wins, as in predictions
        visible[k] &= ~visible[k + 1 :].any(axis=0)
    return ClipMasks(visible, amodal, known, labels=tuple(track.label for track in tracks))


def _images(clip: Clip, frames: slice) -> UInt8[np.ndarray, "t h w 3"]:
    images = clip.frames()
    if images is None:
        raise InputError(f"clip {clip.key}: it has no images, but this model reads pixels. Add its video.")
    taken = list(islice(images, frames.start, frames.stop, frames.step))
    if len(taken) < len(range(frames.start, frames.stop, frames.step)):
        raise InputError(f"clip {clip.key}: it has masks for more frames than images. Add the missing images.")
    return np.stack(taken)


@lru_cache(maxsize=KEPT)
def _ground_truth(clip: Clip) -> ClipTracks:
    """Read a clip once: checking run lengths takes longer than decoding them."""
    return clip.tracks()


def _decode(rows: Sequence[Sequence[Rle | None]], empty: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "n t h w"]:
    return np.stack([np.stack([empty if mask is None else mask.decode() for mask in row]) for row in rows])

"""Training clips from data sets: whatever has true masks of whole objects, with its pictures where they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from vidamodal.formats import Clip, find_dataset
from vidamodal.types import ClipTracks, InputError, Rle
from vidamodal.worlds.sample import ClipMasks, WorldConfig

KEPT = 256
"""Clips whose run lengths stay in memory, some 0.2 MB each."""


@dataclass(frozen=True)
class RecordedBank:
    """Clips of data sets in any layout that is read; a sample is some consecutive frames of one."""

    clips: tuple[Clip, ...]
    pixels: bool
    """Whether to read pictures, too."""

    @staticmethod
    def load(path: Path, pixels: bool) -> RecordedBank:
        """The clips under a path. InputError if there is nothing that can be read."""
        return RecordedBank(tuple(find_dataset(path).clips.values()), pixels)

    def __len__(self) -> int:
        return len(self.clips)

    def sample(self, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        """Consecutive frames of a clip, ``config.frames`` of them. InputError if it is shorter or has no truth."""
        return self.of(self.clips[rng.integers(len(self.clips))], rng, config)

    def of(self, clip: Clip, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        """A sample of one of the clips."""
        truth = _truth(clip)
        frames, video = config.frames, truth.video
        if video.frames < frames:
            raise InputError(
                f"the clip {clip.key} has {video.frames} frames and samples take {frames}: set sample.world.frames"
            )
        start = int(rng.integers(video.frames - frames + 1))
        tracks = [t for t in truth.tracks if t.amodal is not None and t.ever_visible]
        if not tracks:
            raise InputError(f"the clip {clip.key} has no masks of whole objects to learn from")
        now = slice(start, start + frames)
        empty = np.zeros((video.height, video.width), dtype=bool)
        told = np.array([[v is not None and a is not None for v, a in zip(t.visible[now], t.amodal[now], strict=True)]
                         for t in tracks if t.amodal is not None])  # fmt: skip
        visible = _decode([t.visible[now] for t in tracks], empty)
        amodal = _decode([t.amodal[now] for t in tracks if t.amodal is not None], empty)
        amodal &= told[..., None, None]
        visible &= amodal
        for k in range(len(visible) - 1):  # where masks overlap, the last one shows, as in predictions
            visible[k] &= ~visible[k + 1 :].any(axis=0)
        # An object that is seen and not learnt from is no background.
        all_taken = len(tracks) == sum(t.ever_visible for t in truth.tracks)
        labels = tuple(track.label for track in tracks)
        masks = ClipMasks(visible, amodal, told, None, truth.exhaustive and all_taken, labels)
        return replace(masks, image=self._image(clip, start, frames)) if self.pixels else masks

    def _image(self, clip: Clip, start: int, frames: int) -> np.ndarray:
        pictures = clip.frames()
        if pictures is None:
            raise InputError(f"the clip {clip.key} has no pictures, and this model reads them: give their video, too")
        taken = []
        for number, picture in enumerate(pictures):
            if number >= start:
                taken.append(picture)
            if len(taken) == frames:
                break
        if len(taken) < frames:
            raise InputError(f"the clip {clip.key} has masks for more frames than pictures")
        return np.stack(taken)


@lru_cache(maxsize=KEPT)
def _truth(clip: Clip) -> ClipTracks:
    """A clip's masks. They are read again and again, and checking run lengths takes longer than decoding them."""
    return clip.tracks()


def _decode(rows: Sequence[Sequence[Rle | None]], empty: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "n t h w"]:
    return np.stack([np.stack([empty if mask is None else mask.decode() for mask in row]) for row in rows])

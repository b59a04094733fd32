"""Areas, boxes and occluded fractions of all object-frames of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.types import ClipTracks


@dataclass(frozen=True)
class ObjectFrames:
    """Measurements of n objects, in the order of the tracks, in t frames."""

    height: int
    """Image height in pixels."""
    boxes: Int[np.ndarray, "n t 4"]
    """Boxes of the amodal masks: (top, left, bottom, right) in pixels, the last two exclusive; 0 for an empty mask."""
    visible: Float[np.ndarray, "n t"]
    """Areas of the visible masks in pixels; nan where the mask is unknown."""
    amodal: Float[np.ndarray, "n t"]
    """Areas of the amodal masks in pixels; nan where the mask is unknown."""

    @cached_property
    def occluded(self) -> Float[np.ndarray, "n t"]:
        """Occluded fraction of the amodal mask, from 0 to 1; nan where the mask is empty or unknown."""
        occluded: Float[np.ndarray, "n t"] = 1 - self.visible / np.where(self.amodal > 0, self.amodal, np.nan)
        return occluded

    @cached_property
    def counted(self) -> Bool[np.ndarray, "n t"]:
        """True for object-frames that are large enough to be scored."""
        counted: Bool[np.ndarray, "n t"] = self.amodal >= least_counted_area(self.height)
        counted &= np.isfinite(self.occluded)
        return counted


def measure_object_frames(clip: ClipTracks) -> ObjectFrames:
    """Measure all object-frames of a clip from run lengths, without decoding a mask."""
    shape = len(clip.tracks), clip.video.frames
    boxes = np.zeros((*shape, 4), dtype=np.int64)
    visible, amodal = np.full(shape, np.nan), np.full(shape, np.nan)
    for n, track in enumerate(clip.tracks):
        for t, mask in enumerate(track.visible):
            if mask is not None:
                visible[n, t] = mask.area()
        for t, mask in enumerate(track.amodal or ()):
            if mask is not None:
                amodal[n, t] = mask.area()
                boxes[n, t] = mask.box() or 0
    return ObjectFrames(clip.video.height, boxes, visible, amodal)


def counted_occluded_fractions(clip: ClipTracks) -> list[float]:
    """Return the occluded fraction of every counted object-frame with known ground truth."""
    measured = measure_object_frames(clip)
    fractions: list[float] = measured.occluded[measured.counted].tolist()
    return fractions

"""Statistics of a data set: occlusion, sizes, durations of full occlusion and labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from dataset_gen.dataset_files import OCCLUSION_EDGES
from dataset_gen.object_frames import measure_object_frames
from vidamodal.types import ClipTracks

SIZE_EDGES = (0, 5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 100)
"""Bin edges of an object's size: the side of a square with the mask's area, as a percentage of the image's side."""

Bars = tuple[list[str], list[int]]
"""Names and counts of a histogram's bins."""


@dataclass
class DatasetStatistics:
    """Statistics over clips. An object-frame counts if it is large enough to be scored (64 px at height 256)."""

    clips: int = 0
    objects: int = 0
    frames: int = 0
    never_visible: int = 0
    """Number of objects that are visible in no frame."""
    occluded: list[float] = field(default_factory=list)
    """Occluded fraction of every counted object-frame."""
    sizes: list[float] = field(default_factory=list)
    """Size of every counted object-frame, in the unit of ``SIZE_EDGES``."""
    full_occlusions: list[int] = field(default_factory=list)
    """Lengths in frames of unbroken runs of fully occluded, counted object-frames."""
    bridged: int = 0
    """Number of these runs with a visible frame before and after."""
    copy_visible_iou: list[float] = field(default_factory=list)
    """Each clip's mean IoU of visible and amodal masks, over its objects' counted frames with a visible pixel."""
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, clip: ClipTracks) -> None:
        """Add a clip with known ground truth."""
        measured = measure_object_frames(clip)
        counted, seen = measured.counted, measured.visible > 0
        self.clips += 1
        self.objects += len(clip.tracks)
        self.frames += clip.video.frames
        self.never_visible += int(np.count_nonzero(~seen.any(axis=1)))
        self.occluded += measured.occluded[counted].tolist()
        self.sizes += (100 * np.sqrt(measured.amodal[counted] / (clip.video.height * clip.video.width))).tolist()
        self.labels.update(track.label or "?" for track in clip.tracks)
        ious = [
            1 - np.mean(occluded[frames])
            for occluded, frames in zip(measured.occluded, counted & seen, strict=True)
            if frames.any()
        ]
        self.copy_visible_iou += [float(np.mean(ious))] if ious else []
        for hidden, visible in zip(counted & ~seen, seen, strict=True):
            for start, stop in np.flatnonzero(np.diff(hidden, prepend=False, append=False)).reshape(-1, 2).tolist():
                self.full_occlusions.append(stop - start)
                self.bridged += bool(visible[:start].any() and visible[stop:].any())

    def occlusion_bars(self) -> Bars:
        """Return the histogram of occluded percentages, with a last bin "all" for fully occluded object-frames."""
        occluded = np.array(self.occluded)
        names = [f"{100 * low:.0f}-{100 * high:.0f}" for low, high in pairwise(OCCLUSION_EDGES)]
        counts = np.histogram(occluded[occluded < 1], OCCLUSION_EDGES)[0].tolist()
        return [*names, "all"], [*counts, int(np.count_nonzero(occluded == 1))]

    def duration_bars(self) -> Bars:
        """Return the histogram of the durations of full occlusion in frames."""
        edges = [1, 2, 3, 5, 9, 17]
        while edges[-1] <= max(self.full_occlusions, default=0):
            edges.append(2 * edges[-1] - 1)
        names = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in pairwise(edges)]
        return names, np.histogram(self.full_occlusions, [edge - 0.5 for edge in edges])[0].tolist()

    def size_bars(self) -> Bars:
        """Return the histogram of sizes."""
        names = [f"{low}-{high}" for low, high in pairwise(SIZE_EDGES)]
        return names, np.histogram(self.sizes, SIZE_EDGES)[0].tolist()

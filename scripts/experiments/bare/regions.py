"""A finder without a model, as a baseline: regions that move, or that have one colour.

Every region is treated as an unoccluded object, so its visible mask is also its amodal mask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_opening, label, median_filter

from vidamodal.inference.finders.base import frame_on_canvas
from vidamodal.inference.runtime import FrameSource, Timings, open_frames
from vidamodal.inference.track_builder import build_tracks
from vidamodal.inference.tracker import TrackerConfig
from vidamodal.types import ClipTracks, FrameInstance, InputError, VideoInfo

Kind = Literal["motion", "colour"]
BACKGROUND_FRAMES = 15
"""Number of frames, spread over the video, whose median is the still background."""
MIN_DIFFERENCE = 0.1
"""A pixel moves if its colour differs from the background by more than this."""
LEVELS = 4
"""Number of levels to which each of red, green and blue is quantised."""
MIN_SHARE, MAX_SHARE = 0.001, 0.25
"""Smallest and largest share of the canvas that a region may fill."""
SCORE = 0.5
"""Score of every region."""

Image = Float[np.ndarray, "3 s s"]
Region = Bool[np.ndarray, "s s"]


class RegionFinder:
    """Connected regions of one kind, joined over time like the instances of a segmenter."""

    def __init__(self, kind: Kind, size: int = 128, rules: TrackerConfig | None = None) -> None:
        """Choose the kind of regions, the canvas size in cells and how regions of different frames are joined."""
        if kind not in get_args(Kind):
            raise InputError(f"unknown kind of regions {kind!r}. Choose motion or colour.")
        self.kind, self.size, self.rules = kind, size, rules or TrackerConfig()
        self.timings = Timings()

    def find(self, video: VideoInfo, frames: FrameSource, quiet: bool = True) -> ClipTracks:
        """Return tracks with visible and amodal masks and the order of every frame; see `build_tracks`."""
        return build_tracks(video, self._instances(video, frames), self.rules, self.timings, quiet)

    def _instances(self, video: VideoInfo, frames: FrameSource) -> Iterator[list[FrameInstance]]:
        began = time.perf_counter()
        split: Callable[[Image], Iterator[Region]] = regions_of_colour
        if self.kind == "motion":
            step = -(-video.frames // BACKGROUND_FRAMES)
            samples = islice(open_frames(frames, "a finder of regions"), 0, None, step)
            still = np.median([frame_on_canvas(frame, self.size) for frame in samples], axis=0)
            split = lambda image: regions_of_motion(image, still)  # noqa: E731
        self.timings.add("model", began)
        for frame in open_frames(frames, "a finder of regions"):
            began = time.perf_counter()
            regions = list(split(frame_on_canvas(frame, self.size)))
            self.timings.add("model", began)
            yield [FrameInstance(region, region, 1, None, SCORE) for region in regions]


def regions_of_motion(image: Image, still: Image) -> Iterator[Region]:
    """Yield the connected regions in which a frame differs from the still background."""
    yield from _plausible(label(binary_opening(np.abs(image - still).max(axis=0) > MIN_DIFFERENCE))[0])


def regions_of_colour(image: Image) -> Iterator[Region]:
    """Yield the connected regions of one colour, after quantisation."""
    smooth = median_filter(image, (1, 3, 3))
    steps = np.minimum((smooth * LEVELS).astype(int), LEVELS - 1)
    colours = (steps[0] * LEVELS + steps[1]) * LEVELS + steps[2]
    for colour in np.unique(colours):
        yield from _plausible(label(colours == colour)[0])


def _plausible(regions: Int[np.ndarray, "s s"]) -> Iterator[Region]:
    """The numbered regions (0: none) that are neither specks nor the background."""
    areas = np.bincount(regions.ravel())
    for number in range(1, len(areas)):
        if MIN_SHARE * regions.size <= areas[number] <= MAX_SHARE * regions.size:
            yield regions == number

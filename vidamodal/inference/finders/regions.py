"""Visible masks without a model, for comparison: what moves, and what has one colour.

A region is taken for an object that nothing hides, so its visible mask is its amodal one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_opening, label, median_filter

from vidamodal.inference.finders.base import on_canvas
from vidamodal.inference.predictor import Pictures, Timings
from vidamodal.inference.tracker import Association, join_instances
from vidamodal.types import ClipTracks, Frame, FrameInstance, InputError, VideoInfo

LOOKS = 15
"""Frames, spread over the video, whose median is the still background."""
DIFFERENT = 0.1
"""Least difference of a colour from the background's, of a pixel that moves."""
LEVELS = 4
"""Steps that each of red, green and blue is cut to."""
LEAST, MOST = 0.001, 0.25
"""Share of the canvas that a region has at least and at most."""
SCORE = 0.5
"""Of every region: there is no telling how sure it is."""

Picture = Float[np.ndarray, "3 s s"]
Region = Bool[np.ndarray, "s s"]


class RegionFinder:
    """Connected regions of a kind, ``motion`` or ``colour``, joined over time like the instances of a segmenter."""

    def __init__(self, kind: str, size: int = 128, rules: Association | None = None) -> None:
        if kind not in ("motion", "colour"):
            raise InputError(f"unknown kind of regions {kind!r}: choose motion or colour")
        self.kind, self.size, self.rules = kind, size, rules or Association()
        self.timings = Timings()

    def find(self, video: VideoInfo, pictures: Pictures, quiet: bool = True) -> ClipTracks:
        """Tracks with visible and amodal masks and the order of every frame: see `join_instances`."""
        return join_instances(video, self._instances(video, pictures), self.rules, self.timings, quiet)

    def _instances(self, video: VideoInfo, pictures: Pictures) -> Iterator[list[FrameInstance]]:
        began = time.perf_counter()
        split: Callable[[Picture], Iterator[Region]] = of_colour
        if self.kind == "motion":
            step = -(-video.frames // LOOKS)
            looks = [on_canvas(frame, self.size) for frame in islice(_frames(pictures), 0, None, step)]
            still = np.median(looks, axis=0)
            split = lambda picture: of_motion(picture, still)  # noqa: E731
        self.timings.add("model", began)
        for frame in _frames(pictures):
            began = time.perf_counter()
            regions = list(split(on_canvas(frame, self.size)))
            self.timings.add("model", began)
            yield [FrameInstance(region, region, 1, None, SCORE) for region in regions]


def of_motion(picture: Picture, still: Picture) -> Iterator[Region]:
    """Connected regions in which a frame differs from the still background."""
    yield from _fitting(label(binary_opening(np.abs(picture - still).max(axis=0) > DIFFERENT))[0])


def of_colour(picture: Picture) -> Iterator[Region]:
    """Connected regions of one colour, all three channels cut to a few levels."""
    smooth = median_filter(picture, (1, 3, 3))
    steps = np.minimum((smooth * LEVELS).astype(int), LEVELS - 1)
    colours = (steps[0] * LEVELS + steps[1]) * LEVELS + steps[2]
    for colour in np.unique(colours):
        yield from _fitting(label(colours == colour)[0])


def _fitting(regions: Int[np.ndarray, "s s"]) -> Iterator[Region]:
    """Those of numbered regions, 0 being none, that are neither specks nor the background."""
    areas = np.bincount(regions.ravel())
    for number in range(1, len(areas)):
        if LEAST * regions.size <= areas[number] <= MOST * regions.size:
            yield regions == number


def _frames(pictures: Pictures) -> Iterator[Frame]:
    frames = pictures()
    if frames is None:
        raise InputError("regions are found in pictures, and there are none: give the video")
    return frames

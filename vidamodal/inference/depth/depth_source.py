"""Depth maps of a video, read one frame at a time, and their conversion to disparity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

from vidamodal.geometry import resize_nearest
from vidamodal.types import InputError

DepthKind = Literal["auto", "disparity", "depth"]
"""disparity: larger values are nearer. depth: larger values are farther. auto: the masks decide."""

DEPTH_KINDS: tuple[DepthKind, ...] = ("auto", "disparity", "depth")

Conversion = Literal["as is", "inverted", "negated"]
"""How values become disparities: unchanged, as 1 / value, or as -value."""

LEAST_RATIO = 0.05
"""Ratio of the near to the middle values (1 and 25 %) below which they are no distances from a camera: a scale that was
normalised to begin at 0 cannot be inverted."""


FLATTER = 2.0
"""Factor by which a scale must be more linear than its inverse to be no distances."""

PROFILE = 48
"""Rows to which maps are reduced to measure how linear they are."""


@dataclass(frozen=True)
class DepthSource:
    """Depth maps of some frames of a video."""

    read: Callable[[int], Shaped[np.ndarray, "h w"] | None]
    """Returns the map of a frame, of any size and real type; None if there is none. nan is unknown."""
    kind: DepthKind = "auto"
    certain: bool = False
    """True if the kind is beyond doubt, as that of a depth model: evidence against it is noted instead of refused."""
    frames: Sequence[int] | None = None
    """Frames with a map, in order; None if all have one."""
    name: str = "depth"
    """What run.json and error messages call the source."""
    notes: tuple[str, ...] = ()
    """What was assumed about the maps, one line each."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the depth model's weights and config."""

    def __post_init__(self) -> None:
        """Raise InputError if the kind is unknown."""
        if self.kind not in DEPTH_KINDS:
            raise InputError(f"unknown depth_kind {self.kind!r}. Choose auto, disparity or depth.")


@dataclass(frozen=True)
class DisparityMaps:
    """The maps of a source as disparities, at the size of the video."""

    source: DepthSource
    conversion: Conversion
    height: int
    width: int

    def read(self, frame: int) -> Float[np.ndarray, "h w"] | None:
        """Return the disparity of a frame, larger is nearer, nan is unknown; None if the frame has no map."""
        values = read_values(self.source, frame)
        if values is None:
            return None
        return resize_nearest(to_disparity(values, self.conversion), self.height, self.width)


def read_values(source: DepthSource, frame: int) -> Float[np.ndarray, "h w"] | None:
    """Return the map of a frame as floats.

    Raises:
        InputError: If the map is not an array (h, w) of numbers.
    """
    values = source.read(frame)
    if values is None:
        return None
    if values.ndim != 2 or values.dtype.kind not in "iuf" or not values.size:
        raise InputError(
            f"{source.name}: the map of frame {frame} has shape {values.shape} and dtype {values.dtype}. Pass an array "
            "(h, w) of floats or integers."
        )
    return np.asarray(values, dtype=np.float32)


def to_disparity(values: Float[np.ndarray, "h w"], conversion: Conversion) -> Float[np.ndarray, "h w"]:
    """Return disparities, with nan where they are unknown.

    Distances of 0 and below are unknown, and infinite ones, such as the sky's, are disparities of 0.
    """
    if conversion == "inverted":
        return np.asarray(np.divide(1, values, out=np.full_like(values, np.nan), where=values > 0))
    out = values if conversion == "as is" else -values
    return np.asarray(np.where(np.isfinite(out), out, np.float32(np.nan)))


def are_distances(samples: Sequence[Shaped[np.ndarray, "h w"]], zero_is_unknown: bool) -> bool:
    """Return whether values that grow with the distance are distances from a camera, and no reversed scale.

    Distances are positive, and do not begin close to 0. On flat surfaces, their inverse is linear in the image, as
    disparity is; a reversed disparity is linear itself.

    Args:
        samples: Maps of some frames.
        zero_is_unknown: True if 0 marks unknown pixels in maps of integers; else no distance is 0.
    """
    values = []
    for sample in samples:
        counts = np.isfinite(sample) & ((sample != 0) | (sample.dtype.kind == "f") | (not zero_is_unknown))
        values.append(sample[counts])
    joined = np.concatenate(values)
    if not len(joined):
        return True
    near, middle = np.percentile(joined, (1, 25))
    if joined.min() <= 0 or near < LEAST_RATIO * middle:
        return False
    return _bend(samples, inverted=True) <= FLATTER * _bend(samples, inverted=False)


def _bend(samples: Sequence[Shaped[np.ndarray, "h w"]], inverted: bool) -> float:
    """Return how far maps are from linear along their columns: second over first differences; 0 without any slope."""
    first, second = [], []
    for sample in samples:
        values = sample[:: max(1, len(sample) // PROFILE)].astype(np.float64)
        values = 1 / np.where(values > 0, values, np.nan) if inverted else values
        steps = np.diff(values, axis=0)
        first.append(np.abs(steps[1:]).ravel())
        second.append(np.abs(np.diff(steps, axis=0)).ravel())
    slope, bend = (np.concatenate(each) for each in (first, second))
    used = np.isfinite(bend) & (slope > 0)
    return float(np.median(bend[used] / slope[used])) if used.any() else 0.0

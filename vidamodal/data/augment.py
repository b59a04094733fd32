"""Degraded visible masks, with the errors of segmenters and annotators, over whole clips so that all views agree."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, UInt16

from vidamodal.types import InputError

WAVES = 6
"""Independent displacements along each side of an object's box: the resolution of the wobble of its outline."""
DURATION = 4
"""Mean number of frames for which a merged mask or a missing piece persists."""


@dataclass(frozen=True)
class Degradation:
    """Strengths of the errors of visible masks, each in [0, 1]; 0 changes nothing.

    Frames are chosen independently for each object, except where an error persists.
    """

    edge: float = 0.0
    """Greatest displacement of the outline, as a share of the object's size (the root of its largest visible area). It
    varies along the outline; half of it persists from frame to frame."""
    merged: float = 0.0
    """Share of frames in which an object's mask becomes part of the mask of a touching object; persists."""
    pieces: float = 0.0
    """Share of frames in which a piece half as long and wide as the object's box is missing; persists."""
    dropped: float = 0.0
    """Share of frames in which the mask of a visible object is empty."""
    unknown: float = 0.0
    """Share of frames in which the object's mask is unknown."""
    gaps: float = 0.0
    """Share of frames without any annotation: the masks of all objects are unknown."""
    missing: float = 0.0
    """Share of objects that are not listed at all."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise InputError(f"degradation.{name} is {value}. Give a number between 0 and 1.")


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of training clips; values are probabilities unless stated otherwise.

    Amodal masks, the ground truth, are never degraded. Frame rates need no augmentation: random sorted frames cover
    them, and the model reads the times of its frames.
    """

    partial: float = 0.25
    """Share of clips that are shown as not exhaustive, with objects missing and noisy masks."""
    missing: float = 0.5
    """Greatest share of the other objects that are missing in a partial clip, apart from scenery."""
    alone: float = 0.0
    """Share of partial clips in which no object but the target itself is listed."""
    scenery_listed: float = 0.3
    """Share of scenery, such as walls and fences, that is listed in the other partial clips."""
    begun: float = 0.5
    """Share of clips in which objects are known to be absent before their first sighting, not unknown. The unknown
    frames before the first sighting are outside the span that a model predicts."""
    depth: float = 0.5
    """Share of clips with known disparity that show it to a model that reads depth."""
    depth_exact: float = 0.15
    """Share of these in which the disparity is exact; in the others it has the errors of a depth model."""
    noise: float = 0.5
    """Share of partial clips with degraded masks, each error with a strength between 0 and that of ``spoilt``."""
    spoilt: Degradation = field(default_factory=lambda: Degradation(edge=0.08, merged=0.1, pieces=0.15, dropped=0.15))
    """Greatest strengths of the errors."""
    unknown: float = 0.1
    """Share of clips with unknown masks in some frames, either of each object separately or of all at once."""
    gaps: float = 0.7
    """Greatest share of frames with unknown masks in such a clip."""
    jitter: float = 0.06
    """Standard deviation of the window's position, in sides, and of its log size."""
    reverse: float = 0.5
    """Share of clips in reversed time."""
    mirror: float = 0.5
    """Share of mirrored clips."""
    zoom: float = 1.0
    """Greatest factor by which frames for segmenters are enlarged or reduced, anywhere on the canvas."""
    colour: float = 0.0
    """Standard deviation of the log gain of their brightness, of each of their channels and of their contrast."""
    paste: int = 0
    """Most objects of another clip that are pasted in front of those of a frame, for segmenters of instances."""

    def sample_degradation(self, rng: np.random.Generator, partial: bool) -> Degradation:
        """Sample the strengths of the errors of one clip."""
        strengths = {f.name: 0.0 for f in fields(Degradation)}
        if partial and rng.random() < self.noise:
            strengths = {name: rng.uniform(0, getattr(self.spoilt, name)) for name in strengths}
        if partial:
            strengths["missing"] = rng.uniform(0, self.missing)
        if rng.random() < self.unknown:
            strengths[("unknown", "gaps")[rng.integers(2)]] = rng.uniform(0, self.gaps)
        return Degradation(**strengths)


@dataclass(frozen=True)
class DegradedMasks:
    """Degraded visible masks of n objects over t frames; they are disjoint."""

    visible: Bool[np.ndarray, "n t h w"]
    """Empty where unknown. Objects that are not listed keep their masks, because they may be targets themselves."""
    known: Bool[np.ndarray, "n t"]
    """False if the mask is unknown, as opposed to known to be empty."""
    listed: Bool[np.ndarray, " n"]
    """False if the object has no track."""


def degrade(
    visible: Bool[np.ndarray, "n t h w"],
    how: Degradation,
    rng: np.random.Generator,
    fixed: Bool[np.ndarray, " n"] | None = None,
) -> DegradedMasks:
    """Degrade the visible masks of a clip.

    Degraded masks may reach beyond the amodal mask; a model has to cope with such input. Errors are applied in the
    order of the fields of `Degradation`, so that merged objects wobble as one.

    Args:
        visible: Disjoint visible masks; they are not modified.
        how: Strengths of the errors.
        rng: Source of the errors.
        fixed: Objects that do not merge with others and have no missing pieces, such as walls. None: there are none.
    """
    objects, frames = visible.shape[:2]
    open_ = np.ones((objects, 1), dtype=bool) if fixed is None else ~fixed[:, None]
    if how.merged or how.edge or how.pieces or how.dropped:
        labels = _labels(visible)
        if how.merged:
            _merge(labels, _persistent(rng, objects, frames, how.merged) & open_, rng)
        if how.edge:
            labels = _move_edges(labels, objects, how.edge, rng)
        if how.pieces:
            _cut_pieces(labels, _persistent(rng, objects, frames, how.pieces) & open_, rng)
        visible = labels == rearrange(np.arange(1, objects + 1, dtype=np.uint16), "n -> n 1 1 1")
        if how.dropped:
            visible[rng.random((objects, frames)) < how.dropped] = False
    known = np.ones((objects, frames), dtype=bool)
    if how.unknown or how.gaps:
        known = (rng.random((objects, frames)) >= how.unknown) & (rng.random(frames) >= how.gaps)
        visible = visible & known[:, :, None, None]
    listed = np.asarray(rng.random(objects) >= how.missing)
    return DegradedMasks(visible, known, listed)


def _labels(visible: Bool[np.ndarray, "n t h w"]) -> UInt16[np.ndarray, "t h w"]:
    """Return the number of the object that each pixel shows, from 1; 0 for none."""
    labels = np.zeros(visible.shape[1:], dtype=np.uint16)
    for k, masks in enumerate(visible, start=1):
        labels[masks] = k
    return labels


def _persistent(rng: np.random.Generator, objects: int, frames: int, share: float) -> Bool[np.ndarray, "n t"]:
    """Choose a share of all frames, in runs: each frame is chosen anew with probability 1 / DURATION."""
    out = rng.random((objects, frames)) < share
    anew = rng.random((objects, frames)) < 1 / DURATION
    for t in range(1, frames):
        out[:, t] = np.where(anew[:, t], out[:, t], out[:, t - 1])
    return out


def _merge(labels: UInt16[np.ndarray, "t h w"], chosen: Bool[np.ndarray, "n t"], rng: np.random.Generator) -> None:
    """Merge chosen objects into the neighbour with the longest common border, in place."""
    count = len(chosen) + 1
    for t in np.flatnonzero(chosen.any(axis=0)):
        frame = labels[t]
        sides = [(frame[:, :-1], frame[:, 1:]), (frame[:-1], frame[1:])]
        borders = np.zeros((count, count), dtype=np.int64)
        for a, b in sides:
            meet = (a != b) & (a > 0) & (b > 0)
            borders += np.bincount(a[meet].astype(np.int64) * count + b[meet], minlength=count**2).reshape(count, count)
        borders += borders.T
        becomes = np.arange(count, dtype=np.uint16)
        for k in rng.permutation(np.flatnonzero(chosen[:, t])) + 1:
            other = int(borders[k].argmax())
            # Neither may be merged already in this frame, or the two might swap their masks.
            if borders[k, other] and becomes[k] == k and becomes[other] == other:
                becomes[becomes == k] = other
        labels[t] = becomes[frame]


def _move_edges(
    labels: UInt16[np.ndarray, "t h w"], objects: int, amount: float, rng: np.random.Generator
) -> UInt16[np.ndarray, "t h w"]:
    """Displace outlines by smooth noise; a pixel that several objects reach goes to the one it is deepest in.

    Displacements of less than half a pixel have no effect.
    """
    frames = len(labels)
    out = np.zeros_like(labels)
    best = np.zeros(labels.shape, dtype=np.float32)
    for k in range(1, objects + 1):
        mask = labels == k
        push = amount * np.sqrt(np.count_nonzero(mask, axis=(1, 2)).max())
        if push == 0:
            continue
        reach = int(np.ceil(push))
        rows, columns = (_span(mask.any(axis=axes), reach) for axes in ((0, 2), (0, 1)))
        box = (slice(None), rows, columns)
        waves = _waves(rng, frames, rows.stop - rows.start, columns.stop - columns.start)
        depth = _signed_depth(mask[box], reach) + np.float32(push) * waves
        wins = depth > best[box]
        out[box][wins] = k
        best[box][wins] = depth[wins]
    return out


def _span(where: Bool[np.ndarray, " pixels"], margin: int) -> slice:
    """Return the range from the first to the last true entry, with a margin."""
    inside = np.flatnonzero(where)
    return slice(max(int(inside[0]) - margin, 0), min(int(inside[-1]) + 1 + margin, len(where)))


def _signed_depth(mask: Bool[np.ndarray, "t h w"], reach: int) -> Float[np.ndarray, "t h w"]:
    """Return the distance to the outline in pixels, negative outside and exact up to ``reach``.

    Distances are those of octagons, which are cheap to grow.
    """
    inside, outside = mask.astype(np.int16), (~mask).astype(np.int16)
    eroded, remaining = mask, ~mask
    for step in range(reach):
        eroded, remaining = ~_grow(~eroded, step % 2 == 1), ~_grow(~remaining, step % 2 == 1)
        inside += eroded
        outside += remaining
    return inside - outside - np.where(mask, np.float32(0.5), np.float32(-0.5))


def _grow(mask: Bool[np.ndarray, "t h w"], corners: bool) -> Bool[np.ndarray, "t h w"]:
    """Add the four neighbours of every pixel, or all eight with ``corners``."""
    out = mask.copy()
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    across = out.copy() if corners else mask
    out[:, :, 1:] |= across[:, :, :-1]
    out[:, :, :-1] |= across[:, :, 1:]
    return out


def _waves(rng: np.random.Generator, frames: int, height: int, width: int) -> Float[np.ndarray, "t h w"]:
    """Return smooth noise in [-1, 1]: half of it is constant over time, half is new in each frame."""
    values = rng.normal(0, 0.3, (frames + 1, WAVES, WAVES)) + rng.normal(0, 0.3, (frames + 1, 1, 1))
    values = np.clip(values[:1] + values[1:], -1, 1).astype(np.float32)
    rows, columns = (_interpolation(pixels) for pixels in (height, width))
    return np.asarray(rows @ values @ columns.T)


def _interpolation(pixels: int) -> Float[np.ndarray, "pixels waves"]:
    """Return the weights that interpolate WAVES evenly spaced values linearly."""
    at = np.linspace(0, WAVES - 1, pixels)
    return np.asarray(np.maximum(1 - np.abs(at[:, None] - np.arange(WAVES)), 0).astype(np.float32))


def _cut_pieces(labels: UInt16[np.ndarray, "t h w"], chosen: Bool[np.ndarray, "n t"], rng: np.random.Generator) -> None:
    """Remove an ellipse from the chosen objects, in place; its position within their boxes is constant."""
    places = rng.uniform(0.1, 0.9, (len(chosen), 2))
    for k, t in zip(*np.nonzero(chosen), strict=True):
        mask = labels[t] == k + 1
        if not mask.any():
            continue
        rows, columns = (_span(mask.any(axis=axis), 0) for axis in (1, 0))
        y, x = (
            (np.arange(span.start, span.stop) + 0.5 - span.start) / (span.stop - span.start) for span in (rows, columns)
        )
        piece = ((y[:, None] - places[k, 0]) ** 2 + (x - places[k, 1]) ** 2) < 0.25**2
        labels[t, rows, columns][piece & mask[rows, columns]] = 0

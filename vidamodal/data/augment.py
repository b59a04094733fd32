"""Visible masks spoilt as segmenters and annotators spoil them, over whole clips, so that all views of them agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, UInt16

from vidamodal.types import InputError

WAVES = 6
"""Independent pushes along each side of an object's box: how finely its outline wobbles."""
LASTING = 4
"""Frames that a merged mask or a missing piece stays so, on average."""


@dataclass(frozen=True)
class Degradation:
    """How far visible masks are spoilt. Every number is a share in [0, 1]; all 0 change nothing.

    A frame of an object is chosen by itself, except where it says that it lasts for some frames.
    """

    edge: float = 0.0
    """The outline goes in and out by up to this share of the object's size (the root of its largest visible area),
    differently along the outline; half of it stays from frame to frame."""
    merged: float = 0.0
    """Frames in which an object that touches another one belongs to the other's mask, its own empty; lasts."""
    pieces: float = 0.0
    """Frames in which a piece of the mask is missing, half as long and wide as its box; lasts."""
    dropped: float = 0.0
    """Frames in which the mask is empty although the object is seen: flicker."""
    unknown: float = 0.0
    """Frames in which nobody says what is visible of the object."""
    gaps: float = 0.0
    """Frames without any annotation: all objects are unknown."""
    missing: float = 0.0
    """Objects that are not listed at all."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise InputError(f"degradation: {name} is {value}, it must lie in [0, 1]")


@dataclass(frozen=True)
class DegradedMasks:
    """Visible masks of n objects over t frames as somebody might give them. No two of them share a pixel."""

    visible: Bool[np.ndarray, "n t h w"]
    """Empty where not known. Objects that are not listed keep theirs: they can still be asked for alone."""
    known: Bool[np.ndarray, "n t"]
    """False: the mask is not known (null), rather than known to be empty."""
    listed: Bool[np.ndarray, " n"]
    """False: the object has no track."""


def degrade(visible: Bool[np.ndarray, "n t h w"], how: Degradation, rng: np.random.Generator) -> DegradedMasks:
    """Spoil the visible masks of a clip, which must be disjoint; they themselves are left as they are.

    What is given may now reach beyond an object's whole mask, which is never touched: that is an error of the input
    that a model has to live with. Masks are spoilt in the order of the fields of `Degradation`, so that merged objects
    wobble as one.
    """
    objects, frames = visible.shape[:2]
    if how.merged or how.edge or how.pieces or how.dropped:
        labels = _labels(visible)
        if how.merged:
            _merge(labels, _lasting(rng, objects, frames, how.merged), rng)
        if how.edge:
            labels = _move_edges(labels, objects, how.edge, rng)
        if how.pieces:
            _cut_pieces(labels, _lasting(rng, objects, frames, how.pieces), rng)
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
    """The number of the object that each pixel shows, from 1; 0 for none."""
    labels = np.zeros(visible.shape[1:], dtype=np.uint16)
    for k, masks in enumerate(visible, start=1):
        labels[masks] = k
    return labels


def _lasting(rng: np.random.Generator, objects: int, frames: int, share: float) -> Bool[np.ndarray, "n t"]:
    """Chosen frames, that share of all, in runs: a frame is drawn anew with probability 1 / LASTING, else as before."""
    out = rng.random((objects, frames)) < share
    anew = rng.random((objects, frames)) < 1 / LASTING
    for t in range(1, frames):
        out[:, t] = np.where(anew[:, t], out[:, t], out[:, t - 1])
    return out


def _merge(labels: UInt16[np.ndarray, "t h w"], chosen: Bool[np.ndarray, "n t"], rng: np.random.Generator) -> None:
    """Give chosen objects to the neighbour that they share the longest border with, in place."""
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
            # Neither has been given away in this frame, or the two might swap their masks.
            if borders[k, other] and becomes[k] == k and becomes[other] == other:
                becomes[becomes == k] = other
        labels[t] = becomes[frame]


def _move_edges(
    labels: UInt16[np.ndarray, "t h w"], objects: int, amount: float, rng: np.random.Generator
) -> UInt16[np.ndarray, "t h w"]:
    """Masks with outlines pushed in and out by smooth noise; a pixel that several reach goes to whom it is deepest in.

    Whatever moves by less than half a pixel stays as it is.
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
        here = (slice(None), rows, columns)
        waves = _waves(rng, frames, rows.stop - rows.start, columns.stop - columns.start)
        depth = _depth(mask[here], reach) + np.float32(push) * waves
        wins = depth > best[here]
        out[here][wins] = k
        best[here][wins] = depth[wins]
    return out


def _span(where: Bool[np.ndarray, " pixels"], margin: int) -> slice:
    """From the first to the last one that holds, and so much beyond."""
    found = np.flatnonzero(where)
    return slice(max(int(found[0]) - margin, 0), min(int(found[-1]) + 1 + margin, len(where)))


def _depth(mask: Bool[np.ndarray, "t h w"], reach: int) -> Float[np.ndarray, "t h w"]:
    """Distance to the outline in pixels, less than 0 outside, right up to ``reach`` (in octagons, which are cheap)."""
    inside, outside = mask.astype(np.int16), (~mask).astype(np.int16)
    kept, left = mask, ~mask
    for step in range(reach):
        kept, left = ~_grow(~kept, step % 2 == 1), ~_grow(~left, step % 2 == 1)
        inside += kept
        outside += left
    return inside - outside - np.where(mask, np.float32(0.5), np.float32(-0.5))


def _grow(mask: Bool[np.ndarray, "t h w"], corners: bool) -> Bool[np.ndarray, "t h w"]:
    """With the four neighbours of every pixel, or all eight. Nothing comes in from beyond the image."""
    out = mask.copy()
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    across = out.copy() if corners else mask
    out[:, :, 1:] |= across[:, :, :-1]
    out[:, :, :-1] |= across[:, :, 1:]
    return out


def _waves(rng: np.random.Generator, frames: int, height: int, width: int) -> Float[np.ndarray, "t h w"]:
    """Smooth noise in [-1, 1]: half the same in all frames, half drawn anew, each as a whole and place by place."""
    drawn = rng.normal(0, 0.3, (frames + 1, WAVES, WAVES)) + rng.normal(0, 0.3, (frames + 1, 1, 1))
    drawn = np.clip(drawn[:1] + drawn[1:], -1, 1).astype(np.float32)
    rows, columns = (_linear(pixels) for pixels in (height, width))
    return rows @ drawn @ columns.T


def _linear(pixels: int) -> Float[np.ndarray, "pixels waves"]:
    """Weights that interpolate WAVES evenly spaced values linearly to so many pixels."""
    at = np.linspace(0, WAVES - 1, pixels)
    return np.maximum(1 - np.abs(at[:, None] - np.arange(WAVES)), 0).astype(np.float32)


def _cut_pieces(labels: UInt16[np.ndarray, "t h w"], chosen: Bool[np.ndarray, "n t"], rng: np.random.Generator) -> None:
    """Take an ellipse out of the chosen objects, in place; where it lies in their boxes stays over the clip."""
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

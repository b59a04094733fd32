"""What predictors without a model score, beside which every result is read. They see the visible masks only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool
from scipy.spatial import ConvexHull

from vidamodal.types import ClipTracks, InputError, Rle, Track

Mask = Bool[np.ndarray, "h w"]
Rule = Callable[[Mask, Mask], Mask]
"""(visible mask, pixels where any object is visible) -> amodal mask; the visible mask is not empty."""

_LEVEL = 1e-9
"""Edges whose outward normal has less than this along x bound rows, not columns."""
_TIE = 1e-6
"""Pixels; a centre on the hull's outline is outside, on every side alike."""


def convex_hull(mask: Mask) -> Mask:
    """The pixels whose centres lie within the convex hull of the mask's pixels, each taken as a square."""
    filled = np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return filled
    first = mask[rows].argmax(axis=1)
    past = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = [np.stack([x, y], axis=1) for x in (first, past) for y in (rows, rows + 1)]
    across, down, offset = ConvexHull(np.concatenate(corners)).equations.T[:, :, None]  # <= 0 inside each edge
    ys = np.arange(rows[0], rows[-1] + 1)
    xs = np.arange(first.min(), past.max())
    edges = down * (ys + 0.5) + offset  # (edges, rows): what remains for x
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = -edges / across
    left = np.where(across < -_LEVEL, crossings, -np.inf).max(axis=0)
    right = np.where(across > _LEVEL, crossings, np.inf).min(axis=0)
    centres = xs + 0.5
    inside = (centres > left[:, None] + _TIE) & (centres < right[:, None] - _TIE)
    filled[np.ix_(ys, xs)] = inside
    return filled


def copy_visible(visible: Mask, covered: Mask) -> Mask:
    """Nothing is completed."""
    return visible


def hull(visible: Mask, covered: Mask) -> Mask:
    """The convex hull of what is visible."""
    return convex_hull(visible)


def hull_under_occluders(visible: Mask, covered: Mask) -> Mask:
    """What is visible, and of its convex hull what other objects cover."""
    return visible | (convex_hull(visible) & covered)


BASELINES: dict[str, Rule] = {
    "copy-visible": copy_visible,
    "hull": hull,
    "hull-under-occluders": hull_under_occluders,
}


def predict_baseline(name: str, clip: ClipTracks) -> ClipTracks:
    """Completes every frame of a clip from its visible masks alone, under the rules that hold for every prediction.

    A frame that is unknown or fully hidden inside a track's known span gets an empty mask. The confidence is 1: the
    mask's expected IoU under its own probabilities, which are 0 or 1. InputError for an unknown name.
    """
    if name not in BASELINES:
        raise InputError(f"no baseline is called {name!r}; choose one of {', '.join(BASELINES)}")
    spans = {track.id: track.span if track.ever_visible else None for track in clip.tracks}
    amodal: dict[int, list[Rle | None]] = {track.id: [] for track in clip.tracks}
    empty = Rle.empty(clip.video.height, clip.video.width)
    for t in range(clip.video.frames):
        completed = _complete_frame(BASELINES[name], {track.id: track.visible[t] for track in clip.tracks})
        for number, span in spans.items():
            predicted = span is not None and span[0] <= t < span[1]
            amodal[number].append(completed.get(number, empty) if predicted else None)
    return replace(
        clip,
        tracks=tuple(_predicted(track, tuple(amodal[track.id])) for track in clip.tracks),
        exhaustive=clip.exhaustive and name != "hull",  # the hull also reaches over what hides nothing
        order=None,
        provenance={"baseline": name},
    )


def _complete_frame(rule: Rule, visible: dict[int, Rle | None]) -> dict[int, Rle]:
    """One frame by id; what is not known or has no pixel is left out."""
    masks = {number: rle.decode() for number, rle in visible.items() if rle is not None and rle.area()}
    if not masks:
        return {}
    covered = np.logical_or.reduce(list(masks.values()))
    return {number: Rle.encode(rule(mask, covered)) for number, mask in masks.items()}


def _predicted(track: Track, amodal: tuple[Rle | None, ...]) -> Track:
    confidence = tuple(None if mask is None else 1.0 for mask in amodal)
    return Track(track.id, track.visible, amodal, confidence, label=track.label)

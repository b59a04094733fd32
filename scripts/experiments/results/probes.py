"""Predictors that use the ground truth and make deliberate errors, to show what each measure fails to notice.

A constant mask changes nothing but flickers, because the truth moves; a constant error does not flicker, however large;
a copied visible mask has no false completion and keeps every identity, but ignores all occluded regions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vidamodal.baselines import predict_baseline
from vidamodal.types import ClipTracks, Rle, Track


def constant_mask(clip: ClipTracks) -> ClipTracks:
    """Predict each object's first true mask that is not empty, in all frames."""
    return _change_tracks(clip, lambda track: (m,) * len(track.visible) if (m := _first_mask(track)) else track.amodal)


def constant_error(clip: ClipTracks) -> ClipTracks:
    """Predict each object's true masks, inverted in the left half of its first mask."""
    return _change_tracks(clip, _with_constant_error)


def copied_visible(clip: ClipTracks) -> ClipTracks:
    """Predict the visible masks."""
    return predict_baseline("copy-visible", clip)


def perfect(clip: ClipTracks) -> ClipTracks:
    """Predict the ground truth."""
    return clip


PROBES: dict[str, Callable[[ClipTracks], ClipTracks]] = {
    "perfect": perfect,
    "constant mask": constant_mask,
    "constant error": constant_error,
    "copied visible mask": copied_visible,
}


def _change_tracks(clip: ClipTracks, change: Callable[[Track], tuple[Rle | None, ...] | None]) -> ClipTracks:
    tracks = tuple(replace(track, amodal=change(track), amodal_full=None) for track in clip.tracks)
    return replace(clip, tracks=tracks, exhaustive=False, order=None)


def _first_mask(track: Track) -> Rle | None:
    return next((mask for mask in track.amodal or () if mask is not None and mask.area()), None)


def _with_constant_error(track: Track) -> tuple[Rle | None, ...] | None:
    first = _first_mask(track)
    if first is None or track.amodal is None:
        return track.amodal
    error = first.decode()
    error[:, int(np.median(np.nonzero(error)[1])) :] = False
    return tuple(None if mask is None else Rle.encode(mask.decode() ^ error) for mask in track.amodal)

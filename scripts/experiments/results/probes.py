"""Predictors that look at the truth and are wrong on purpose: what each measure fails to notice.

Their rows beside a result say why no measure may be read alone. A mask that never moves changes nothing, yet flickers,
since the truth moves on; an error that never changes does not flicker, however large; a copied visible mask is never
hallucinated and keeps every identity, but knows nothing of what is hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vidamodal.baselines import predict_baseline
from vidamodal.types import ClipTracks, Rle, Track


def constant_mask(clip: ClipTracks) -> ClipTracks:
    """Every object's true mask of its first frame with any pixel, in all frames."""
    return _each(clip, lambda track: (first,) * len(track.visible) if (first := _first(track)) else track.amodal)


def constant_error(clip: ClipTracks) -> ClipTracks:
    """Every object's true masks, all wrong in the same pixels: the left half of its first one, which is turned over."""
    return _each(clip, _with_constant_error)


def copied_visible(clip: ClipTracks) -> ClipTracks:
    """Nothing is completed."""
    return predict_baseline("copy-visible", clip)


def perfect(clip: ClipTracks) -> ClipTracks:
    """The truth."""
    return clip


PROBES: dict[str, Callable[[ClipTracks], ClipTracks]] = {
    "perfect": perfect,
    "constant mask": constant_mask,
    "constant error": constant_error,
    "copied visible mask": copied_visible,
}


def _each(clip: ClipTracks, change: Callable[[Track], tuple[Rle | None, ...] | None]) -> ClipTracks:
    tracks = tuple(replace(track, amodal=change(track), amodal_full=None) for track in clip.tracks)
    return replace(clip, tracks=tracks, exhaustive=False, order=None)


def _first(track: Track) -> Rle | None:
    return next((mask for mask in track.amodal or () if mask is not None and mask.area()), None)


def _with_constant_error(track: Track) -> tuple[Rle | None, ...] | None:
    first = _first(track)
    if first is None or track.amodal is None:
        return track.amodal
    error = first.decode()
    error[:, int(np.median(np.nonzero(error)[1])) :] = False
    return tuple(None if mask is None else Rle.encode(mask.decode() ^ error) for mask in track.amodal)

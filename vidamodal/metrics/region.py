"""How well regions overlap: each measure is an object's mean over the frames that it scores, None if there is none.

P is the prediction, A the amodal truth, V the visible truth; the definitions are those of the primary protocol.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from vidamodal.metrics.counts import TrackCounts, mean

_LEAST_HIDDEN = 20
"""An object counts as occluded from 1/20 = 5 % of its amodal area hidden."""


def full(track: TrackCounts) -> float | None:
    """IoU of P and A over the counted frames with at least one visible pixel."""
    return _iou(track, track.counted & track.seen)


def occ(track: TrackCounts) -> float | None:
    """IoU of (P minus V) and (A minus V) over those frames of ``full`` with at least 5 % of A hidden."""
    hidden = track.pixels(a=1, v=0)
    frames = track.counted & track.seen & (hidden * _LEAST_HIDDEN >= track.pixels(a=1))
    return _mean_ratio(track.pixels(p=1, a=1, v=0), hidden + track.pixels(p=1, a=0, v=0), frames)


def hidden(track: TrackCounts) -> float | None:
    """IoU of P and A over the counted frames with nothing visible."""
    return _iou(track, track.counted & ~track.seen)


def false_completion(track: TrackCounts) -> float | None:
    """|P minus A| / |A| over those frames of ``full`` where no pixel is hidden."""
    frames = track.counted & track.seen & (track.pixels(a=1, v=0) == 0)
    return _mean_ratio(track.pixels(p=1, a=0), track.pixels(a=1), frames)


def _iou(track: TrackCounts, frames: Bool[np.ndarray, " t"]) -> float | None:
    return _mean_ratio(track.pixels(p=1, a=1), track.pixels(a=1) + track.pixels(p=1, a=0), frames)


def _mean_ratio(
    part: Int[np.ndarray, " t"], whole: Int[np.ndarray, " t"], frames: Bool[np.ndarray, " t"]
) -> float | None:
    return mean(part[frames] / whole[frames])  # A has pixels in every counted frame, so no whole is 0

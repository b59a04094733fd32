"""How well regions overlap: each measure is an object's mean over the frames that it scores, None if there is none.

P is the prediction, A the amodal truth, V the visible truth; the definitions are those of the primary protocol.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from vidamodal.metrics.counts import TrackCounts, mean

_LEAST_HIDDEN = 20
"""An object counts as occluded from 1/20 = 5 % of its amodal area hidden."""


def occluded(track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """Frames with at least 5 % of A hidden."""
    return track.pixels(a=1, v=0) * _LEAST_HIDDEN >= track.pixels(a=1)


def full(track: TrackCounts) -> float | None:
    """IoU of P and A over the counted frames with at least one visible pixel."""
    return mean(track.iou[track.counted & track.seen])


def occ(track: TrackCounts) -> float | None:
    """IoU of (P minus V) and (A minus V) over those frames of ``full`` with at least 5 % of A hidden."""
    return mean(track.iou_outside_visible[track.counted & track.seen & occluded(track)])


def hidden(track: TrackCounts) -> float | None:
    """IoU of P and A over the counted frames with nothing visible."""
    return mean(track.iou[track.counted & ~track.seen])


def false_completion(track: TrackCounts) -> float | None:
    """|P minus A| / |A| over those frames of ``full`` where no pixel is hidden."""
    frames = track.counted & track.seen & (track.pixels(a=1, v=0) == 0)
    return mean(track.pixels(p=1, a=0)[frames] / track.pixels(a=1)[frames])

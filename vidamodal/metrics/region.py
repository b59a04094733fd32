"""Region measures of the primary protocol: means over an object's frames, None for a mean over no frames.

P is the predicted amodal mask, A the true amodal mask and V the true visible mask. Frames are *scored* if A has at
least 64 pixels at a height of 256 (`TrackCounts.scored`).
"""

from __future__ import annotations

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import TrackCounts
from vidamodal.occlusion.thresholds import least_counted_area


def full(track: TrackCounts) -> float | None:
    """Return the mean IoU of P and A over the scored frames with at least one visible pixel."""
    return mean(track.iou[track.scored & track.visible])


def occ(track: TrackCounts) -> float | None:
    """Return the mean IoU of P minus V and A minus V over the frames of `full` with at least 5 % of A occluded."""
    return mean(track.occluded_iou[track.scored & track.visible & track.occluded])


def hidden(track: TrackCounts) -> float | None:
    """Return the mean IoU of P and A over the scored frames with nothing visible."""
    return mean(track.iou[track.scored & ~track.visible])


def false_completion(track: TrackCounts) -> float | None:
    """Return the mean of |P minus A| / |A| over the frames of `full` in which no pixel is occluded."""
    frames = track.scored & track.visible & (track.pixels(a=1, v=0) == 0)
    return mean(track.pixels(p=1, a=0)[frames] / track.pixels(a=1)[frames])


def ghosts(track: TrackCounts) -> float | None:
    """Return the share of the known frames without an object in the image that get a mask of a countable size.

    The object is absent where A is empty: it has not entered the image yet, or has left it. A predicted mask counts if
    it has at least 64 pixels at a height of 256, the least size that `full` scores.
    """
    frames = track.known & ~track.present
    return mean(track.pixels(p=1)[frames] >= least_counted_area(track.height))

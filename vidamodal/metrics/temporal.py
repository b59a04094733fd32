"""How well tracks hold through time; both measures are None for a track without the frames they need."""

from __future__ import annotations

from vidamodal.metrics.counts import TrackCounts, mean


def flicker(track: TrackCounts) -> float | None:
    """Error that comes and goes: mean of |E_t xor E_t-1| / |A_t| over neighbouring counted frames, E = P xor A.

    0 for a prediction that changes exactly as the truth does, but also for a constant error: read it beside IoU.
    """
    counted = track.counted
    frames = counted.copy()
    frames[1:] &= counted[:-1]
    frames[:1] = False
    return mean(track.change[frames] / track.pixels(a=1)[frames])


def track_iou(track: TrackCounts) -> float | None:
    """Intersection over union of the whole track: its counted frames as one volume."""
    counted = track.counted
    if not counted.any():
        return None
    union = track.pixels(a=1) + track.pixels(p=1, a=0)
    return float(track.pixels(p=1, a=1)[counted].sum() / union[counted].sum())

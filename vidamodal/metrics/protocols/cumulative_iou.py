"""Cumulative IoU: one ratio over the whole data set, as in CondDiff-AMO (2026) and SDAmodal's "mIoU"."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts

ID = "cumulative-iou"
HIDES = "large objects decide; small ones, and whole videos of them, may fail unseen"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return the sum of intersections over the sum of unions of all object-frames.

    full compares P and A; occ compares P minus V and A minus V, in the object-frames with at least one hidden pixel.
    """
    shared = union = occ_shared = occ_union = 0
    for track in (track for video in videos for track in video.tracks):
        occluded = track.pixels(a=1, v=0) > 0
        shared += int(track.pixels(p=1, a=1).sum())
        union += int((track.pixels(a=1) + track.pixels(p=1, a=0)).sum())
        occ_shared += int(track.pixels(p=1, a=1, v=0)[occluded].sum())
        occ_union += int((track.pixels(a=1, v=0) + track.pixels(p=1, a=0, v=0))[occluded].sum())
    return {
        "full": shared / union if union else None,
        "occ": occ_shared / occ_union if occ_union else None,
    }

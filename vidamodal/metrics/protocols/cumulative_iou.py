"""One ratio over the whole data set: CondDiff-AMO's cumulative IoU (2026), SDAmodal's "mIoU"."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts

HIDES = "large objects decide; small ones, and whole videos of them, may fail unseen"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Sum of intersections over sum of unions; occ outside V, over the object-frames of which anything is hidden."""
    sums = dict.fromkeys(("common", "union", "hidden common", "hidden union"), 0)
    for track in (track for video in videos for track in video.tracks):
        occluded = track.pixels(a=1, v=0) > 0
        sums["common"] += int(track.pixels(p=1, a=1).sum())
        sums["union"] += int((track.pixels(a=1) + track.pixels(p=1, a=0)).sum())
        sums["hidden common"] += int(track.pixels(p=1, a=1, v=0)[occluded].sum())
        sums["hidden union"] += int((track.pixels(a=1, v=0) + track.pixels(p=1, a=0, v=0))[occluded].sum())
    return {
        "full": sums["common"] / sums["union"] if sums["union"] else None,
        "occ": sums["hidden common"] / sums["hidden union"] if sums["hidden union"] else None,
    }

"""C2F-Seg's image protocol: ``evaluation_image`` of amazon-science/c2f-seg, on the post-processed mask."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import VideoCounts

ID = "c2f-image"
HIDES = "large videos outweigh small ones; V is pasted in: full is at least the visible share"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return means over all visible object-frames, each an instance of equal weight, with V pasted into P.

    full is the IoU of P and A. occ is the IoU of P minus V and A minus V, over the instances of which at least one
    pixel is hidden. The original's smoothing terms of 1e-10 and 1e-6 only decide 0 / 0, which does not occur here.
    """
    full: list[float] = []
    occ: list[float] = []
    for track in (track for video in videos for track in video.tracks):
        visible = track.visible
        union = track.pixels() - track.pixels(p=0, a=0, v=0)
        shared = track.pixels(a=1) - track.pixels(p=0, a=1, v=0)
        full.extend(shared[visible] / union[visible])
        occ.extend(track.occluded_iou[visible & (track.pixels(a=1, v=0) > 0)])
    return {"full": mean(full), "occ": mean(occ)}

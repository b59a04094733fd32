"""C2F-Seg's test on images (amazon-science/c2f-seg, ``evaluation_image`` on the post-processed mask)."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts, mean

HIDES = "large videos outweigh small ones; V is pasted in: full is at least the visible share"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Each visible object-frame is an instance, all weigh the same, and V is pasted into P.

    occ is over the instances of which anything is hidden, be it one pixel. The smoothing terms of 1e-10 and 1e-6 decide
    only 0 / 0, which does not come up.
    """
    full: list[float] = []
    occ: list[float] = []
    for track in (track for video in videos for track in video.tracks):
        seen = track.seen
        union = track.pixels() - track.pixels(p=0, a=0, v=0)
        common = track.pixels(a=1) - track.pixels(p=0, a=1, v=0)
        full.extend(common[seen] / union[seen])
        occ.extend(track.iou_outside_visible[seen & (track.pixels(a=1, v=0) > 0)])
    return {"full": mean(full), "occ": mean(occ)}

"""C2F-Seg's test on videos, before its post-processing (amazon-science/c2f-seg, ``video_iou``)."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts, mean

HIDES = "unoccluded frames count 0 in occ even if perfect; frames with nothing visible are left out"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """A mean over each object's visible frames, then over all objects of all videos.

    Empty against empty is 0. Their 1e-6 under the fraction is left out; it decides only 0 / 0.
    """
    tracks = [track for video in videos for track in video.tracks]
    return {
        "full": mean(mean(track.iou[track.seen]) for track in tracks),
        "occ": mean(mean(track.iou_outside_visible[track.seen]) for track in tracks),
    }

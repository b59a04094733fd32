"""C2F-Seg's video protocol before post-processing: ``video_iou`` of amazon-science/c2f-seg."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import VideoCounts

ID = "c2f-video"
HIDES = "unoccluded frames count 0 in occ even if perfect; frames with nothing visible are left out"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return means over each object's visible frames, then over all objects of all videos.

    full is the IoU of P and A, occ that of P minus V and A minus V; the IoU of two empty masks is 0. The original adds
    1e-6 to the denominator, which only decides 0 / 0 and is left out.
    """
    tracks = [track for video in videos for track in video.tracks]
    return {
        "full": mean(mean(track.iou[track.visible]) for track in tracks),
        "occ": mean(mean(track.occluded_iou[track.visible]) for track in tracks),
    }

"""C2F-Seg's video protocol as published, after all objects' visible masks are pasted (issue 13 of its repository)."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import VideoCounts

ID = "c2f-video-post"
HIDES = "as c2f-video; and all errors over background, by every object's true visible mask"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return the scores of c2f-video, with P kept where another object is visible and replaced by V elsewhere."""
    full, occ = [], []
    for track in (track for video in videos for track in video.tracks):
        visible = track.visible
        shared, extra = track.pixels(p=1, a=1, v=0, o=1), track.pixels(p=1, a=0, v=0, o=1)
        hidden = track.pixels(a=1, v=0)
        full.append(mean((track.pixels(v=1) + shared)[visible] / (track.pixels(a=1) + extra)[visible]))
        occ.append(mean(shared[visible] / (hidden + extra).clip(min=1)[visible]))
    return {"full": mean(full), "occ": mean(occ)}

"""C2F-Seg's test on videos as published: after the visible masks of all objects are pasted (their issue 13)."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts, mean

HIDES = "as c2f-video; and all errors over background, by every object's true visible mask"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """`c2f-video` of P as it stands where another object is visible, and of V everywhere else."""
    full, occ = [], []
    for track in (track for video in videos for track in video.tracks):
        seen = track.seen
        common, extra = track.pixels(p=1, a=1, v=0, o=1), track.pixels(p=1, a=0, v=0, o=1)
        hidden = track.pixels(a=1, v=0)
        full.append(mean((track.pixels(v=1) + common)[seen] / (track.pixels(a=1) + extra)[seen]))
        occ.append(mean(common[seen] / (hidden + extra).clip(min=1)[seen]))
    return {"full": mean(full), "occ": mean(occ)}

"""TABE-51 (Hudson and Smith 2024; finlay-hudson/TABE, eval_tabe51.py)."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts, mean

HIDES = "occ falls for visible pixels that are not predicted, as if wrongly added behind others"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """A mean over all of an object's frames, then over objects (their videos have one each).

    Masks are subtracted with a sign and then taken as true where they are not 0, so P minus V is P xor V. occ is over
    the frames of which anything is hidden. Empty against empty is 0.
    """
    full, occ = [], []
    for track in (track for video in videos for track in video.tracks):
        full.append(mean(track.iou[track.known]))
        hidden = track.pixels(a=1, v=0)
        union = hidden + track.pixels(p=1, a=0) + track.pixels(p=0, v=1)
        frames = hidden > 0
        occ.append(mean(track.pixels(p=1, a=1, v=0)[frames] / union[frames]))
    return {"full": mean(full), "occ": mean(occ)}

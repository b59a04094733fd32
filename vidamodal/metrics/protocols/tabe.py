"""TABE-51's protocol (Hudson and Smith, 2024): eval_tabe51.py of finlay-hudson/TABE."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import VideoCounts

ID = "tabe"
HIDES = "occ falls for visible pixels that are not predicted, as if wrongly added behind others"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return means over all of an object's known frames, then over all objects (TABE-51 has one per video).

    full is the IoU of P and A, 0 if both are empty. occ is over the frames with at least one hidden pixel and compares
    A minus V with P minus V; as the original subtracts signed masks and takes everything but 0 for true, P minus V is
    in fact P xor V.
    """
    full, occ = [], []
    for track in (track for video in videos for track in video.tracks):
        full.append(mean(track.iou[track.known]))
        hidden = track.pixels(a=1, v=0)
        union = hidden + track.pixels(p=1, a=0) + track.pixels(p=0, v=1)
        frames = hidden > 0
        occ.append(mean(track.pixels(p=1, a=1, v=0)[frames] / union[frames]))
    return {"full": mean(full), "occ": mean(occ)}

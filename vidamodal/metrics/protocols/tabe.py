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
    in fact P xor V. ``any_occlusion`` (mIOUfo) is full over the frames with an occluded pixel, which TABE-51 annotates,
    and ``fully_occluded`` (mIOUffo) over the frames with nothing visible, also if the object has left the image.
    """
    parts: dict[str, list[float | None]] = {name: [] for name in ("full", "occ", "any_occlusion", "fully_occluded")}
    for track in (track for video in videos for track in video.tracks):
        hidden = track.pixels(a=1, v=0)
        union = hidden + track.pixels(p=1, a=0) + track.pixels(p=0, v=1)
        frames = hidden > 0
        parts["full"].append(mean(track.iou[track.known]))
        parts["occ"].append(mean(track.pixels(p=1, a=1, v=0)[frames] / union[frames]))
        parts["any_occlusion"].append(mean(track.iou[frames]))
        parts["fully_occluded"].append(mean(track.iou[track.known & ~track.visible]))
    return {name: mean(values) for name, values in parts.items()}

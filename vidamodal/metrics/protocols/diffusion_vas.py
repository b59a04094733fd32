"""Diffusion-VAS' protocol on masks (Chen et al., 2025; SAIL-VOS and MOVi)."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import VideoCounts

ID = "diffusion-vas"
HIDES = "total misses vanish from occ, and strips under 5 px with them; V is pasted in"

_LEAST_IOU = 1e-6


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return means over all object-frames, fully occluded ones included, with V pasted into P.

    full is the IoU of P and A. occ is the IoU of P minus V and A minus V, each eroded by 5 x 5 pixels; values below
    1e-6 are left out. The original always scores at 800 x 1280 pixels; here the size is that of the ground truth, so
    the erosion removes more of a smaller image.
    """
    full: list[float] = []
    occ: list[float] = []
    for track in (track for video in videos for track in video.tracks):
        present = track.present
        shared = track.pixels(a=1) - track.pixels(p=0, a=1, v=0)
        full.extend((shared / (track.pixels() - track.pixels(p=0, a=0, v=0)).clip(min=1))[present])
        predicted, true, both = track.eroded.T
        iou = both / (predicted + true - both).clip(min=1)
        occ.extend(iou[iou >= _LEAST_IOU])
    return {"full": mean(full), "occ": mean(occ)}

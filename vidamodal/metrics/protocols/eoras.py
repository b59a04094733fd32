"""EoRaS' protocol: test_movi.py of amazon-science/efficient-object-centric-representation-amodal-segmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import VideoCounts

ID = "eoras"
HIDES = "occ drops what is exactly right and counts unoccluded frames 0: perfect scores near 0"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return means over all visible object-frames.

    full is the IoU of P and A. occ is the IoU of P minus V and A minus V; values of exactly 1 are left out. As in the
    original, the IoU is computed in float32 with 1e-6 added to the denominator: up to a union of 31 pixels, a perfect
    prediction falls short of 1 and is kept.
    """
    full: list[float] = []
    occ: list[float] = []
    for track in (track for video in videos for track in video.tracks):
        visible = track.visible
        full.extend(_float32_iou(track.pixels(p=1, a=1), track.pixels() - track.pixels(p=0, a=0))[visible])
        union = track.pixels(v=0) - track.pixels(p=0, a=0, v=0)
        iou = _float32_iou(track.pixels(p=1, a=1, v=0), union)[visible]
        occ.extend(iou[iou != 1])
    return {"full": mean(full), "occ": mean(occ)}


def _float32_iou(shared: Int[np.ndarray, " t"], union: Int[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    return (shared.astype(np.float32) / (union.astype(np.float32) + np.float32(1e-6))).astype(float)

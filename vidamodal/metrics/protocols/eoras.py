"""EoRaS' test_movi.py (amazon-science/efficient-object-centric-representation-amodal-segmentation)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidamodal.metrics.counts import VideoCounts, mean

HIDES = "occ drops what is exactly right and counts unoccluded frames 0: perfect scores near 0"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """All visible object-frames weigh the same; occ leaves out those whose IoU is exactly 1.

    IoU is computed as theirs is, in 32 bits with 1e-6 under the fraction: up to a union of 31 px, the right answer
    falls short of 1 and stays in.
    """
    full: list[float] = []
    occ: list[float] = []
    for track in (track for video in videos for track in video.tracks):
        seen = track.seen
        full.extend(_iou(track.pixels(p=1, a=1), track.pixels() - track.pixels(p=0, a=0))[seen])
        hidden = _iou(track.pixels(p=1, a=1, v=0), track.pixels(v=0) - track.pixels(p=0, a=0, v=0))[seen]
        occ.extend(hidden[hidden != 1])
    return {"full": mean(full), "occ": mean(occ)}


def _iou(common: np.ndarray, union: np.ndarray) -> np.ndarray:
    iou = common.astype(np.float32) / (union.astype(np.float32) + np.float32(1e-6))
    return iou.astype(float)

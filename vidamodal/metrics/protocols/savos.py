"""SaVos' protocol on FISHBOWL.

Follows "metric1, in paper" of amazon-science/self-supervised-amodal-video-object-segmentation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import TrackCounts, VideoCounts

ID = "savos"
HIDES = "all but 10-70 % hidden; occ sees only other objects' pixels, empty against empty is 1"

_SMOOTHING = 1e-6


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return means over the objects of each frame, then over all frames of all videos.

    Only object-frames with 10 to 70 % hidden count. P is replaced by V wherever no other object is visible; full is the
    IoU of this P and A, occ the IoU of P and A where another object is visible. The original also selects fish when it
    builds its data set (no small ones, none after it was fully hidden); that is not part of the protocol.
    """
    full: dict[tuple[int, int], list[float]] = defaultdict(list)
    occ: dict[tuple[int, int], list[float]] = defaultdict(list)
    for number, video in enumerate(videos):
        for track in video.tracks:
            shared, extra = track.pixels(p=1, a=1, v=0, o=1), track.pixels(p=1, a=0, v=0, o=1)
            full_iou = _smoothed_iou(track.pixels(v=1) + shared, track.pixels(a=1) + extra)
            occ_iou = _smoothed_iou(shared, track.pixels(a=1, v=0, o=1) + extra)
            for t in np.flatnonzero(_counted_frames(track)):
                full[number, int(t)].append(float(full_iou[t]))
                occ[number, int(t)].append(float(occ_iou[t]))
    return {name: mean(mean(objects) for objects in frames.values()) for name, frames in (("full", full), ("occ", occ))}


def _counted_frames(track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """Return the frames with 10 to 70 % hidden, without the first and last frame of the original's padded sequences.

    An object's sequence begins where it first becomes visible, so its last frame is dropped only if it fills the whole
    video.
    """
    share = track.occluded_share
    counted = track.present & (share > 0.1) & (share < 0.7)
    first = int(track.visible.argmax())
    counted[first] = False
    if first == 0:
        counted[-1] = False
    return counted


def _smoothed_iou(shared: Int[np.ndarray, " t"], union: Int[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    return (shared + _SMOOTHING) / (union + _SMOOTHING)

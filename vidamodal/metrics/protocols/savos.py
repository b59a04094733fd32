"""SaVos on FISHBOWL: "metric1, in paper" of amazon-science/self-supervised-amodal-video-object-segmentation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from vidamodal.metrics.counts import TrackCounts, VideoCounts, mean

HIDES = "all but 10-70 % hidden; occ sees only other objects' pixels, empty against empty is 1"

_SMOOTH = 1e-6


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Mean over the objects of each frame of each video, then over these frames.

    P is replaced by V wherever no other object is visible; occ compares P and A where another one is. Their choice of
    fish when the data set was made (no small ones, none after it was fully hidden) is not part of the rule.
    """
    full: dict[tuple[int, int], list[float]] = defaultdict(list)
    occ: dict[tuple[int, int], list[float]] = defaultdict(list)
    for number, video in enumerate(videos):
        for track in video.tracks:
            common, extra = track.pixels(p=1, a=1, v=0, o=1), track.pixels(p=1, a=0, v=0, o=1)
            whole = _iou(track.pixels(v=1) + common, track.pixels(a=1) + extra)
            hidden = _iou(common, track.pixels(a=1, v=0, o=1) + extra)
            for t in np.flatnonzero(_kept(track)):
                full[number, int(t)].append(float(whole[t]))
                occ[number, int(t)].append(float(hidden[t]))
    return {name: mean(mean(objects) for objects in frames.values()) for name, frames in (("full", full), ("occ", occ))}


def _kept(track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """Frames between 10 and 70 % hidden, without the first and last of a sequence padded to the length of the video.

    An object's sequence begins where it is first seen, so its last frame goes only if it fills the whole video.
    """
    share = track.hidden_share
    kept = track.present & (share > 0.1) & (share < 0.7)
    first = int(track.seen.argmax())
    kept[first] = False
    if first == 0:
        kept[-1] = False
    return kept


def _iou(common: np.ndarray, union: np.ndarray) -> np.ndarray:
    return (common + _SMOOTH) / (union + _SMOOTH)

"""Clips with every field that tracks.json has."""

from __future__ import annotations

import numpy as np
from hypothesis.extra import numpy as npst

from vidamodal.types import ClipTracks, Hypothesis, Rle, Track, VideoInfo

BITS = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=40))


def clip_of(t: int = 3, n: int = 2, h: int = 9, w: int = 7, seed: int = 0) -> ClipTracks:
    """Return a clip with every field of the format."""
    random = np.random.default_rng(seed)
    tracks = []
    for number in range(n):
        amodal = random.random((t, h, w)) < 0.6
        visible = amodal & (random.random((t, h, w)) < 0.7)
        whole = tuple(map(Rle.encode, amodal))
        tracks.append(
            Track(
                id=number * 5,
                visible=(None, *map(Rle.encode, visible[1:])),
                amodal=(None, *whole[1:]),
                confidence=(None, *(round(float(c), 4) for c in random.random(t - 1))),
                hypotheses=(Hypothesis(0.625, whole), Hypothesis(0.25, whole)),
                label="mug" if number else None,
            )
        )
    video = VideoInfo("clip.mp4", h, w, t, 12.5)
    order = (((0, 5),), ()) + ((),) * (t - 2) if n > 1 else None
    return ClipTracks(video, tuple(tracks), True, order, {"model": "tiny", "seed": 3})

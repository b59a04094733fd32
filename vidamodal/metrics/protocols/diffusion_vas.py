"""Diffusion-VAS on masks (Chen et al. 2025, SAIL-VOS and MOVi)."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts, mean

HIDES = "total misses vanish from occ, and strips under 5 px with them; V is pasted in"

_LEAST_IOU = 1e-6


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """All object-frames weigh the same, also those with nothing visible; V is pasted into P.

    occ compares P minus V and A minus V, each eroded by 5 x 5 pixels, and leaves out IoUs below 1e-6. They score at
    800 x 1280 pixels whatever the input's size; here it is the size of the truth, of which erosion takes the more, the
    smaller it is.
    """
    full: list[float] = []
    occ: list[float] = []
    for track in (track for video in videos for track in video.tracks):
        present = track.present
        common = track.pixels(a=1) - track.pixels(p=0, a=1, v=0)
        full.extend((common / (track.pixels() - track.pixels(p=0, a=0, v=0)).clip(min=1))[present])
        predicted, true, both = track.eroded.T
        hidden = both / (predicted + true - both).clip(min=1)
        occ.extend(hidden[hidden >= _LEAST_IOU])
    return {"full": mean(full), "occ": mean(occ)}

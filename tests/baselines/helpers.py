"""Small clips with visible masks."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

seeds = st.integers(0, 2**32 - 1)


def clip_of(visible: dict[int, list[np.ndarray | None]], exhaustive: bool = True) -> ClipTracks:
    frames = len(next(iter(visible.values())))
    height, width = next(m for masks in visible.values() for m in masks if m is not None).shape
    tracks = tuple(
        Track(number, tuple(None if m is None else Rle.encode(m) for m in masks), label="thing")
        for number, masks in visible.items()
    )
    return ClipTracks(VideoInfo("video.mp4", height, width, frames, 12.0), tracks, exhaustive)


def picture(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])

"""Instances of toy frames, and their association by the tracker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidamodal.inference.runtime import Timings
from vidamodal.inference.track_builder import build_tracks
from vidamodal.inference.tracker import Tracker, TrackerConfig
from vidamodal.types import ClipTracks, FrameInstance, VideoInfo

SIZE = 64


def disc(x: float, y: float, radius: float = 6) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def box(left: int, right: int, top: int = 0, bottom: int = SIZE) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def detections(*masks: np.ndarray, appearances: Sequence[object] = (), score: float = 0.9) -> list[FrameInstance]:
    """Return the instances of a frame, those in front first; objects that are not visible are not detected."""
    front, out = np.zeros((SIZE, SIZE), dtype=bool), []
    for k, mask in enumerate(masks):
        appearance = (
            np.asarray(appearances[k], dtype=float) if k < len(appearances) and appearances[k] is not None else None
        )
        if (mask & ~front).any():
            out.append(FrameInstance(mask & ~front, mask, k + 1, None, score, appearance))
        front = front | mask
    return out


def track_ids(frames: Sequence[Sequence[FrameInstance]], **rules: float) -> list[list[int | None]]:
    tracker = Tracker(TrackerConfig(**rules))  # type: ignore[arg-type]
    return [tracker.update(t, instances) for t, instances in enumerate(frames)]


def tracks_of(frames: Sequence[Sequence[FrameInstance]], **rules: float) -> ClipTracks:
    video = VideoInfo("v.mp4", SIZE, SIZE, len(frames), 12.0)
    return build_tracks(video, frames, TrackerConfig(**rules), Timings())  # type: ignore[arg-type]

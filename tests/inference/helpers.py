"""Toy clips of discs and bars, and the properties that every prediction has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vidamodal.inference.predictor import Predictor
from vidamodal.models.folder import Model
from vidamodal.tracks import dumps_tracks, loads_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

H, W = 48, 64


Masks = Sequence[np.ndarray | None]


def disc(x: float, y: float, radius: float, height: int = H, width: int = W) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def bar(x: float, height: int = H, width: int = W) -> np.ndarray:
    return np.tile(np.abs(np.arange(width) + 0.5 - x) < 4, (height, 1))


def clip_of(tracks: Mapping[int, Masks], exhaustive: bool = False, height: int = H, width: int = W) -> ClipTracks:
    frames = len(next(iter(tracks.values())))
    return ClipTracks(
        VideoInfo("toy.mp4", height, width, frames, 12.0),
        tuple(Track(k, tuple(None if m is None else Rle.encode(m) for m in v)) for k, v in tracks.items()),
        exhaustive,
    )


def chunk_starts(model: Model, frames: int) -> list[int]:
    return [chunk.start for chunk in Predictor(model)._chunks(frames)]


def behind_a_bar(frames: int, drift: float = 0.25, exhaustive: bool = False) -> ClipTracks:
    """A disc that moves slowly behind a bar that stands still."""
    return clip_of(
        {
            1: [disc(24 + drift * t, 24, 12) & ~bar(34) for t in range(frames)],
            2: [bar(34) for _ in range(frames)],
        },
        exhaustive,
    )


def check_prediction(clip: ClipTracks, result: ClipTracks) -> None:
    """Check the properties that every prediction has."""
    assert loads_tracks(dumps_tracks(result), "result").video == clip.video  # the format's own rules hold
    assert result.exhaustive == clip.exhaustive and len(result.order or ()) == clip.video.frames
    assert [(t.id, t.visible, t.label) for t in result.tracks] == [(t.id, t.visible, t.label) for t in clip.tracks]
    for track in result.tracks:
        assert track.amodal is not None and track.confidence is not None
        first, last = track.span if track.span is not None and track.ever_visible else (0, 0)
        for t, (amodal, confidence) in enumerate(zip(track.amodal, track.confidence, strict=True)):
            assert (amodal is not None) == (confidence is not None) == (first <= t < last)
    if clip.exhaustive:
        for t in range(clip.video.frames):
            _check_exhaustive(result, t)


def _check_exhaustive(result: ClipTracks, frame: int) -> None:
    shown = {k.id: mask.decode() for k in result.tracks if (mask := k.visible[frame]) is not None}
    for track in result.tracks:
        for masks in [track.amodal, *(h.amodal for h in track.hypotheses)]:
            assert masks is not None
            if (amodal := masks[frame]) is not None and track.id in shown:
                others = np.any([m for k, m in shown.items() if k != track.id] or [np.zeros((1, 1), bool)], axis=0)
                assert not (amodal.decode() & ~shown[track.id] & ~others).any()

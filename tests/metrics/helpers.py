"""Toy tracks, random objects and comparisons of scores, shared by the tests of the metrics."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.primary import MEASURES, PrimaryScores, score_video
from vidamodal.metrics.protocols import ProtocolScores, score_protocols
from vidamodal.tracks import dumps_tracks, write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

Masks = Sequence[np.ndarray | None]
Object = tuple[Masks, Masks, Masks]
"""Prediction, true amodal masks and true visible masks of one object: a (h, w) mask, or None, for each frame."""

seeds = st.integers(0, 2**32 - 1)


def rles(masks: Masks) -> tuple[Rle | None, ...]:
    return tuple(None if mask is None else Rle.encode(mask) for mask in masks)


def clip_of(tracks: Sequence[Track], frames: int, height: int, width: int) -> ClipTracks:
    return ClipTracks(VideoInfo("video.mp4", height, width, frames, 12.0), tuple(tracks))


def pair(objects: Sequence[Object]) -> tuple[ClipTracks, ClipTracks]:
    """Return prediction and ground truth of objects with ids 0, 1, ..."""
    frames = len(objects[0][1])
    height, width = next(m for _, a, v in objects for m in (*a, *v) if m is not None).shape
    predicted = [Track(i, rles(v), rles(p)) for i, (p, _, v) in enumerate(objects)]
    true = [Track(i, rles(v), rles(a)) for i, (_, a, v) in enumerate(objects)]
    return clip_of(predicted, frames, height, width), clip_of(true, frames, height, width)


def count(objects: Sequence[Object], key: str = "clip") -> VideoCounts:
    return count_video(key, *pair(objects))


def count_behind(objects: Sequence[Object], occluder: Masks = (), key: str = "clip") -> VideoCounts:
    """Count objects in a scene with one more object, which is visible but not scored."""
    prediction, truth = pair(objects)
    others = (Track(9, rles(occluder)),) if len(occluder) else ()
    return count_video(key, prediction, replace(truth, tracks=truth.tracks + others))


def score(objects: Sequence[Object]) -> PrimaryScores:
    return score_video(count(objects))


def columns(first: int, last: int, height: int = 16, width: int = 32) -> np.ndarray:
    """Return a mask of columns first to last - 1: 16 pixels each in 16 rows, worth 256 at the reference height."""
    mask = np.zeros((height, width), dtype=bool)
    mask[:, first:last] = True
    return mask


WHOLE, NOTHING = columns(0, 16), columns(0, 0)
EIGHTHS = [0, 0, 6, 4, 8, 4, 2, 2, 0, 0]
"""Hidden eighths of the toy track in each frame: 9 visible frames, 4 of them unoccluded, and 1 fully occluded one."""
VISIBLE = [columns(0, 16 - 2 * n) for n in EIGHTHS]
OCCLUDER = [columns(16 - 2 * n, 16) for n in EIGHTHS]
TOY: dict[str, Masks] = {
    "perfect": [WHOLE] * 10,
    "copy": VISIBLE,
    "half": [columns(0, 16 - n) for n in EIGHTHS],
    "misses two": [v if t in (2, 3) else WHOLE for t, v in enumerate(VISIBLE)],
}
"""Predictions of the toy track."""


def toy_clip(masks: Masks = TOY["perfect"], number: int = 4) -> ClipTracks:
    """Return a clip with the toy track, with these amodal masks united with the visible ones."""
    united = [None if m is None else m | v for m, v in zip(masks, VISIBLE, strict=True)]
    return clip_of([Track(number, rles(VISIBLE), rles(united))], 10, 16, 32)


def written(folder: Path, masks: Mapping[str, Masks]) -> Path:
    """Write a folder of toy clips by key."""
    for key, each in masks.items():
        write_tracks(folder / f"{key}.tracks.json", toy_clip(each))
    return folder


def write_shard(path: Path, clips: dict[str, ClipTracks], **others: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in {
            **others,
            **{f"{key}.tracks.json": dumps_tracks(clip) for key, clip in clips.items()},
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def random_objects(seed: int) -> list[Object]:
    """Return boxes and noise in a small image, with empty, tiny, hidden, unoccluded and unknown frames."""
    rng = np.random.default_rng(seed)
    height, width, frames = (int(n) for n in rng.integers([8, 5, 1], [40, 30, 7]))

    def box() -> np.ndarray:
        mask = np.zeros((height, width), dtype=bool)
        top, left = rng.integers(height), rng.integers(width)
        mask[top : top + rng.integers(1, height), left : left + rng.integers(1, width)] = True
        return mask & (rng.random(mask.shape) < rng.choice([0.7, 1.0]))

    def frame() -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
        amodal = box()
        visible = amodal & rng.choice([True, False, True]) if rng.random() < 0.5 else amodal & ~box()
        predicted = amodal.copy() if rng.random() < 0.2 else box() | visible
        known = rng.random(3) < [0.85, 0.9, 0.9]
        p, a, v = (m if k else None for m, k in zip((predicted, amodal, visible), known, strict=True))
        return p, a, v

    objects = []
    for _ in range(rng.integers(1, 4)):
        p, a, v = zip(*(frame() for _ in range(frames)), strict=True)
        objects.append((p, a, v))
    objects.append(([None] * frames, [np.ones((height, width), dtype=bool)] * frames, [box()] * frames))
    return objects


def numbers(scores: PrimaryScores) -> dict[str, float | None]:
    return {name: getattr(scores, name) for name in MEASURES}


def everything(objects: Sequence[Object]) -> tuple[PrimaryScores, dict[str, ProtocolScores]]:
    counts = count(objects)
    return score_video(counts), score_protocols([counts])


def close(first: object, second: object) -> bool:
    """Return True if two values are equal but for rounding, through dataclasses and mappings."""
    if is_dataclass(first) and is_dataclass(second):
        return close(vars(first), vars(second))
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(close(first[key], second[key]) for key in first)
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(close, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return first == pytest.approx(second, abs=1e-9)
    return first == second

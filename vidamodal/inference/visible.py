"""From a bare video to tracks: a segmenter finds the objects of each frame, which are joined over time.

Frames are read a few at a time and brought to the segmenter's canvas; what stays is run lengths and, of each living
track, the mask it was last seen with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import center_of_mass, shift
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from vidamodal.geometry import Cropper, Window, paste
from vidamodal.heads.base import FrameInstance, FrameSegmenter
from vidamodal.inference.order import overlapping
from vidamodal.inference.predictor import Pictures, Timings, pick_device, pick_precision
from vidamodal.media.video import Frame
from vidamodal.types import ClipTracks, FrameOrder, InputError, Rle, Track, VideoInfo

TOGETHER = 16
"""Frames that are held in memory at once."""

Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Association:
    """When instances of different frames are one object."""

    overlap: float = 0.3
    """Least IoU of an instance's amodal mask with the one a track was last seen with, moved on as it moved before."""
    patience: int = 8
    """Frames after which a track that is not seen ends; until then it may be found again."""
    inertia: float = 0.5
    """Share of its last movement that a track keeps in the mean with the new one."""
    least: int = 2
    """Tracks seen in fewer frames are left out, unless the video is shorter."""


@dataclass
class _Living:
    """A track that may go on: when and where it was last seen, and how it moved (rows and columns a frame)."""

    id: int
    frame: int
    mask: Bool[np.ndarray, "s s"]
    speed: Float[np.ndarray, " 2"] = field(default_factory=lambda: np.zeros(2))

    def expected(self, frame: int) -> Bool[np.ndarray, "s s"]:
        """Its mask in a later frame."""
        step = np.rint(self.speed * (frame - self.frame))
        return moved(self.mask, step) if step.any() else self.mask


@dataclass
class Tracker:
    """Gives the instances of one frame after the other the ids of their tracks, by the overlap of amodal masks.

    Pairs are chosen so that the sum of IoU is the greatest. An instance that no living track overlaps enough begins a
    new one.
    """

    rules: Association = field(default_factory=Association)
    _living: list[_Living] = field(default_factory=list)
    _next: int = 1

    def follow(self, frame: int, masks: Sequence[Bool[np.ndarray, "s s"]]) -> list[int]:
        """The ids of a frame's instances, given by their amodal masks."""
        self._living = [track for track in self._living if frame - track.frame <= self.rules.patience]
        overlap = np.array([[_iou(mask, track.expected(frame)) for track in self._living] for mask in masks])
        overlap = overlap.reshape(len(masks), len(self._living))
        overlap[overlap < self.rules.overlap] = 0
        found = {k: self._living[j] for k, j in zip(*linear_sum_assignment(-overlap), strict=True) if overlap[k, j]}
        ids = []
        for k, mask in enumerate(masks):
            track = found.get(k)
            if track is None:
                track = _Living(self._next, frame, mask)
                self._living.append(track)
                self._next += 1
            else:
                step = np.subtract(center_of_mass(mask), center_of_mass(track.mask)) / (frame - track.frame)
                track.speed = self.rules.inertia * track.speed + (1 - self.rules.inertia) * step
                track.frame, track.mask = frame, mask
            ids.append(track.id)
        return ids


@dataclass(frozen=True)
class _Sighting:
    """An instance at the size of the video."""

    visible: Rle
    amodal: Rle
    score: float


class VisibleFinder:
    """A segmenter on a device, for whole videos."""

    def __init__(
        self, segmenter: FrameSegmenter, device: str = "auto", seed: int = 0, rules: Association | None = None
    ) -> None:
        if seed < 0:
            raise InputError(f"the seed must be at least 0, not {seed}")
        self.device = pick_device(device)
        self.precision = pick_precision(self.device)
        self.segmenter = segmenter.to(self.device).eval()
        self.seed, self.rules = seed, rules or Association()
        self.timings = Timings()

    def find(self, video: VideoInfo, pictures: Pictures, quiet: bool = True) -> ClipTracks:
        """Tracks with visible and amodal masks and the order of every frame.

        Where a track is not seen between two sightings, its visible mask is not known, and its amodal mask moves from
        the one to the other, behind everything.
        """
        tracker, seen = Tracker(self.rules), {}  # type: ignore[var-annotated]
        ranks: list[list[int]] = []
        bar = tqdm(total=video.frames, desc="segment", unit="frame", disable=quiet)
        for t, instances in enumerate(self._instances(pictures)):
            began = time.perf_counter()
            ids = tracker.follow(t, [instance.amodal for instance in instances])
            for key, sighting in zip(ids, _enlarged(instances, video.height, video.width), strict=True):
                if sighting is not None:
                    seen.setdefault(key, {})[t] = sighting
            ranks.append(ids)
            self.timings.add("join", began)
            bar.update()
        bar.close()
        least = min(self.rules.least, video.frames)
        tracks = [_track(key, at, video) for key, at in seen.items() if len(at) >= least]
        self.timings.object_frames += sum(m is not None for track in tracks for m in track.amodal or ())
        order = tuple(_order(tracks, t, found) for t, found in enumerate(ranks))
        return ClipTracks(video, tuple(tracks), exhaustive=False, order=order)

    def _instances(self, pictures: Pictures) -> Iterator[list[FrameInstance]]:
        """Of each frame, those in front first."""
        frames = pictures()
        if frames is None:
            raise InputError("a segmenter reads pictures, and there are none: give the video")
        first, shared = 0, getattr(self.segmenter.config, "noise", "clip") == "clip"
        while batch := list(islice(frames, TOGETHER)):
            began = time.perf_counter()
            canvas = torch.from_numpy(np.stack([on_canvas(frame, self.segmenter.size) for frame in batch]))
            seeds = [
                int(np.random.SeedSequence([self.seed, 0 if shared else 1 + first + k]).generate_state(1)[0])
                for k in range(len(batch))
            ]
            with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                found = self.segmenter.segment(canvas.float().to(self.device), seeds)
            self.timings.add("model", began)
            yield from found
            first += len(batch)


def on_canvas(frame: Frame, size: int) -> Float[np.ndarray, "3 s s"]:
    """A frame's colours in [0, 1] on a square canvas that holds all of it, black beside it."""
    height, width = frame.shape[:2]
    return Cropper.at(Window.around(height, width), size, height, width).cut_image(frame)


def moved(mask: Bool[np.ndarray, "h w"], step: Float[np.ndarray, " 2"]) -> Bool[np.ndarray, "h w"]:
    """A mask moved by whole rows and columns."""
    return np.asarray(shift(mask.astype(np.uint8), step, order=0, prefilter=False) > 0)


def _enlarged(instances: Sequence[FrameInstance], height: int, width: int) -> list[_Sighting | None]:
    """Instances at the size of the video; None where nothing is left. Those in front come first, and visible is what
    none of them has."""
    front, out = np.zeros((height, width), dtype=bool), []
    for instance in instances:
        rows, columns, values = paste(2.0 * instance.amodal - 1, Window.around(height, width), height, width)
        amodal = np.zeros((height, width), dtype=bool)
        amodal[rows, columns] = values > 0
        visible = amodal & ~front
        front |= amodal
        out.append(_Sighting(Rle.encode(visible), Rle.encode(amodal), instance.score) if visible.any() else None)
    return out


def _track(key: int, at: dict[int, _Sighting], video: VideoInfo) -> Track:
    """One object, with the gaps between its sightings filled."""
    visible: list[Rle | None] = [None] * video.frames
    amodal: list[Rle | None] = [None] * video.frames
    confidence: list[float | None] = [None] * video.frames
    for t, sighting in at.items():
        visible[t], amodal[t], confidence[t] = sighting.visible, sighting.amodal, sighting.score
    times = sorted(at)
    for before, after in zip(times, times[1:], strict=False):
        if after - before == 1:
            continue
        mask, end = at[before].amodal.decode(), at[after].amodal.decode()
        way = np.subtract(center_of_mass(end), center_of_mass(mask))
        for t in range(before + 1, after):
            there = moved(mask, np.rint(way * (t - before) / (after - before)))
            amodal[t], confidence[t] = Rle.encode(there), min(at[before].score, at[after].score)
    return Track(key, tuple(visible), tuple(amodal), tuple(confidence))


def _order(tracks: Sequence[Track], t: int, found: Sequence[int]) -> FrameOrder:
    """Pairs (front, back) that overlap, by the layers they were found in; what was not found lies behind."""
    rank = {key: place for place, key in enumerate(found)}
    amodal = {k.id: mask.decode() for k in tracks if k.amodal is not None and (mask := k.amodal[t]) is not None}
    pairs = ((pair.one, pair.other) for pair in overlapping(amodal))
    return tuple((a, b) if rank.get(a, len(rank)) <= rank.get(b, len(rank)) else (b, a) for a, b in pairs)


def _iou(one: Mask, other: Mask) -> float:
    return float(np.count_nonzero(one & other) / max(int(np.count_nonzero(one | other)), 1))

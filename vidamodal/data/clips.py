"""Training samples of tracks in their windows; each one depends on the seed and its index alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8, UInt16
from torch import Tensor
from torch.utils.data import Dataset

from vidamodal.data.augment import AugmentConfig, DegradedMasks, degrade
from vidamodal.data.banks import Bank
from vidamodal.data.crops import (
    FrameCrops,
    FrameMap,
    TrackCrops,
    box_numbers,
    boxes_and_areas,
    cut_frame,
    stack_crops,
)
from vidamodal.data.first_pass import simulate_first_boxes, simulate_first_order
from vidamodal.geometry import Cropper, Windows
from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.windows import View, follow_scene, lay_windows
from vidamodal.worlds.sample import ClipMasks, WorldConfig

MAPS = ("visible", "others", "edges", "inside", "background", "order", "image")
"""Fields of `TrackCrops` that have rows and columns."""


@dataclass(frozen=True)
class ClipConfig:
    """How many tracks and frames a training sample shows. Frames are random and sorted; inference runs on all."""

    tracks: int = 8
    frames: int = 8
    whole: float = 0.15
    """Share of steps with whole clips of proportionally fewer tracks, which train windows of the attention and roll."""
    second: float = 0.7
    """Share of samples with the inputs of a second pass: windows laid around a first completion."""
    world: WorldConfig = field(default_factory=WorldConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class TrainingBatch:
    """Crops of b tracks over t frames with their ground truth."""

    crops: TrackCrops
    amodal: Float[Tensor, "b t s s"]
    """True amodal masks in the same windows."""
    counted: Float[Tensor, "b t"]
    """1 for object-frames that are known and large enough to learn from, else 0."""

    @property
    def size(self) -> int:
        """Number of object-frames."""
        return self.counted.numel()

    def to(self, device: torch.device | str) -> TrainingBatch:
        """Return the batch on another device."""
        return TrainingBatch(self.crops.to(device), self.amodal.to(device), self.counted.to(device))

    @staticmethod
    def join(parts: list[TrainingBatch]) -> TrainingBatch:
        """Concatenate the tracks of several samples."""
        crops = TrackCrops(*(torch.cat([getattr(p.crops, f.name) for p in parts]) for f in fields(TrackCrops)))
        return TrainingBatch(crops, torch.cat([p.amodal for p in parts]), torch.cat([p.counted for p in parts]))


class TrainingClips(Dataset[TrainingBatch]):
    """Samples of a bank, ``clips`` of them per step. Sample k depends on (seed, k) alone.

    Args:
        bank: Source of the clips.
        seed: Seed of all samples.
        clips: Samples per step.
        last: Number of samples.
        config: Tracks, frames and augmentation of a sample.
        view: Windows and inputs of the model.
    """

    def __init__(self, bank: Bank, seed: int, clips: int, last: int, config: ClipConfig, view: View) -> None:
        self.bank, self.seed, self.clips, self.last = bank, seed, clips, last
        self.config, self.view = config, view

    def __len__(self) -> int:
        return self.last

    def __getitem__(self, index: int) -> TrainingBatch:
        config = self._config_of_step(index // self.clips)
        rng = np.random.default_rng([self.seed, 1, index])
        while True:  # a clip may show no object that is large enough
            clip = self.bank.sample(rng, config.world)
            sample = sample_tracks(clip, rng, config, self.view)
            if sample is not None:
                return sample

    def _config_of_step(self, step: int) -> ClipConfig:
        """All samples of a step have the same number of tracks and frames."""
        config, whole = self.config, self.config.world.frames
        if np.random.default_rng([self.seed, 0, step]).random() >= config.whole:
            return config
        return replace(config, tracks=max(1, config.tracks * config.frames // whole), frames=whole)


def sample_tracks(clip: ClipMasks, rng: np.random.Generator, config: ClipConfig, view: View) -> TrainingBatch | None:
    """Sample some tracks of a clip at some of its frames.

    Returns:
        The sample, or None if no object of the clip ever shows enough pixels to count.
    """
    scene = _AugmentedClip.sample(clip, rng, config, view)
    usable = scene.usable_tracks()
    if not len(usable):
        return None
    scene = scene.second_pass(rng, config, view)
    frame_maps = scene.frame_maps(view.pixels)
    chosen = scene.choose_tracks(usable, config.tracks, rng)
    reverse, mirror = rng.random() < config.augment.reverse, rng.random() < config.augment.mirror
    samples = []
    for track in chosen.tolist():
        picked = _choose_frames(scene.areas[track], config.frames, rng)
        window = _jittered(scene.windows, track, rng, config.augment.jitter)
        samples.append(_cut_track(scene, frame_maps, track, picked, window, view.cells))
    return _transformed(_stack(samples), reverse, mirror)


@dataclass(frozen=True)
class _AugmentedClip:
    """A clip with degraded visible masks, and the windows and order that a model would see it with."""

    clip: ClipMasks
    degraded: DegradedMasks
    annotated: Bool[np.ndarray, "n t"]
    """Object-frames with ground truth."""
    partial: bool
    areas: Float[np.ndarray, "n t"]
    """Areas of the degraded visible masks in pixels."""
    true_areas: Int[np.ndarray, "n t"]
    """Areas of the amodal masks in pixels."""
    windows: Windows
    front: Float[np.ndarray, "t n n"] | None = None
    """Confidence that objects lie in front of each other; None if unknown."""

    @staticmethod
    def sample(clip: ClipMasks, rng: np.random.Generator, config: ClipConfig, view: View) -> _AugmentedClip:
        """Degrade the visible masks and lay the windows of a first pass."""
        partial = rng.random() < config.augment.partial or not clip.exhaustive
        degraded = degrade(clip.visible, config.augment.sample_degradation(rng, partial), rng)
        annotated = np.ones(clip.visible.shape[:2], dtype=bool) if clip.known is None else clip.known
        height, width = clip.visible.shape[2:]
        boxes, areas = boxes_and_areas(degraded.visible)
        windows = lay_windows(boxes, areas, height, width, view.windows)
        true_areas = np.count_nonzero(clip.amodal, axis=(2, 3))
        return _AugmentedClip(clip, degraded, annotated, bool(partial), areas, true_areas, windows)

    def second_pass(self, rng: np.random.Generator, config: ClipConfig, view: View) -> _AugmentedClip:
        """With the probability in the config, replace windows and order by those of a second pass."""
        if view.windows.passes != 2 or rng.random() >= config.second:
            return self
        first = simulate_first_boxes(self.clip, self.windows, self.areas, self.true_areas, rng)
        windows = follow_scene(self.windows, *first, view.windows)
        return replace(self, windows=windows, front=simulate_first_order(self.clip, rng) if view.order else None)

    @property
    def least_area(self) -> float:
        """Smallest amodal area in pixels of an object-frame that counts."""
        return least_counted_area(*self.clip.visible.shape[2:])

    @property
    def known(self) -> Bool[np.ndarray, "n t"]:
        """Object-frames with a known visible mask."""
        return np.asarray(self.degraded.known & self.annotated)

    @property
    def exhaustive(self) -> Bool[np.ndarray, " t"]:
        """Frames in which pixels outside all visible masks certainly show no object."""
        # A known object without a mask in this frame may still be visible there.
        return np.asarray((self.known | ~self.areas.any(axis=1, keepdims=True)).all(axis=0) & (not self.partial))

    @property
    def labels(self) -> UInt16[np.ndarray, "t h w"]:
        """Number of the listed object that each pixel shows, from 1; 0 for none."""
        labels = np.zeros(self.clip.visible.shape[1:], dtype=np.uint16)
        for k in np.flatnonzero(self.degraded.listed):
            labels += self.degraded.visible[k] * np.uint16(k + 1)
        return labels

    def images(self) -> UInt8[np.ndarray, "t h w 3"]:
        """Return the images; black if the clip has only masks, which the model treats as no image."""
        if self.clip.image is not None:
            return self.clip.image
        return np.zeros((*self.clip.visible.shape[1:], 3), dtype=np.uint8)

    def frame_maps(self, pixels: bool) -> list[FrameMap]:
        """Return what the listed objects show in each frame."""
        labels = self.labels
        images = self.images() if pixels else [None] * len(labels)
        return [FrameMap.from_labels(frame, image) for frame, image in zip(labels, images, strict=True)]

    def usable_tracks(self) -> Int[np.ndarray, " k"]:
        """Return the objects that are large enough in some frame."""
        return np.flatnonzero((self.areas >= self.least_area).any(axis=1))

    def choose_tracks(
        self, usable: Int[np.ndarray, " k"], count: int, rng: np.random.Generator
    ) -> Int[np.ndarray, " b"]:
        """Choose objects at random; occluded ones are more likely, because they teach most."""
        hidden = 1 - self.areas[usable].sum(axis=1) / np.maximum(self.true_areas[usable].sum(axis=1), 1)
        weights = 0.3 + np.maximum(hidden, 0)
        return rng.choice(usable, count, replace=len(usable) < count, p=weights / weights.sum())


@dataclass(frozen=True)
class _TrackSample:
    """One track in its window: inputs and ground truth at the chosen frames."""

    crops: Sequence[FrameCrops]
    known: Bool[np.ndarray, " t"]
    box: Float[np.ndarray, "t n"]
    time: Float[np.ndarray, " t"]
    amodal: Float[np.ndarray, "t s s"]
    counted: Bool[np.ndarray, " t"]


def _choose_frames(areas: Float[np.ndarray, " t"], count: int, rng: np.random.Generator) -> Int[np.ndarray, " f"]:
    """Choose random frames in order, such that the object is visible in at least one of them."""
    picked = np.sort(rng.permutation(len(areas))[:count])
    if not areas[picked].any():
        picked[rng.integers(len(picked))] = rng.choice(np.flatnonzero(areas))
        picked = np.sort(picked)
    return picked


def _cut_track(
    scene: _AugmentedClip,
    frame_maps: Sequence[FrameMap],
    track: int,
    picked: Int[np.ndarray, " f"],
    window: Windows,
    cells: int,
) -> _TrackSample:
    """Cut one track out of the chosen frames."""
    frames, height, width = scene.clip.visible.shape[1:]
    exhaustive, known = scene.exhaustive, scene.known[track]
    crops, amodal = [], []
    for t in picked.tolist():
        cropper = Cropper.at(window.at(0, t), cells, height, width)
        visible, frame = scene.degraded.visible[track, t], frame_maps[t]
        if not scene.degraded.listed[track]:  # the object itself is always part of its own input
            frame = FrameMap.from_labels(np.where(visible, np.uint16(track + 1), frame.labels), frame.image)
        front = None if scene.front is None else np.append(np.float32(0), scene.front[t, track])
        crops.append(cut_frame(cropper, visible if known[t] else None, frame, bool(exhaustive[t]), front))
        amodal.append(cropper.cut(scene.clip.amodal[track, t]))
    numbers = box_numbers(window, scene.areas[track : track + 1], height, width, not scene.partial)
    counted = scene.annotated[track, picked] & (scene.true_areas[track, picked] >= scene.least_area)
    return _TrackSample(crops, known[picked], numbers[0, picked], picked - (frames - 1) / 2, np.stack(amodal), counted)


def _stack(samples: Sequence[_TrackSample]) -> TrainingBatch:
    crops = stack_crops(
        [sample.crops for sample in samples],
        *(np.stack([getattr(sample, name) for sample in samples]) for name in ("known", "box", "time")),
    )
    amodal, counted = (np.stack([getattr(sample, name) for sample in samples]) for name in ("amodal", "counted"))
    return TrainingBatch(crops, torch.from_numpy(amodal).float(), torch.from_numpy(counted).float())


def _jittered(windows: Windows, track: int, rng: np.random.Generator, amount: float) -> Windows:
    """Move and scale the window of one track by a little, equally in all frames."""
    side = windows.side[track : track + 1] * np.exp(rng.normal(0, amount))
    shift = rng.normal(0, amount, 2) * side
    shown = None if windows.shown is None else windows.shown[track : track + 1]
    return Windows(windows.center[track : track + 1] + shift, side, shown)


def _transformed(batch: TrainingBatch, reverse: bool, mirror: bool) -> TrainingBatch:
    """Reverse the time and mirror the images of a batch."""
    crops, amodal, counted = batch.crops, batch.amodal, batch.counted
    box = crops.box.clone()
    if mirror:
        box[..., [0, 3]] *= -1
        maps = {n: getattr(crops, n).flip(-1) for n in MAPS}
        crops, amodal = replace(crops, **maps), amodal.flip(-1)
    if reverse:
        box[..., 3:5] *= -1
        crops = TrackCrops(*(getattr(crops, f.name).flip(1) for f in fields(TrackCrops)))
        crops = replace(crops, time=-crops.time)
        box, amodal, counted = box.flip(1), amodal.flip(1), counted.flip(1)
    return TrainingBatch(replace(crops, box=box), amodal, counted)

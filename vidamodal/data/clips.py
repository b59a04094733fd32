"""Training samples of tracks in their windows; each one depends on the seed and its index alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from vidamodal.data.augment import AugmentConfig
from vidamodal.data.augmented_clip import AugmentedClip
from vidamodal.data.banks import Bank
from vidamodal.data.crops import (
    VELOCITY,
    FrameCrops,
    FrameMap,
    TrackCrops,
    box_numbers,
    cut_frame,
    mirrored,
    stack_crops,
)
from vidamodal.data.first_pass import simulate_first_order
from vidamodal.geometry import Cropper, Windows
from vidamodal.runs import LabelRuns, Runs
from vidamodal.types import InputError
from vidamodal.windows import View
from vidamodal.worlds.sample import ClipMasks, WorldConfig

TARGETS = ("amodal", "counted", "present", "annotated")
"""Fields of `TrainingBatch` beside its crops."""
MOST_TRIES = 1000
"""Most clips that are sampled to get one that shows a large enough object."""


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
    present: Float[Tensor, "b t"]
    """1 if any amodal pixel lies inside the image, else 0."""
    annotated: Float[Tensor, "b t"]
    """1 where the ground truth is known, else 0."""

    @property
    def size(self) -> int:
        """Number of object-frames."""
        return self.counted.numel()

    @property
    def absent(self) -> Float[Tensor, "b t"]:
        """1 where nothing of the object is inside the image, certainly, else 0."""
        return self.annotated * (1 - self.present)

    @staticmethod
    def join(parts: list[TrainingBatch]) -> TrainingBatch:
        """Concatenate the tracks of several samples."""
        crops = TrackCrops(*(torch.cat([getattr(p.crops, f.name) for p in parts]) for f in fields(TrackCrops)))
        return TrainingBatch(crops, *(torch.cat([getattr(p, name) for p in parts]) for name in TARGETS))


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
        for _ in range(MOST_TRIES):  # a clip may show no object that is large enough
            clip = self.bank.sample(rng, config.world)
            sample = sample_tracks(clip, rng, config, self.view)
            if sample is not None:
                return sample
        raise InputError(
            f"worlds: none of {MOST_TRIES} sampled clips shows an object that is large enough to learn from. Leave out "
            "data sets of small objects, or choose others."
        )

    def _config_of_step(self, step: int) -> ClipConfig:
        """All samples of a step have the same number of tracks and frames."""
        config, whole = self.config, self.config.world.frames
        if np.random.default_rng([self.seed, 0, step]).random() >= config.whole:
            return config
        return replace(config, tracks=max(1, config.tracks * config.frames // whole), frames=whole)


def sample_tracks(clip: ClipMasks, rng: np.random.Generator, config: ClipConfig, view: View) -> TrainingBatch | None:
    """Sample some tracks of a clip at some of its frames.

    Returns:
        The sample, or None if no object of the clip that is not scenery ever shows enough pixels to count.
    """
    scene = AugmentedClip.sample(clip, rng, config.augment, view)
    usable = scene.usable_tracks()
    if not len(usable):
        return None
    second = view.windows.passes > 1 and rng.random() < config.second
    if second and view.order:
        scene = replace(scene, front=simulate_first_order(clip, rng))
    frame_maps = scene.frame_maps(view.pixels)
    chosen = scene.choose_tracks(usable, config.tracks, rng)
    windows = scene.windows(chosen, second, view.windows, rng)
    reverse, mirror = rng.random() < config.augment.reverse, rng.random() < config.augment.mirror
    samples = []
    for track, window in zip(chosen.tolist(), windows, strict=True):
        picked = _choose_frames(scene.areas[track], scene.spans[track], config.frames, rng)
        samples.append(
            _cut_track(scene, frame_maps, track, picked, _jittered(window, rng, config.augment.jitter), view)
        )
    return _transformed(_stack(samples), reverse, mirror)


@dataclass(frozen=True)
class _TrackSample:
    """One track in its window: inputs and ground truth at the chosen frames."""

    crops: Sequence[FrameCrops]
    known: Bool[np.ndarray, " t"]
    valid: Bool[np.ndarray, " t"]
    box: Float[np.ndarray, "t n"]
    time: Float[np.ndarray, " t"]
    amodal: Float[np.ndarray, "t s s"]
    counted: Bool[np.ndarray, " t"]
    present: Bool[np.ndarray, " t"]
    annotated: Bool[np.ndarray, " t"]


def _choose_frames(
    areas: Float[np.ndarray, " t"], span: Bool[np.ndarray, " t"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, " f"]:
    """Choose random frames of the span in order, such that the object is visible in at least one of them.

    If the span is too short, frames outside it are added, which only pad the sample.
    """
    picked = rng.permutation(np.flatnonzero(span))[:count]
    if not areas[picked].any():
        picked[rng.integers(len(picked))] = rng.choice(np.flatnonzero(areas))
    padding = rng.permutation(np.flatnonzero(~span))[: count - len(picked)]
    return np.sort(np.concatenate([picked, padding]))


def _cut_track(
    scene: AugmentedClip,
    frame_maps: Sequence[FrameMap],
    track: int,
    picked: Int[np.ndarray, " f"],
    window: Windows,
    view: View,
) -> _TrackSample:
    """Cut one track out of the chosen frames."""
    frames, height, width = scene.clip.visible.shape[1:]
    exhaustive, known = scene.exhaustive, scene.known[track]
    crops, amodal = [], []
    for t in picked.tolist():
        cropper = Cropper.at(window.at(0, t), view.cells, height, width)
        visible, frame = scene.degraded.visible[track, t], frame_maps[t]
        if not scene.listed[track]:  # the target is an input even without a track
            labels = np.where(visible, np.uint16(track + 1), frame.labels.decode())
            frame = FrameMap(LabelRuns.of_map(labels), frame.image, frame.disparity)
        front = None if scene.front is None else np.append(np.float32(0), scene.front[t, track])
        shown = Runs.of_mask(visible) if known[t] else None
        crops.append(cut_frame(cropper, shown, frame, bool(exhaustive[t]), front, view.depth))
        amodal.append(cropper.cut(scene.clip.amodal[track, t]))
    annotated, area = scene.annotated[track, picked], scene.true_areas[track, picked]
    box = box_numbers(window, scene.areas[track : track + 1], height, width, not scene.partial)[0, picked]
    box[:, VELOCITY] /= scene.clip.spacing
    return _TrackSample(
        crops,
        known[picked],
        scene.spans[track, picked],
        box,
        scene.clip.spacing * (picked - (frames - 1) / 2),
        np.stack(amodal),
        annotated & (area >= scene.least_area),
        area > 0,
        annotated,
    )


def _stack(samples: Sequence[_TrackSample]) -> TrainingBatch:
    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(sample, name) for sample in samples])

    crops = stack_crops([sample.crops for sample in samples], *map(stacked, ("known", "box", "time")))
    crops = replace(crops, valid=torch.from_numpy(stacked("valid")))
    return TrainingBatch(crops, *(torch.from_numpy(stacked(name)).float() for name in TARGETS))


def _jittered(window: Windows, rng: np.random.Generator, amount: float) -> Windows:
    """Move and scale the window of one track by a little, equally in all frames."""
    side = window.side * np.exp(rng.normal(0, amount))
    return Windows(window.center + rng.normal(0, amount, 2) * side, side, window.shown)


def _transformed(batch: TrainingBatch, reverse: bool, mirror: bool) -> TrainingBatch:
    """Reverse the time and mirror the images of a batch."""
    crops, targets = batch.crops, {name: getattr(batch, name) for name in TARGETS}
    if mirror:
        crops, targets["amodal"] = mirrored(crops), targets["amodal"].flip(-1)
    if reverse:
        crops = TrackCrops(*(getattr(crops, f.name).flip(1) for f in fields(TrackCrops)))
        crops.box[..., VELOCITY] *= -1
        crops = replace(crops, time=-crops.time)
        targets = {name: target.flip(1) for name, target in targets.items()}
    return TrainingBatch(crops, **targets)

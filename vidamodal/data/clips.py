"""Training clips from mask-only worlds and from data sets: each is a pure function of the seed and its index."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vidamodal.data.augment import Degradation, degrade
from vidamodal.data.crops import FrameMap, TrackCrops, box_numbers, boxes_and_areas, cut_frame, stack_crops
from vidamodal.data.recorded import RecordedBank
from vidamodal.geometry import Cropper, View, Windows, follow_scene, lay_windows
from vidamodal.occlusion.evidence import extends_under, front_confidence
from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.types import InputError
from vidamodal.worlds.sample import WORLDS, ClipMasks, WorldBank, WorldConfig
from vidamodal.worlds.toy import toy_bank

MAPS = ("visible", "others", "edges", "inside", "background", "order", "image")
"""What of a `TrackCrops` has rows and columns."""

FOUND, FALSE_SHARE, FALSE_PIXELS = 0.9, 0.05, 2.0
"""Of what objects extend under each other, the share that a first pass finds, and what it finds too much: in shares of
the other's extent and in pixels, for objects that overlap at all (measured on validation worlds)."""


@dataclass(frozen=True)
class AugmentConfig:
    """What real masks do to clean ones; each is a probability unless it says otherwise.

    Other frame rates need nothing of their own: random sorted frames show every rate, and the model is told their
    times. The whole masks, which are the truth, stay as they are.
    """

    partial: float = 0.25
    """Clips shown as users' are: not exhaustive, with others missing and noisy masks."""
    missing: float = 0.5
    """Up to this share of the other objects has no mask in a partial clip."""
    noise: float = 0.5
    """Partial clips whose masks are spoilt, each kind with a strength between 0 and that of ``spoilt``."""
    spoilt: Degradation = field(default_factory=lambda: Degradation(edge=0.08, merged=0.1, pieces=0.15, dropped=0.15))
    """The greatest strengths of noise."""
    unknown: float = 0.1
    """Clips with frames that have no mask at all: of one object after another, or of all at once."""
    gaps: float = 0.7
    """Up to this share of frames has none in such a clip."""
    jitter: float = 0.06
    """Standard deviation of the window's place, in sides, and of its log size."""
    reverse: float = 0.5
    """Clips run backwards."""
    mirror: float = 0.5
    """Clips seen in a mirror."""
    zoom: float = 1.0
    """Frames for segmenters are shown up to so many times larger or smaller, on another part of the canvas."""
    colour: float = 0.0
    """Standard deviation of the log gain of their light, of each of its channels and of its contrast."""
    paste: int = 0
    """Up to so many objects of another clip are put in front of those of a frame for segmenters of instances."""

    def draw(self, rng: np.random.Generator, partial: bool) -> Degradation:
        """How far the masks of one clip are spoilt."""
        strengths = {f.name: 0.0 for f in fields(Degradation)}
        if partial and rng.random() < self.noise:
            strengths = {name: rng.uniform(0, getattr(self.spoilt, name)) for name in strengths}
        if partial:
            strengths["missing"] = rng.uniform(0, self.missing)
        if rng.random() < self.unknown:
            strengths[("unknown", "gaps")[rng.integers(2)]] = rng.uniform(0, self.gaps)
        return Degradation(**strengths)


@dataclass(frozen=True)
class ClipConfig:
    """How many tracks and frames of a clip one sample shows. Random sorted frames, run on whole clips later."""

    tracks: int = 8
    frames: int = 8
    whole: float = 0.15
    """Share of steps that show whole clips of as many fewer tracks, so that windows and their roll are trained too."""
    second: float = 0.7
    """Share of clips shown as in the second of two passes: in windows laid round a first completion."""
    world: WorldConfig = field(default_factory=WorldConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class TrainingBatch:
    """Crops of b tracks over t frames, the amodal truth in the same windows and which object-frames count."""

    crops: TrackCrops
    amodal: Float[Tensor, "b t s s"]
    counted: Float[Tensor, "b t"]

    @property
    def size(self) -> int:
        """How many object-frames."""
        return self.counted.numel()

    def to(self, device: torch.device | str) -> TrainingBatch:
        return TrainingBatch(self.crops.to(device), self.amodal.to(device), self.counted.to(device))

    @staticmethod
    def join(parts: list[TrainingBatch]) -> TrainingBatch:
        """All tracks of several samples."""
        crops = TrackCrops(*(torch.cat([getattr(p.crops, f.name) for p in parts]) for f in fields(TrackCrops)))
        return TrainingBatch(crops, torch.cat([p.amodal for p in parts]), torch.cat([p.counted for p in parts]))


@runtime_checkable
class Bank(Protocol):
    """What gives clips."""

    def __len__(self) -> int: ...

    def sample(self, rng: np.random.Generator, config: WorldConfig) -> ClipMasks: ...


@dataclass(frozen=True)
class MixedBank:
    """Several banks; every world and every clip is as likely as any other."""

    banks: tuple[Bank, ...]

    def __len__(self) -> int:
        return sum(map(len, self.banks))

    def sample(self, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        """A clip of one of them."""
        sizes = np.array([len(bank) for bank in self.banks], dtype=np.float64)
        return self.banks[int(rng.choice(len(sizes), p=_share(sizes)))].sample(rng, config)


def load_bank(sources: str, seed: int, pixels: bool) -> Bank:
    """Folders of worlds and data sets in any layout, separated by commas, or "toy"; InputError for anything else."""
    if sources == "toy":
        return toy_bank(seed)
    banks: list[Bank] = []
    for source in map(Path, sources.split(",")):
        try:
            worlds = (source / WORLDS).is_file()
            banks.append(WorldBank.load(source) if worlds else RecordedBank.load(source, pixels))
        except InputError as error:
            raise InputError(
                f"worlds: {error}; or make worlds with `python -m dataset_gen --masks-only --out {source} "
                f'--scenes 1000 --seed 1`, or use "toy"'
            ) from error
    return banks[0] if len(banks) == 1 else MixedBank(tuple(banks))


class TrainingClips(Dataset[TrainingBatch]):
    """Endless samples of a bank; sample k depends on (seed, k) alone. ``clips`` samples make a step."""

    def __init__(self, bank: Bank, seed: int, clips: int, last: int, config: ClipConfig, view: View) -> None:
        """``last``: the number of samples."""
        self.bank, self.seed, self.clips, self.last = bank, seed, clips, last
        self.config, self.view = config, view

    def __len__(self) -> int:
        return self.last

    def __getitem__(self, index: int) -> TrainingBatch:
        config = self._of_step(index // self.clips)
        rng = np.random.default_rng([self.seed, 1, index])
        while True:  # a view may show nothing that counts
            clip = self.bank.sample(rng, config.world)
            sample = make_sample(clip, rng, config, self.view)
            if sample is not None:
                return sample

    def _of_step(self, step: int) -> ClipConfig:
        """All samples of a step have as many tracks and frames."""
        config, whole = self.config, self.config.world.frames
        if np.random.default_rng([self.seed, 0, step]).random() >= config.whole:
            return config
        return replace(config, tracks=max(1, config.tracks * config.frames // whole), frames=whole)


def make_sample(clip: ClipMasks, rng: np.random.Generator, config: ClipConfig, view: View) -> TrainingBatch | None:
    """Some tracks of a clip at some of its frames; None if no object of the clip is ever seen."""
    augment = config.augment
    frames, height, width = clip.visible.shape[1:]
    partial = rng.random() < augment.partial or not clip.exhaustive
    given = degrade(clip.visible, augment.draw(rng, partial), rng)
    visible, listed = given.visible, given.listed
    told = np.ones(visible.shape[:2], dtype=bool) if clip.told is None else clip.told
    known = given.known & told
    boxes, areas = boxes_and_areas(visible)
    truth_areas = np.count_nonzero(clip.amodal, axis=(2, 3))
    usable = np.flatnonzero((areas >= least_counted_area(height, width)).any(axis=1))
    if not len(usable):
        return None
    windows = lay_windows(boxes, areas, height, width, view.windows)
    second = view.windows.passes == 2 and rng.random() < config.second
    if second:
        windows = follow_scene(windows, *first_completion(clip, windows, areas, truth_areas, rng), view.windows)
    front = first_order(clip, rng) if view.order and second else None
    # Where the mask of an object that is seen at times is not known, what shows nobody may still show that object.
    sure = np.asarray((known | ~areas.any(axis=1, keepdims=True)).all(axis=0) & (not partial))
    labels = np.zeros((frames, height, width), dtype=np.uint16)
    for k in np.flatnonzero(listed):
        labels += visible[k] * np.uint16(k + 1)
    image = _image(clip) if view.pixels else [None] * frames
    maps = [FrameMap.of(frame, picture) for frame, picture in zip(labels, image, strict=True)]

    # Objects that are hidden at times teach most.
    hidden = np.maximum(1 - areas[usable].sum(axis=1) / np.maximum(truth_areas[usable].sum(axis=1), 1), 0)
    chosen = rng.choice(usable, config.tracks, replace=len(usable) < config.tracks, p=_share(0.3 + hidden))
    reverse, mirror = rng.random() < augment.reverse, rng.random() < augment.mirror
    tracks, boxes_out, times, known_out, truth, counted = [], [], [], [], [], []
    for k in chosen.tolist():
        picked = np.sort(rng.permutation(frames)[: config.frames])
        if not areas[k, picked].any():  # show the object at least once
            picked[rng.integers(len(picked))] = rng.choice(np.flatnonzero(areas[k]))
            picked = np.sort(picked)
        window = _jitter(windows, k, rng, augment.jitter)
        numbers = box_numbers(window, areas[k : k + 1], height, width, not partial)[0, picked]
        crops, amodal = [], []
        for t in picked.tolist():
            cropper = Cropper.at(window.at(0, t), view.cells, height, width)
            own = visible[k, t]
            # The object itself is always listed.
            frame = maps[t] if listed[k] else FrameMap.of(np.where(own, np.uint16(k + 1), labels[t]), image[t])
            ahead = None if front is None else np.append(np.float32(0), front[t, k])
            crops.append(cut_frame(cropper, own if known[k, t] else None, frame, bool(sure[t]), ahead))
            amodal.append(cropper.cut(clip.amodal[k, t]))
        tracks.append(crops)
        boxes_out.append(numbers)
        times.append(picked - (frames - 1) / 2)
        known_out.append(known[k, picked])
        truth.append(np.stack(amodal))
        counted.append(told[k, picked] & (truth_areas[k, picked] >= least_counted_area(height, width)))
    crops_out = stack_crops(tracks, np.stack(known_out), np.stack(boxes_out), np.stack(times))
    batch = TrainingBatch(
        crops_out, torch.from_numpy(np.stack(truth)).float(), torch.from_numpy(np.stack(counted)).float()
    )
    return _turn(batch, reverse, mirror)


def first_completion(
    clip: ClipMasks,
    windows: Windows,
    areas: Float[np.ndarray, "n t"],
    truth_areas: Int[np.ndarray, "n t"],
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "n t 4"], Float[np.ndarray, "n t"]]:
    """Boxes of whole objects as a first pass finds them, and the share of each that is seen.

    A model's boxes were off by 0.02 object sizes where an object was seen whole and by 0.15 where it was hardly seen,
    their sides by 3 and 30 %, with a correlation of 0.9 from frame to frame. It finds nothing beyond its windows.
    """
    shares = np.minimum(areas / np.maximum(truth_areas, 1), 1)
    boxes, _ = boxes_and_areas(clip.amodal)
    center, extent = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    drawn = rng.normal(size=(*areas.shape, 4))
    for t in range(1, drawn.shape[1]):
        drawn[:, t] = 0.9 * drawn[:, t - 1] + np.sqrt(1 - 0.9**2) * drawn[:, t]
    unseen = (1 - shares[..., None]) ** 2
    center = center + drawn[..., :2] * (0.02 + 0.14 * unseen) * extent.max(axis=2, keepdims=True)
    extent = extent * np.exp(drawn[..., 2:] * (0.03 + 0.25 * unseen))
    middle, reach = windows.center[..., ::-1], windows.side[..., ::-1] / 2
    corners = [np.clip(c, middle - reach, middle + reach) for c in (center - extent / 2, center + extent / 2)]
    return np.concatenate(corners, axis=2), shares


def first_order(clip: ClipMasks, rng: np.random.Generator) -> Float[np.ndarray, "t n n"]:
    """Who lies in front of whom as a first pass finds it: see `vidamodal.occlusion.evidence.front_confidence`.

    From how far the objects truly extend under each other, what a model finds is drawn: some of it missed, with some
    more on either side, the same in all frames.
    """
    over = extends_under(clip.visible, clip.amodal)
    found = over * np.clip(rng.normal(FOUND, 0.3, over.shape[1:]), 0, None)
    near = (over + over.transpose(0, 2, 1) > 0).any(axis=0)
    false = rng.exponential(FALSE_SHARE, over.shape[1:]) * near * over.transpose(0, 2, 1)
    stray = rng.exponential(FALSE_PIXELS, over.shape[1:]) * near
    return front_confidence(found + false + stray).astype(np.float32)


def _image(clip: ClipMasks) -> UInt8[np.ndarray, "t h w 3"]:
    """The frames; black, which tells the model that there are none, where the clip has masks alone."""
    if clip.image is not None:
        return clip.image
    return np.zeros((*clip.visible.shape[1:], 3), dtype=np.uint8)


def _share(weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return weights / weights.sum()


def _jitter(windows: Windows, k: int, rng: np.random.Generator, amount: float) -> Windows:
    """One track's window, moved and scaled a little, the same way in all frames."""
    side = windows.side[k : k + 1] * np.exp(rng.normal(0, amount))
    shift = rng.normal(0, amount, 2) * side
    shown = None if windows.shown is None else windows.shown[k : k + 1]
    return Windows(windows.center[k : k + 1] + shift, side, shown)


def _turn(batch: TrainingBatch, reverse: bool, mirror: bool) -> TrainingBatch:
    """Run backwards and seen in a mirror."""
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

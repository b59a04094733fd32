"""Frames of data sets with their true instances: training data of a segmenter of instances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch.utils.data import Dataset

from vidamodal.data.banks import Bank, recorded_banks
from vidamodal.data.clips import ClipConfig
from vidamodal.data.frames import FrameSource, SampledFrames
from vidamodal.data.layer_frames import LEAST_VISIBLE, MEASURED_CLIPS
from vidamodal.geometry import Cropper
from vidamodal.occlusion.order import occluded_areas
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth

MOST = 32
"""Most instances of an image; those with the largest visible areas are kept."""
PASTE_SHARE, PASTE_AREA, PASTE_DISTANCE = 0.95, 30, 1.5
"""Objects are pasted into other images if this share of them and so many cells are visible, at most this many square
roots of their area away from the centre of another object."""


@dataclass(frozen=True)
class Picture:
    """An image and its n objects on a canvas of s x s cells."""

    image: Float[np.ndarray, "3 s s"]
    """Colours in [0, 1]."""
    visible: Bool[np.ndarray, "n s s"]
    amodal: Bool[np.ndarray, "n s s"]
    labels: Int[np.ndarray, " n"]
    """Indices into the vocabulary; -1 if unknown."""


class InstanceFrames(Dataset[FrameGroundTruth]):
    """Samples of a bank: some frames of a clip with their instances. Sample k depends on (seed, k) alone.

    Objects with fewer than `LEAST_VISIBLE` visible cells are not instances, but they still occlude others.

    Args:
        bank: Data sets with images.
        seed: Seed of all samples.
        last: Number of samples.
        config: Frames of a sample: ``config.frames`` out of ``config.world.frames`` neighbouring ones.
        size: Cells along each side of the canvas.
        labels: The vocabulary.
    """

    def __init__(
        self, bank: Bank, seed: int, last: int, config: ClipConfig, size: int, labels: tuple[str, ...]
    ) -> None:
        self.source, self.last = FrameSource(bank, seed, config, size), last
        self.numbers = {label: number for number, label in enumerate(labels)}

    def __len__(self) -> int:
        return self.last

    def __getitem__(self, index: int) -> FrameGroundTruth:
        sample, most = self.source.sample(index), self.source.config.augment.paste
        pictures = [self._picture(sample, k) for k in range(len(sample.times))]
        if most:
            rng = sample.rng
            donor = self._picture(self.source.sample_with(rng, 1, 1), 0)
            pictures = [paste_objects(picture, donor, int(rng.integers(most + 1)), rng) for picture in pictures]
        return FrameGroundTruth.join([frame_ground_truth(picture) for picture in pictures])

    def _picture(self, sample: SampledFrames, k: int) -> Picture:
        clip, t, image = sample.clip, sample.times[k], sample.images[k]
        visible, amodal = (_cut(masks[:, t], sample.cropper) for masks in (clip.visible, clip.amodal))
        if sample.mirror:
            image, visible, amodal = (part[..., ::-1].copy() for part in (image, visible, amodal))
        names = clip.labels or (None,) * len(clip.visible)
        labels = np.array([-1 if name is None else self.numbers.get(name, -1) for name in names])
        return Picture(image, visible, amodal | visible, labels)


def paste_objects(picture: Picture, donor: Picture, count: int, rng: np.random.Generator) -> Picture:
    """Paste objects of another image in front of those of an image, each near one of them.

    Only objects that are almost fully visible are pasted, the same one repeatedly if there are few.

    Args:
        picture: Image to paste into.
        donor: Image whose objects are pasted.
        count: Number of objects to paste.
        rng: Source of objects and positions.
    """
    shown, whole = (np.count_nonzero(masks, axis=(1, 2)) for masks in (donor.visible, donor.amodal))
    (usable,) = np.nonzero((shown >= PASTE_SHARE * whole) & (shown >= PASTE_AREA))
    (places,) = np.nonzero(picture.visible.any(axis=(1, 2)))
    if not len(usable) or not len(places):
        return picture
    image, masks, size = picture.image.copy(), [*picture.visible], picture.image.shape[-1]
    chosen, pasted = rng.choice(usable, count), []
    for k in chosen:
        at = np.argwhere(donor.visible[k])
        target = np.argwhere(picture.visible[rng.choice(places)]).mean(axis=0)
        distance = PASTE_DISTANCE * np.sqrt(shown[k]) * rng.uniform(-1, 1, 2)
        step = np.rint(target - at.mean(axis=0) + distance).astype(int)
        at = at[((at + step >= 0) & (at + step < size)).all(axis=1)]
        to = tuple((at + step).T)
        image[:, *to] = donor.image[:, *at.T]
        front = np.zeros((size, size), dtype=bool)
        front[to] = True
        masks = [mask & ~front for mask in masks] + [front]
        pasted.append(front)
    amodal = np.concatenate([picture.amodal, np.array(pasted, dtype=bool).reshape(-1, size, size)])
    labels = np.concatenate([picture.labels, donor.labels[chosen]])
    return Picture(image, np.stack(masks), amodal, labels)


def frame_ground_truth(picture: Picture) -> FrameGroundTruth:
    """Return the instances of one image as a batch of one frame."""
    image, visible, amodal, labels = picture.image, picture.visible, picture.amodal, picture.labels
    occludes = occluded_areas(visible, amodal) > 0
    shown = np.count_nonzero(visible, axis=(1, 2))
    kept = np.argsort(-shown, kind="stable")[:MOST]
    kept = kept[shown[kept] >= LEAST_VISIBLE]
    size = image.shape[-1]
    boxes, numbers = np.zeros((MOST, 4), dtype=np.float32), np.full(MOST, -1)
    masks = np.zeros((3, MOST, size, size), dtype=bool)
    for place, k in enumerate(kept):
        rows, columns = (np.flatnonzero(amodal[k].any(axis=axis)) for axis in (1, 0))
        boxes[place] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        numbers[place] = labels[k]
        masks[:, place] = visible[k], amodal[k], visible[occludes[:, k]].any(axis=0)
    colours, corners, label, *layers = (
        torch.from_numpy(part)[None] for part in (image.astype(np.float32), boxes, numbers, *masks)
    )
    valid = torch.arange(MOST)[None] < len(kept)
    return FrameGroundTruth(colours, corners, label, layers[0], layers[1], layers[2], valid)


def vocabulary(bank: Bank) -> tuple[str, ...]:
    """Return the labels of a bank in alphabetical order, from all clips or from evenly spaced ones of a large bank.

    Raises:
        InputError: If the bank holds worlds, which have no images.
    """
    clips = [clip for part in recorded_banks(bank) for clip in part.clips]
    chosen = clips[:: -(-len(clips) // MEASURED_CLIPS)]
    return tuple(sorted({track.label for clip in chosen for track in clip.tracks().tracks if track.label is not None}))


def _cut(masks: Bool[np.ndarray, "n h w"], cropper: Cropper) -> Bool[np.ndarray, "n s s"]:
    return np.stack([cropper.cut(mask) >= 0.5 for mask in masks])

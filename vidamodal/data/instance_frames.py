"""Frames with their true instances, from data sets that have pictures: what a segmenter of instances learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch.utils.data import Dataset

from vidamodal.data.clips import Bank, ClipConfig
from vidamodal.data.frames import DrawnFrames, FrameSource
from vidamodal.data.layer_frames import LEAST_VISIBLE, MEASURED_CLIPS, recorded
from vidamodal.geometry import Cropper
from vidamodal.occlusion.order import occluded_areas
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth

MOST = 32
"""Instances of a picture; of more, those that show the most are kept."""
WHOLE, PASTED, BESIDE = 0.95, 30, 1.5
"""Objects that are put into other pictures show so much of themselves and so many cells, and lie up to so many square
roots of their area off the middle of another one."""


@dataclass(frozen=True)
class Picture:
    """A picture and its n objects on a canvas of s x s cells."""

    image: Float[np.ndarray, "3 s s"]
    """Colours in [0, 1]."""
    visible: Bool[np.ndarray, "n s s"]
    amodal: Bool[np.ndarray, "n s s"]
    labels: Int[np.ndarray, " n"]
    """Numbers of the vocabulary; -1: not known."""


class InstanceFrames(Dataset[FrameGroundTruth]):
    """Endless samples of a bank: some frames of a clip. Sample k depends on (seed, k) alone.

    Of a clip, ``config.world.frames`` neighbouring frames are read and ``config.frames`` of them taken. Objects that
    show fewer than 10 cells of the canvas are no instances, but hide others like all.
    """

    def __init__(
        self, bank: Bank, seed: int, last: int, config: ClipConfig, size: int, labels: tuple[str, ...]
    ) -> None:
        """``last``: the number of samples; ``labels``: the vocabulary."""
        self.source, self.last = FrameSource(bank, seed, config, size), last
        self.numbers = {label: number for number, label in enumerate(labels)}

    def __len__(self) -> int:
        return self.last

    def __getitem__(self, index: int) -> FrameGroundTruth:
        found, most = self.source.draw(index), self.source.config.augment.paste
        pictures = [self._picture(found, k) for k in range(len(found.times))]
        if most:
            donor = self._picture(self.source.take(found.rng, 1, 1), 0)
            pictures = [pasted(picture, donor, int(found.rng.integers(most + 1)), found.rng) for picture in pictures]
        return FrameGroundTruth.join([frame_truth(picture) for picture in pictures])

    def _picture(self, found: DrawnFrames, k: int) -> Picture:
        clip, t, image = found.clip, found.times[k], found.images[k]
        visible, amodal = (_cut(masks[:, t], found.cropper) for masks in (clip.visible, clip.amodal))
        if found.mirror:
            image, visible, amodal = (each[..., ::-1].copy() for each in (image, visible, amodal))
        names = clip.labels or (None,) * len(clip.visible)
        labels = np.array([-1 if name is None else self.numbers.get(name, -1) for name in names])
        return Picture(image, visible, amodal | visible, labels)


def pasted(picture: Picture, donor: Picture, count: int, rng: np.random.Generator) -> Picture:
    """A picture with so many objects of another one in front of its own, each near one of them.

    Only objects that show all but a twentieth of themselves are taken, and the same one again if there are few.
    """
    shown, whole = (np.count_nonzero(masks, axis=(1, 2)) for masks in (donor.visible, donor.amodal))
    (usable,) = np.nonzero((shown >= WHOLE * whole) & (shown >= PASTED))
    (places,) = np.nonzero(picture.visible.any(axis=(1, 2)))
    if not len(usable) or not len(places):
        return picture
    image, masks, size = picture.image.copy(), [*picture.visible], picture.image.shape[-1]
    chosen, fronts = rng.choice(usable, count), []
    for k in chosen:
        at = np.argwhere(donor.visible[k])
        there = np.argwhere(picture.visible[rng.choice(places)]).mean(axis=0)
        step = np.rint(there - at.mean(axis=0) + BESIDE * np.sqrt(shown[k]) * rng.uniform(-1, 1, 2)).astype(int)
        at = at[((at + step >= 0) & (at + step < size)).all(axis=1)]
        to = tuple((at + step).T)
        image[:, *to] = donor.image[:, *at.T]
        front = np.zeros((size, size), dtype=bool)
        front[to] = True
        masks = [mask & ~front for mask in masks] + [front]
        fronts.append(front)
    amodal = np.concatenate([picture.amodal, np.array(fronts, dtype=bool).reshape(-1, size, size)])
    labels = np.concatenate([picture.labels, donor.labels[chosen]])
    return Picture(image, np.stack(masks), amodal, labels)


def frame_truth(picture: Picture) -> FrameGroundTruth:
    """The truth of one picture on the canvas."""
    image, visible, amodal, labels = picture.image, picture.visible, picture.amodal, picture.labels
    hides = occluded_areas(visible, amodal) > 0
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
        masks[:, place] = visible[k], amodal[k], visible[hides[:, k]].any(axis=0)
    colours, corners, labels_of, visible_of, amodal_of, occluding = (
        torch.from_numpy(each)[None] for each in (image.astype(np.float32), boxes, numbers, *masks)
    )
    valid = torch.arange(MOST)[None] < len(kept)
    return FrameGroundTruth(colours, corners, labels_of, visible_of, amodal_of, occluding, valid)


def vocabulary(bank: Bank) -> tuple[str, ...]:
    """The labels of a bank, in the order of the alphabet: of all its clips, or of a large one of evenly spread ones.

    InputError for worlds, which have no pictures.
    """
    clips = [clip for each in recorded(bank) for clip in each.clips]
    chosen = clips[:: -(-len(clips) // MEASURED_CLIPS)]
    return tuple(sorted({track.label for clip in chosen for track in clip.tracks().tracks if track.label is not None}))


def _cut(masks: Bool[np.ndarray, "n h w"], cropper: Cropper) -> Bool[np.ndarray, "n s s"]:
    return np.stack([cropper.cut(mask) >= 0.5 for mask in masks])

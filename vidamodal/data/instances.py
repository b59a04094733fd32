"""Frames with their true instances, from data sets that have pictures: what a segmenter of instances learns from."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch.utils.data import Dataset

from vidamodal.data.clips import Bank, ClipConfig
from vidamodal.data.frames import FrameSource
from vidamodal.data.layers import LEAST_VISIBLE, MEASURED_CLIPS, recorded
from vidamodal.geometry import Cropper
from vidamodal.heads.aisdiff import FrameTruth
from vidamodal.layers import occlusions

MOST = 32
"""Instances of a picture; of more, those that show the most are kept."""


class InstanceFrames(Dataset[FrameTruth]):
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

    def __getitem__(self, index: int) -> FrameTruth:
        found = self.source.draw(index)
        clip = found.clip
        names = clip.labels or (None,) * len(clip.visible)
        labels = np.array([-1 if name is None else self.numbers.get(name, -1) for name in names])
        parts = []
        for t, image in zip(found.times, found.images, strict=True):
            visible, amodal = (_cut(masks[:, t], found.cropper) for masks in (clip.visible, clip.amodal))
            if found.mirror:
                image, visible, amodal = (each[..., ::-1].copy() for each in (image, visible, amodal))
            parts.append(frame_truth(image, visible, amodal | visible, labels))
        return FrameTruth.join(parts)


def frame_truth(
    image: Float[np.ndarray, "3 s s"],
    visible: Bool[np.ndarray, "n s s"],
    amodal: Bool[np.ndarray, "n s s"],
    labels: np.ndarray,
) -> FrameTruth:
    """The truth of one picture on the canvas."""
    hides = occlusions(visible, amodal) > 0
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
    picture, corners, labels_of, visible_of, amodal_of, occluding = (
        torch.from_numpy(each)[None] for each in (image.astype(np.float32), boxes, numbers, *masks)
    )
    valid = torch.arange(MOST)[None] < len(kept)
    return FrameTruth(picture, corners, labels_of, visible_of, amodal_of, occluding, valid)


def vocabulary(bank: Bank) -> tuple[str, ...]:
    """The labels of a bank, in the order of the alphabet: of all its clips, or of a large one of evenly spread ones.

    InputError for worlds, which have no pictures.
    """
    clips = [clip for each in recorded(bank) for clip in each.clips]
    chosen = clips[:: -(-len(clips) // MEASURED_CLIPS)]
    return tuple(sorted({track.label for clip in chosen for track in clip.tracks().tracks if track.label is not None}))


def _cut(masks: Bool[np.ndarray, "n h w"], cropper: Cropper) -> Bool[np.ndarray, "n s s"]:
    return np.stack([cropper.cut(mask) >= 0.5 for mask in masks])

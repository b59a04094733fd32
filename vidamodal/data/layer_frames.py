"""Frames with their true layers, from data sets that have pictures: what a segmenter of layers learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from vidamodal.data.clips import Bank, ClipConfig, MixedBank
from vidamodal.data.frames import FrameSource
from vidamodal.data.recorded import RecordedBank
from vidamodal.geometry import Cropper, Window
from vidamodal.occlusion.layers import LayeredFrame, layers_from_masks
from vidamodal.types import InputError
from vidamodal.worlds.sample import WorldConfig

LEAST_VISIBLE = 10
"""Objects that show fewer cells of the canvas are left out (Cumulative Occlusion, section 5.1)."""
MEASURED_CLIPS, MEASURED_FRAMES = 1000, 3
"""At most so many clips, and frames of each, tell how deep and how small objects are."""


@dataclass(frozen=True)
class LayerBatch:
    """Layers of b frames on a canvas of s x s cells: each a picture, what lies in front, and the layer's mask."""

    image: Float[Tensor, "b 3 s s"]
    """Colours in [0, 1]."""
    cumulative: Float[Tensor, "b s s"]
    """1 where a layer in front has an object, even where that is hidden (Eq. 3)."""
    number: Int[Tensor, " b"]
    """1 in front; one more than the deepest is blank."""
    mask: Float[Tensor, "b s s"]
    """All objects of the layer, whole."""

    @property
    def size(self) -> int:
        """How many layers."""
        return len(self.number)

    @staticmethod
    def join(parts: Sequence[LayerBatch]) -> LayerBatch:
        """All layers of several samples."""
        return LayerBatch(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(LayerBatch)))


@dataclass(frozen=True)
class Limits:
    """What Algorithm 2 takes from the training data."""

    most_layers: int
    """N_max."""
    least_area: int
    """Area_min: cells of the smallest whole object."""
    rings: int
    """Frames whose occlusions had to be freed of a ring."""


class LayerClips(Dataset[LayerBatch]):
    """Endless samples of a bank: a random layer of each of some frames of a clip. Sample k depends on (seed, k) alone.

    Of a clip, ``config.world.frames`` neighbouring frames are read and ``config.frames`` of them taken; of a frame
    every layer is as likely, and the blank one behind the deepest (Algorithm 1).
    """

    def __init__(self, bank: Bank, seed: int, last: int, config: ClipConfig, size: int, omitted: float = 0.0) -> None:
        """``last``: the number of samples; ``omitted``: the share of cumulative masks that lack a layer (Eq. 12)."""
        self.source = FrameSource(bank, seed, config, size)
        self.last, self.omitted = last, omitted

    def __len__(self) -> int:
        return self.last

    def __getitem__(self, index: int) -> LayerBatch:
        found = self.source.draw(index)
        clip, cropper, rng = found.clip, found.cropper, found.rng
        drawn = [self._layer(clip.visible[:, t], clip.amodal[:, t], cropper, rng) for t in found.times]
        parts = found.images, np.stack([d[1] for d in drawn]), np.stack([d[2] for d in drawn])
        maps = [torch.from_numpy(part).float() for part in parts]
        picture, front, mask = (each.flip(-1) if found.mirror else each for each in maps)
        return LayerBatch(picture, front, torch.tensor([number for number, *_ in drawn]), mask)

    def _layer(
        self,
        visible: Bool[np.ndarray, "n h w"],
        amodal: Bool[np.ndarray, "n h w"],
        cropper: Cropper,
        rng: np.random.Generator,
    ) -> tuple[int, Bool[np.ndarray, "s s"], Bool[np.ndarray, "s s"]]:
        """The number of a random layer, the cumulative mask in front of it and its own mask."""
        seen = _large_enough(visible, self.source.size)
        amodal = amodal[seen]
        layers, _ = layers_from_masks(visible[seen], amodal)
        deepest = int(layers.max(initial=0))
        number = int(rng.integers(1, deepest + 2))
        front = np.asarray(amodal[layers < number].any(axis=0))
        if rng.random() < self.omitted and deepest > 1:
            front = front & ~amodal[layers == rng.integers(2, deepest + 1)].any(axis=0)  # Eq. 12
        mask = np.asarray(amodal[layers == number].any(axis=0))
        return number, cropper.cut(front) >= 0.5, cropper.cut(mask) >= 0.5


def layered_frames(
    bank: RecordedBank, clips: int, frames: int, size: int
) -> Iterator[tuple[Float[np.ndarray, "t 3 s s"], list[LayeredFrame]]]:
    """Of each of the first clips some evenly spaced frames and their true layers, on a canvas, to score with."""
    for clip in bank.clips[:clips]:
        length = clip.tracks().video.frames
        whole = bank.of(clip, np.random.default_rng(0), WorldConfig(frames=length))
        assert whole.image is not None
        cropper = Cropper.at(Window.around(*whole.visible.shape[2:]), size, *whole.visible.shape[2:])
        times = np.unique(np.linspace(0, length - 1, frames).round().astype(int))
        yield (
            np.stack([cropper.cut_image(whole.image[t]) for t in times]),
            [_layered(whole.visible[:, t], whole.amodal[:, t], cropper, size) for t in times],
        )


def _layered(
    visible: Bool[np.ndarray, "n h w"], amodal: Bool[np.ndarray, "n h w"], cropper: Cropper, size: int
) -> LayeredFrame:
    seen = _large_enough(visible, size)
    amodal = amodal[seen]
    layer, _ = layers_from_masks(visible[seen], amodal)
    whole = [amodal[layer == k].any(axis=0) for k in range(1, int(layer.max(initial=0)) + 1)]
    layers, objects, shown = (
        np.array([cropper.cut(mask) >= 0.5 for mask in masks], dtype=bool).reshape(-1, size, size)
        for masks in (whole, amodal, visible[seen])
    )
    return LayeredFrame(layers, objects, shown, layer, np.ones(len(layer)))


def measure(bank: Bank, seed: int, config: ClipConfig, size: int) -> Limits:
    """N_max and Area_min of a bank: over all its clips (of a large one, evenly spread ones), some frames of each."""
    rng = np.random.default_rng([seed, 2])
    deepest, smallest, rings = 0, size * size, 0
    clips = [(each, clip) for each in recorded(bank) for clip in each.clips]
    for each, clip in clips[:: -(-len(clips) // MEASURED_CLIPS)]:
        masks = each.of(clip, rng, config.world)
        cropper = Cropper.at(Window.around(*masks.visible.shape[2:]), size, *masks.visible.shape[2:])
        for t in np.unique(np.linspace(0, config.world.frames - 1, MEASURED_FRAMES).round().astype(int)):
            seen = _large_enough(masks.visible[:, t], size)
            layers, ring = layers_from_masks(masks.visible[seen, t], masks.amodal[seen, t])
            areas = [int(np.count_nonzero(cropper.cut(mask) >= 0.5)) for mask in masks.amodal[seen, t]]
            deepest, smallest = max(deepest, int(layers.max(initial=0))), min([smallest, *areas])
            rings += ring
    if not deepest:
        raise InputError("worlds: no object shows enough to learn from on a segmenter's canvas")
    return Limits(deepest, max(1, smallest), rings)


def _large_enough(visible: Bool[np.ndarray, "n h w"], size: int) -> Bool[np.ndarray, " n"]:
    """Which objects show enough cells of a canvas."""
    cell = (max(visible.shape[1:]) / size) ** 2
    return np.count_nonzero(visible, axis=(1, 2)) >= LEAST_VISIBLE * cell


def recorded(bank: Bank) -> Iterator[RecordedBank]:
    """The data sets that a bank is made of; InputError for worlds, which have no pictures."""
    if isinstance(bank, MixedBank):
        for each in bank.banks:
            yield from recorded(each)
    elif isinstance(bank, RecordedBank):
        yield RecordedBank(bank.clips, pixels=False)
    else:
        raise InputError("worlds: a segmenter learns from pictures, and worlds are masks alone: give a data set")

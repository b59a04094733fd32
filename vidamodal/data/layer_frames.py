"""Frames of data sets with their true occlusion layers: training data of a segmenter of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from vidamodal.data.banks import Bank, recorded_banks
from vidamodal.data.clips import ClipConfig
from vidamodal.data.frames import FrameSource
from vidamodal.data.recorded import RecordedBank
from vidamodal.geometry import Cropper, Window
from vidamodal.occlusion.layers import LayeredFrame, layers_from_masks
from vidamodal.types import InputError
from vidamodal.worlds.sample import WorldConfig

LEAST_VISIBLE = 10
"""Objects with fewer visible cells on the canvas are left out (Cumulative Occlusion, section 5.1)."""
MEASURED_CLIPS, MEASURED_FRAMES = 1000, 3
"""Most clips of a bank, and frames of each, from which `measure_limits` measures objects."""

Masks = Bool[np.ndarray, "n h w"]


@dataclass(frozen=True)
class LayerBatch:
    """b occlusion layers, each with its frame, on a canvas of s x s cells."""

    image: Float[Tensor, "b 3 s s"]
    """Colours of the frame in [0, 1]."""
    cumulative: Float[Tensor, "b s s"]
    """Union of the amodal masks in all layers in front (Eq. 3)."""
    number: Int[Tensor, " b"]
    """Layer number: 1 is the front layer, one more than the deepest is the blank layer."""
    mask: Float[Tensor, "b s s"]
    """Union of the amodal masks in the layer."""

    @property
    def size(self) -> int:
        """Number of layers."""
        return len(self.number)

    @staticmethod
    def join(parts: Sequence[LayerBatch]) -> LayerBatch:
        """Concatenate the layers of several samples."""
        return LayerBatch(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(LayerBatch)))


@dataclass(frozen=True)
class LayerLimits:
    """Statistics of the training data that Algorithm 2 of Cumulative Occlusion needs."""

    most_layers: int
    """N_max: number of layers of the deepest frame."""
    least_area: int
    """Area_min: cells of the smallest amodal mask."""
    cycles: int
    """Frames in which a cycle of occlusions had to be broken."""


class LayerClips(Dataset[LayerBatch]):
    """Samples of a bank: one random layer from each sampled frame. Sample k depends on (seed, k) alone.

    All layers of a frame, and the blank one behind the deepest, are equally likely (Algorithm 1).

    Args:
        bank: Data sets with images.
        seed: Seed of all samples.
        last: Number of samples.
        config: Frames of a sample: ``config.frames`` out of ``config.world.frames`` neighbouring ones.
        size: Cells along each side of the canvas.
        omitted: Share of cumulative masks that lack one of their layers, but never the front layer (Eq. 12).
    """

    def __init__(self, bank: Bank, seed: int, last: int, config: ClipConfig, size: int, omitted: float = 0.0) -> None:
        self.source = FrameSource(bank, seed, config, size)
        self.last, self.omitted = last, omitted

    def __len__(self) -> int:
        return self.last

    def __getitem__(self, index: int) -> LayerBatch:
        sample = self.source.sample(index)
        clip = sample.clip
        layers = [
            self._sample_layer(clip.visible[:, t], clip.amodal[:, t], sample.cropper, sample.rng) for t in sample.times
        ]
        numbers, fronts, masks = zip(*layers, strict=True)
        maps = [torch.from_numpy(part).float() for part in (sample.images, np.stack(fronts), np.stack(masks))]
        image, front, mask = (part.flip(-1) if sample.mirror else part for part in maps)
        return LayerBatch(image, front, torch.tensor(numbers), mask)

    def _sample_layer(
        self, visible: Masks, amodal: Masks, cropper: Cropper, rng: np.random.Generator
    ) -> tuple[int, Bool[np.ndarray, "s s"], Bool[np.ndarray, "s s"]]:
        """Sample a layer; return its number, the cumulative mask in front of it, and its mask."""
        amodal, layers, _ = _large_objects(visible, amodal, self.source.size)
        deepest = int(layers.max(initial=0))
        number = int(rng.integers(1, deepest + 2))
        front = np.asarray(amodal[layers < number].any(axis=0))
        if rng.random() < self.omitted and number > 2:
            front = front & ~amodal[layers == rng.integers(2, number)].any(axis=0)  # Eq. 12
        mask = np.asarray(amodal[layers == number].any(axis=0))
        return number, cropper.cut(front) >= 0.5, cropper.cut(mask) >= 0.5


def ground_truth_layers(
    bank: RecordedBank, clips: int, frames: int, size: int
) -> Iterator[tuple[Float[np.ndarray, "t 3 s s"], list[LayeredFrame]]]:
    """Yield images and true layers of evenly spaced frames of each of the first clips.

    Args:
        bank: Data sets with images.
        clips: Number of clips.
        frames: Number of frames of each clip.
        size: Cells along each side of the canvas.
    """
    for clip in bank.clips[:clips]:
        length = clip.tracks().video.frames
        masks = bank.sample_clip(clip, np.random.default_rng(0), WorldConfig(frames=length))
        assert masks.image is not None
        cropper = _canvas(masks.visible, size)
        times = _evenly_spaced(length, frames)
        yield (
            np.stack([cropper.cut_image(masks.image[t]) for t in times]),
            [_layered_frame(masks.visible[:, t], masks.amodal[:, t], cropper, size) for t in times],
        )


def measure_limits(bank: Bank, seed: int, config: ClipConfig, size: int) -> LayerLimits:
    """Measure N_max and Area_min over evenly spaced clips and frames of a bank.

    Args:
        bank: Data sets with images.
        seed: Seed that chooses the frames.
        config: Frames of a sample.
        size: Cells along each side of the canvas.

    Raises:
        InputError: If the bank holds worlds, or no object is large enough.
    """
    rng = np.random.default_rng([seed, 2])
    deepest, smallest, cycles = 0, size * size, 0
    clips = [(part, clip) for part in recorded_banks(bank) for clip in part.clips]
    for part, clip in clips[:: -(-len(clips) // MEASURED_CLIPS)]:
        masks = part.sample_clip(clip, rng, config.world)
        cropper = _canvas(masks.visible, size)
        for t in _evenly_spaced(config.world.frames, MEASURED_FRAMES):
            amodal, layers, cycle = _large_objects(masks.visible[:, t], masks.amodal[:, t], size)
            areas = [int(np.count_nonzero(cropper.cut(mask) >= 0.5)) for mask in amodal]
            deepest, smallest = max(deepest, int(layers.max(initial=0))), min([smallest, *areas])
            cycles += cycle
    if not deepest:
        raise InputError("worlds: no object is large enough on the segmenter's canvas. Enlarge the canvas.")
    return LayerLimits(deepest, max(1, smallest), cycles)


def _layered_frame(visible: Masks, amodal: Masks, cropper: Cropper, size: int) -> LayeredFrame:
    objects, layer, _ = _large_objects(visible, amodal, size)
    layers = [objects[layer == k].any(axis=0) for k in range(1, int(layer.max(initial=0)) + 1)]
    shown = visible[_large_enough(visible, size)]
    layers_, objects_, shown_ = (
        np.array([cropper.cut(mask) >= 0.5 for mask in masks], dtype=bool).reshape(-1, size, size)
        for masks in (layers, objects, shown)
    )
    return LayeredFrame(layers_, objects_, shown_, layer, np.ones(len(layer)))


def _large_objects(
    visible: Masks, amodal: Masks, size: int
) -> tuple[Bool[np.ndarray, "m h w"], Int[np.ndarray, " m"], bool]:
    """Return amodal masks and layers of the objects that are large enough, and whether a cycle was broken."""
    kept = _large_enough(visible, size)
    layers, cycle = layers_from_masks(visible[kept], amodal[kept])
    return amodal[kept], layers, cycle


def _large_enough(visible: Masks, size: int) -> Bool[np.ndarray, " n"]:
    """Return which objects show enough cells of the canvas."""
    cell = (max(visible.shape[1:]) / size) ** 2
    return np.asarray(np.count_nonzero(visible, axis=(1, 2)) >= LEAST_VISIBLE * cell)


def _canvas(masks: Bool[np.ndarray, "n t h w"], size: int) -> Cropper:
    height, width = masks.shape[2:]
    return Cropper.at(Window.around(height, width), size, height, width)


def _evenly_spaced(length: int, count: int) -> Int[np.ndarray, " k"]:
    return np.unique(np.linspace(0, length - 1, count).round().astype(int))

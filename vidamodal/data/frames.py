"""Frames of clips with their pictures, on a segmenter's canvas: what all of its training data begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vidamodal.data.clips import Bank, ClipConfig
from vidamodal.geometry import Cropper, Window
from vidamodal.types import InputError
from vidamodal.worlds.sample import ClipMasks


@dataclass(frozen=True)
class DrawnFrames:
    """Some frames of a clip."""

    clip: ClipMasks
    times: Sequence[int]
    """Of the clip's frames, those that were drawn."""
    images: Float[np.ndarray, "t 3 s s"]
    """Their colours in [0, 1] on the canvas."""
    cropper: Cropper
    """Brings masks to the canvas."""
    mirror: bool
    """Whether all of it is to be mirrored, which is not done yet."""
    rng: np.random.Generator
    """What else the sample draws from."""


@dataclass(frozen=True)
class FrameSource:
    """Draws ``config.frames`` of ``config.world.frames`` neighbouring frames of a random clip of a bank."""

    bank: Bank
    seed: int
    config: ClipConfig
    size: int
    """Cells a side of the canvas."""

    def __post_init__(self) -> None:
        if self.config.frames > self.config.world.frames:
            raise InputError(
                f"sample.frames is {self.config.frames}, of {self.config.world.frames} in sample.world.frames"
            )

    def draw(self, index: int) -> DrawnFrames:
        """Sample ``index``, which depends on it and the seed alone. InputError for worlds, which have no pictures."""
        rng = np.random.default_rng([self.seed, 1, index])
        clip = self.bank.sample(rng, self.config.world)
        if clip.image is None:
            raise InputError("worlds: a segmenter learns from pictures, and these are masks alone: give a data set")
        mirror = bool(rng.random() < self.config.augment.mirror)
        times = np.sort(rng.permutation(self.config.world.frames)[: self.config.frames])
        cropper = Cropper.at(Window.around(*clip.visible.shape[2:]), self.size, *clip.visible.shape[2:])
        images = np.stack([cropper.cut_image(clip.image[t]) for t in times])
        return DrawnFrames(clip, times.tolist(), images, cropper, mirror, rng)

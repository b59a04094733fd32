"""Frames of clips with their pictures, on a segmenter's canvas: what all of its training data begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
        if self.config.augment.zoom < 1 or min(self.config.augment.colour, self.config.augment.paste) < 0:
            raise InputError("sample.augment: zoom must be at least 1, colour and paste at least 0")
        if self.config.frames > self.config.world.frames:
            raise InputError(
                f"sample.frames is {self.config.frames}, of {self.config.world.frames} in sample.world.frames"
            )

    def draw(self, index: int) -> DrawnFrames:
        """Sample ``index``, which depends on it and the seed alone. InputError for worlds, which have no pictures."""
        return self.take(np.random.default_rng([self.seed, 1, index]), self.config.world.frames, self.config.frames)

    def take(self, rng: np.random.Generator, neighbours: int, frames: int) -> DrawnFrames:
        """Some of so many neighbouring frames of a random clip."""
        clip = self.bank.sample(rng, replace(self.config.world, frames=neighbours))
        if clip.image is None:
            raise InputError("worlds: a segmenter learns from pictures, and these are masks alone: give a data set")
        mirror = bool(rng.random() < self.config.augment.mirror)
        times = np.sort(rng.permutation(neighbours)[:frames])
        height, width = clip.visible.shape[2:]
        cropper = Cropper.at(self._window(height, width, rng), self.size, height, width)
        images = self._recoloured(np.stack([cropper.cut_image(clip.image[t]) for t in times]), cropper, rng)
        return DrawnFrames(clip, times.tolist(), images, cropper, mirror, rng)

    def _window(self, height: int, width: int, rng: np.random.Generator) -> Window:
        """What the canvas shows: of the frame and what is round it, the larger one holds the smaller one."""
        window, zoom = Window.around(height, width), self.config.augment.zoom
        if zoom == 1:
            return window
        side = window.side[0]
        shown = float(side * np.exp(rng.uniform(-np.log(zoom), np.log(zoom))))
        x, y = (middle + rng.uniform(-1, 1) * abs(side - shown) / 2 for middle in window.center)
        return Window((float(x), float(y)), (shown, shown))

    def _recoloured(
        self, images: Float[np.ndarray, "t 3 s s"], cropper: Cropper, rng: np.random.Generator
    ) -> Float[np.ndarray, "t 3 s s"]:
        """All frames in the same other light; what lies beside the picture stays black."""
        if not self.config.augment.colour:
            return images
        light, contrast, *channels = np.exp(self.config.augment.colour * rng.standard_normal(5))
        gain = (light * np.array(channels))[:, None, None]
        middle = images.mean(axis=(1, 2, 3), keepdims=True)
        out = gain * (middle + contrast * (images - middle)) * (cropper.inside > 0.5)
        return np.asarray(np.clip(out, 0, 1), dtype=np.float32)

"""Random frames of clips with images, on a segmenter's canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from vidamodal.data.banks import Bank
from vidamodal.data.clips import ClipConfig
from vidamodal.geometry import Cropper, Window
from vidamodal.types import InputError
from vidamodal.worlds.sample import ClipMasks


@dataclass(frozen=True)
class SampledFrames:
    """Some frames of a clip, augmented except for the mirroring."""

    clip: ClipMasks
    times: Sequence[int]
    """Indices of the sampled frames within the clip."""
    images: Float[np.ndarray, "t 3 s s"]
    """Colours in [0, 1] on the canvas."""
    cropper: Cropper
    """Resamples masks to the canvas."""
    mirror: bool
    """True if the caller must mirror images and masks."""
    rng: np.random.Generator
    """Source of further randomness in the same sample."""


@dataclass(frozen=True)
class FrameSource:
    """Samples ``config.frames`` out of ``config.world.frames`` neighbouring frames of a random clip of a bank."""

    bank: Bank
    seed: int
    config: ClipConfig
    size: int
    """Cells along each side of the canvas."""

    def __post_init__(self) -> None:
        if self.config.augment.zoom < 1 or min(self.config.augment.colour, self.config.augment.paste) < 0:
            raise InputError("sample.augment: zoom must be at least 1, colour and paste at least 0.")
        if self.config.frames > self.config.world.frames:
            raise InputError(
                f"sample.frames is {self.config.frames}, but sample.world.frames is {self.config.world.frames}. "
                "Reduce sample.frames or increase sample.world.frames."
            )

    def sample(self, index: int) -> SampledFrames:
        """Return sample ``index``, which depends on the seed and the index alone.

        Raises:
            InputError: If the clip has no images.
        """
        rng = np.random.default_rng([self.seed, 1, index])
        return self.sample_with(rng, self.config.world.frames, self.config.frames)

    def sample_with(self, rng: np.random.Generator, neighbours: int, frames: int) -> SampledFrames:
        """Sample frames from a run of neighbouring frames of a random clip.

        Raises:
            InputError: If the clip has no images.
        """
        clip = self.bank.sample(rng, replace(self.config.world, frames=neighbours))
        if clip.image is None:
            raise InputError("worlds: a segmenter learns from images, but worlds contain only masks. Name a data set.")
        mirror = bool(rng.random() < self.config.augment.mirror)
        times = np.sort(rng.permutation(neighbours)[:frames])
        height, width = clip.visible.shape[2:]
        cropper = Cropper.at(self._window(height, width, rng), self.size, height, width)
        images = self._recoloured(np.stack([cropper.cut_image(clip.image[t]) for t in times]), cropper, rng)
        return SampledFrames(clip, times.tolist(), images, cropper, mirror, rng)

    def _window(self, height: int, width: int, rng: np.random.Generator) -> Window:
        """Return a zoomed window that lies inside the square around the frame, or contains it."""
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
        """Change light and contrast equally in all frames; cells outside the image stay black."""
        if not self.config.augment.colour:
            return images
        light, contrast, *channels = np.exp(self.config.augment.colour * rng.standard_normal(5))
        gain = (light * np.array(channels))[:, None, None]
        middle = images.mean(axis=(1, 2, 3), keepdims=True)
        out = gain * (middle + contrast * (images - middle)) * (cropper.inside > 0.5)
        return np.asarray(np.clip(out, 0, 1), dtype=np.float32)

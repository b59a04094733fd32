"""Clips of squares that occlude each other."""

from __future__ import annotations

import numpy as np

from vidamodal.data.augment import AugmentConfig
from vidamodal.data.clips import ClipConfig
from vidamodal.worlds.sample import ClipMasks, WorldConfig


def square(top: int, left: int, side: int, size: int = 64) -> np.ndarray:
    """Return a mask of one square."""
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


class OneClip:
    """A bank of a single clip."""

    def __init__(self, visible: np.ndarray, amodal: np.ndarray) -> None:
        image = np.random.default_rng(0).integers(0, 255, (*visible.shape[1:], 3)).astype(np.uint8)
        self.masks = ClipMasks(visible, amodal, image=image)

    def __len__(self) -> int:
        return 1

    def sample(self, _rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        assert config.frames == self.masks.visible.shape[1]
        return self.masks


def stacked_clip(masks: list[np.ndarray]) -> OneClip:
    front, visible = np.zeros_like(masks[0]), []
    for mask in masks:
        visible.append(mask & ~front)
        front = front | mask
    return OneClip(np.stack(visible)[:, None], np.stack(masks)[:, None])


SQUARES = [square(4, 4, 20, 64), square(15, 15, 20, 64), square(28, 28, 20, 64), square(5, 45, 12, 64)]
"""Three squares of which each occludes the next, and a separate one."""
ONE_FRAME = ClipConfig(frames=1, world=WorldConfig(frames=1), augment=AugmentConfig(mirror=0.0))

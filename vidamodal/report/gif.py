"""Animated GIFs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from vidamodal.media.files import atomic_file
from vidamodal.types import Frame

_PALETTE_FRAMES = 8


def save_gif(
    path: str | os.PathLike[str], frames: Iterable[Frame], fps: float, max_width: int = 720, colours: int = 128
) -> None:
    """Write an endless GIF atomically; 24 frames of 480 x 240 take 1 to 2 MB.

    All frames share one palette, since separate palettes would make still parts shimmer. Nothing is dithered, which
    would double the size of the file.

    Args:
        path: File to write.
        frames: RGB frames of one size, at least one; all shrunken frames are held in memory.
        fps: Frames per second.
        max_width: Width in pixels to which larger frames are shrunk.
        colours: Size of the palette.

    Raises:
        ValueError: There are no frames.
    """
    small = [Image.fromarray(_shrink(frame, max_width)) for frame in frames]
    if not small:
        raise ValueError("a GIF needs at least one frame")
    palette = _common_palette(small, colours)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    with atomic_file(path) as temporary:
        indexed[0].save(
            temporary, format="GIF", save_all=True, append_images=indexed[1:], duration=round(1000 / fps), loop=0
        )


def _shrink(picture: Frame, max_width: int) -> Frame:
    height, width = picture.shape[:2]
    if width <= max_width:
        return picture
    size = max_width, max(1, round(height * max_width / width))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _common_palette(frames: Sequence[Image.Image], colours: int) -> Image.Image:
    chosen = frames[:: -(-len(frames) // _PALETTE_FRAMES)]
    column = np.concatenate([np.asarray(frame) for frame in chosen])
    return Image.fromarray(column).quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=2)

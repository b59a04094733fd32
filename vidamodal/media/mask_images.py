"""Masks as PNGs: maps of ids with a palette, and folders of black-and-white masks of one object."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Iterable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from vidamodal.media.images import image_errors
from vidamodal.types import InputError, Rle, VideoInfo

_PALETTE = bytes(
    round(255 * channel) for k in range(256) for channel in colorsys.hsv_to_rgb(k * 0.618 % 1, 0.7, min(k, 1))
)
"""Black, then colours far apart."""


def read_id_map(path: Path, video: VideoInfo) -> Int[np.ndarray, "h w"]:
    """Return the values of a palette, grey or black-and-white PNG, without its colours.

    Args:
        path: The PNG.
        video: The video of the mask; its size is the expected one.

    Returns:
        The values, uint8 or wider.

    Raises:
        InputError: The file cannot be read, has another size, or is a picture in colours.
    """
    with image_errors(path), Image.open(path, formats=["PNG"]) as image:
        if (image.height, image.width) != (video.height, video.width):
            raise InputError(
                f"{path}: {image.height} x {image.width} pixels, the video has {video.height} x {video.width}; "
                "pass masks of the video's size"
            )
        if image.mode not in ("P", "L", "1", "I", "I;16"):
            raise InputError(f"{path}: a colour picture ({image.mode}), not ids; write it as a palette or grey PNG")
        values = np.asarray(image)
    return values.astype(np.uint8) if values.dtype == bool else values


def write_id_map(path: str | os.PathLike[str], ids: UInt8[np.ndarray, "h w"]) -> None:
    """Write ids as a palette PNG. The file is not synced to disk."""
    image = Image.fromarray(ids)
    image.putpalette(_PALETTE)
    image.save(path, format="PNG")


def write_object_masks(directory: str | os.PathLike[str], number: int, masks: Iterable[Rle | None]) -> None:
    """Write the masks of one object as ``directory/<number>/00000.png`` and so on, with the values 0 and 255.

    Frames without a mask (None) get no file. The files are not synced to disk: whoever moves the folder into its place
    does that once for all of them.
    """
    folder = Path(directory) / str(int(number))
    folder.mkdir(parents=True, exist_ok=True)
    for frame, mask in enumerate(masks):
        if mask is not None:
            iio.imwrite(folder / f"{frame:05d}.png", mask.decode().astype(np.uint8) * 255, plugin="pillow")

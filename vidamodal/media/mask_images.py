"""Masks as images: PNGs, JPEGs and WebPs as they are stored, id maps with a palette, folders of masks of one object.

What the values of a set of images mean is decided in ``pixel_values``.
"""

from __future__ import annotations

import colorsys
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps

from vidamodal.media.images import image_errors
from vidamodal.types import InputError, Rle, VideoInfo

_PALETTE = bytes(
    round(255 * channel) for k in range(256) for channel in colorsys.hsv_to_rgb(k * 0.618 % 1, 0.7, min(k, 1))
)
"""Black, then colours far apart."""

PALETTE_COLOURS: tuple[int, ...] = tuple(
    red << 16 | green << 8 | blue
    for red, green, blue in zip(_PALETTE[::3], _PALETTE[1::3], _PALETTE[2::3], strict=True)
)
"""The packed colours of the palette of written id maps."""

TRANSPARENT = 1 << 24
"""Stands for the colour of a palette entry or a pixel that is fully transparent."""

_ORIENTATION = 0x0112
_PACKED_GREYS = {"L;2": (2, 85), "L;4": (4, 17)}
"""Bits, and the factor by which Pillow scales such values to 8 bits."""


@dataclass(frozen=True)
class MaskImage:
    """The pixels of a mask as they are stored, before anything is decided about their meaning."""

    kind: Literal["grey", "palette", "colour"]
    values: Int[np.ndarray, "h w"]
    """Grey values, palette indices, or colours as ``red << 16 | green << 8 | blue``."""
    palette: Int[np.ndarray, " 256"] | None = None
    """The colour of each index; ``TRANSPARENT`` for a transparent one."""
    alpha: UInt8[np.ndarray, "h w"] | None = None
    """None if the image is opaque."""
    bits: int = 8
    """Bits of a grey value."""
    lossy: bool = False
    """True if values next to an edge may have been changed by compression."""


def read_mask_image(path: Path, video: VideoInfo) -> MaskImage:
    """Read a PNG, JPEG, WebP, BMP or TIFF without interpreting its values.

    Args:
        path: The image.
        video: The video of the mask; its size is the expected one.

    Raises:
        InputError: The file cannot be read, is animated, has another size, or has a kind of pixels that is no mask's.
    """
    with image_errors(path), Image.open(path, formats=["PNG", "JPEG", "WEBP", "BMP", "TIFF"]) as image:
        raw = str(image.tile[0].args) if image.tile else ""
        # A PNG has to be decoded to look for the orientation, so only one that states it in front of its pixels counts.
        orientation = image.getexif().get(_ORIENTATION, 1) if image.format != "PNG" or "exif" in image.info else 1
        height, width = (image.width, image.height) if orientation > 4 else (image.height, image.width)
        if (height, width) != (video.height, video.width):
            raise InputError(
                f"{path}: {height} x {width} pixels, the video has {video.height} x {video.width}; "
                "pass masks of the video's size"
            )
        if getattr(image, "is_animated", False) and image.format in ("PNG", "TIFF", "WEBP"):
            raise InputError(f"{path}: an animation or a TIFF of several pages; save one image for each frame")
        if "16" in raw and image.mode not in ("I;16", "I"):
            raise InputError(f"{path}: colours of 16 bits, not masks; save them with 8 bits, or as 16-bit grey")
        oriented = ImageOps.exif_transpose(image) if orientation != 1 else image
        return _stored_pixels(path, oriented, raw, lossy=_is_lossy(path, image))


def _is_lossy(path: Path, image: Image.Image) -> bool:
    """True for a JPEG, and for a WebP whose pixels are not in a lossless chunk."""
    if image.format != "WEBP":
        return image.format == "JPEG"
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8 and head[:4] not in (b"VP8L", b"VP8 "):
            length = int.from_bytes(head[4:], "little")
            file.seek(length + length % 2, os.SEEK_CUR)
    return head[:4] != b"VP8L"


def read_id_map(path: Path, video: VideoInfo) -> Int[np.ndarray, "h w"]:
    """Return the values of a palette, grey or black-and-white PNG of a data set whose values are known to be ids.

    Raises:
        InputError: The file cannot be read, has another size, or is a photograph.
    """
    image = read_mask_image(path, video)
    if image.kind == "colour" or image.lossy:
        raise InputError(f"{path}: a colour image, not ids; write it as a palette or grey PNG")
    return image.values


def pack_colours(image: UInt8[np.ndarray, "*shape 3"]) -> Int[np.ndarray, "*shape"]:
    """Return colours as single numbers, ``red << 16 | green << 8 | blue``."""
    red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def colour_channels(colours: Int[np.ndarray, " k"]) -> Int[np.ndarray, "k 3"]:
    """Return the red, green and blue of packed colours."""
    return np.stack([colours >> 16 & 255, colours >> 8 & 255, colours & 255], axis=-1)


def _stored_pixels(path: Path, image: Image.Image, raw: str, lossy: bool) -> MaskImage:
    mode, key, alpha = image.mode, image.info.get("transparency"), None
    if mode == "P":
        return MaskImage("palette", np.asarray(image), _palette(image))
    if mode not in ("1", "L", "I", "I;16", "LA", "RGB", "RGBA"):
        raise InputError(f"{path}: pixels of the kind {mode} are not masks; save a palette, grey or RGB PNG")
    pixels = np.asarray(image)
    if mode in ("LA", "RGBA"):
        pixels, alpha = pixels[..., :-1], np.ascontiguousarray(pixels[..., -1])
        pixels = pixels[..., 0] if mode == "LA" else pixels
    bits, scale = _PACKED_GREYS.get(raw, (8, 1))
    if pixels.ndim == 3:
        values = pack_colours(pixels)
        key = int(pack_colours(np.array(key, dtype=np.uint8))) if isinstance(key, tuple) else None
    elif mode == "1":
        values, bits = pixels.astype(np.uint8), 1
    else:
        values, bits = (pixels // np.uint8(scale), bits) if pixels.dtype == np.uint8 else (pixels, 16)
    if key is not None:
        alpha = np.where(values == key, np.uint8(0), np.uint8(255))
    opaque = alpha is None or alpha.min() == alpha.max() > 0
    return MaskImage("colour" if pixels.ndim == 3 else "grey", values, None, None if opaque else alpha, bits, lossy)


def _palette(image: Image.Image) -> Int[np.ndarray, " 256"]:
    colours = np.frombuffer(bytes(image.getpalette("RGB") or ()), dtype=np.uint8).reshape(-1, 3)[:256]
    packed = np.zeros(256, dtype=np.int32)
    packed[: len(colours)] = pack_colours(colours)
    key = image.info.get("transparency")
    alpha = np.full(256, 255, dtype=np.uint8)
    if isinstance(key, int):
        alpha[key] = 0
    elif key is not None:
        alpha[: len(key)] = np.frombuffer(key, dtype=np.uint8)[:256]
    packed[alpha == 0] = TRANSPARENT
    return packed


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
            # Run-length matching takes half the time of the default for masks, and the files are smaller.
            image = Image.fromarray(mask.decode().view(np.uint8) * np.uint8(255))
            image.save(folder / f"{frame:05d}.png", compress_type=zlib.Z_RLE)

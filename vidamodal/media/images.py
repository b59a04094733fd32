"""Images: reading and writing.

PNG, JPEG, WebP, AVIF, BMP, TIFF and GIF images are read as RGB. Transparency is dropped. Grey images of more than 8
bits are scaled to 8 bits: white is 255, 1023, 4095, 16383 or 65535, the smallest of these that is no less than the
largest value (of all frames, for a video). In colour images of 16 bits per channel the upper 8 bits are read. Images
of floats and those of more than 67 megapixels are refused.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import imageio.v3 as iio
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from vidamodal.media.files import atomic_file
from vidamodal.media.listing import is_foreign
from vidamodal.types import Frame, InputError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff"}
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
"""First bytes of image files; WebP and AVIF, which begin like videos, are left out."""
MAX_PIXELS = 2**26
"""Pixels of the largest image or frame that is read: 8192 x 8192."""

_AVIF = (b"ftypavif", b"ftypavis")
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "GIF")
_WHITES = (255, 1023, 4095, 16383, 65535, 2**24 - 1, 2**32 - 1)


def is_image(path: Path) -> bool:
    """Return True for an image file, by its suffix, that no other program left behind."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_foreign(path.name) and path.is_file()


def starts_like_image(head: bytes) -> bool:
    """Return True if the first 12 bytes of a file are those of an image, still or animated."""
    return head.startswith(SIGNATURES) or (head[:4], head[8:]) == (b"RIFF", b"WEBP") or head[4:] in _AVIF


def read_image(path: Path) -> Frame:
    """Read an image as RGB, rotated by its EXIF orientation. Of an animation, this is the first frame.

    Raises:
        InputError: The image cannot be decoded.
    """
    image = load_image(path)
    with image_errors(path):
        return to_rgb(image, find_white([image]), path)


def load_image(path: Path) -> Image.Image:
    """Decode an image, rotated by its EXIF orientation, in the mode of the file.

    Raises:
        InputError: The image cannot be decoded, or is too large.
    """
    with open_image(path) as image, image_errors(path):
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image


def open_image(path: Path) -> Image.Image:
    """Open an image or an animation without decoding it.

    Raises:
        InputError: The file is not an image, or is too large.
    """
    with image_errors(path):
        image = Image.open(path, formats=_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise InputError(
            f"{path}: {image.height} x {image.width} pixels, more than {MAX_PIXELS // 10**6} megapixels. Resize it."
        )
    return image


def is_deep(image: Image.Image) -> bool:
    """Return True for a grey image of more than 8 bits."""
    return image.mode.startswith("I")


def find_white(images: Iterable[Image.Image]) -> int | None:
    """Return the value that is white in a clip of grey images of more than 8 bits; None if the first has 8 bits."""
    largest = 0
    for number, image in enumerate(images):
        if is_deep(image):
            largest = max(largest, int(np.asarray(image).max()))
        elif not number:
            return None
    return next(white for white in _WHITES if largest <= white)


def to_rgb(image: Image.Image, white: int | None, name: Path | str) -> Frame:
    """Convert a decoded image to RGB.

    Args:
        image: The image.
        white: The value that becomes 255 in a grey image of more than 8 bits; None for images of 8 bits.
        name: Name of the image in error messages.

    Raises:
        InputError: The image holds floats, or is of 8 bits and should not be, or the reverse.
    """
    if image.mode == "F":
        raise InputError(f"{name}: the pixels are floats. Save them as 8 or 16-bit integers.")
    if is_deep(image) != (white is not None):
        raise InputError(f"{name}: 8-bit and 16-bit frames are mixed. Save all with the same number of bits.")
    if white is None:
        return np.ascontiguousarray(image.convert("RGB"))
    values = np.asarray(image).astype(np.float32).clip(min=0) * np.float32(255 / white)
    return np.repeat((values + 0.5).astype(np.uint8)[..., None], 3, axis=2)


@contextmanager
def image_errors(path: Path | str) -> Iterator[None]:
    """Convert the exceptions of Pillow for a damaged image into an InputError, and hide their warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # the decoders of Pillow raise exceptions of any kind
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as an image ({reason}). Replace the file.") from None


def encode_image(image: UInt8[np.ndarray, "h w c"], suffix: Literal[".png", ".jpg", ".webp"], **options: Any) -> bytes:
    """Return the content of an image file.

    Args:
        image: RGB, or RGBA for PNG.
        suffix: Suffix of the format.
        options: Options of Pillow's writer, such as ``quality``.
    """
    content: bytes = iio.imwrite("<bytes>", image, plugin="pillow", extension=suffix, **options)
    return content


def write_image(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Write RGB or RGBA as a PNG, neither atomically nor synced: for folders that are renamed when complete."""
    path.write_bytes(encode_image(image, ".png"))


def save_png(path: str | os.PathLike[str], image: Frame) -> None:
    """Write an optimised PNG atomically."""
    with atomic_file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", optimize=True)

"""PNG and JPEG images: reading, writing and the natural order of their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vidamodal.media.files import atomic_file
from vidamodal.types import Frame, InputError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""First bytes of PNG and JPEG files."""


def is_image(path: Path) -> bool:
    """Return True for a PNG or JPEG file, by its suffix, that is not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def natural_key(stem: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key by which frame 10 follows frame 9; 7 and 07 are ordered by the name itself."""
    parts = (part for part in re.split("([0-9]+)", stem) if part)
    return (*((int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts), (-1, stem))


def read_image(path: Path) -> Frame:
    """Read a PNG or JPEG as RGB, rotated by its EXIF orientation.

    Raises:
        InputError: The image cannot be decoded.
    """
    with image_errors(path):
        return np.ascontiguousarray(iio.imread(path, plugin="pillow", mode="RGB", index=0, rotate=True))


@contextmanager
def image_errors(path: Path) -> Iterator[None]:
    """Convert the exceptions of imageio and Pillow for a damaged image into an InputError."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as an image ({reason}). Replace the file.") from None


def write_image(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Write RGB or RGBA as a PNG, neither atomically nor synced: for folders that are renamed when complete."""
    iio.imwrite(path, image, plugin="pillow", extension=".png")


def save_png(path: str | os.PathLike[str], image: Frame) -> None:
    """Write an optimised PNG atomically."""
    with atomic_file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", optimize=True)

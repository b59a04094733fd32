"""Image files with several frames: which are videos for FFmpeg, and the frames of the others.

Animated PNG files and raw Motion JPEG streams are decoded as videos with PyAV: Pillow 12 does not restore the earlier
frame after those that ask for it. Animated WebP, AVIF and GIF files and TIFF files of several pages are decoded here
with Pillow: FFmpeg 8 cannot decode the first, and takes GIF files without control blocks for one frame. The pages of a
TIFF are frames if they all have the same size and mode; otherwise only the first is read. Frames without a duration
last 0.1 seconds, as in browsers.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vidamodal.media.images import image_errors, open_image
from vidamodal.types import InputError

_MAX_PIXELS = 2**24
"""Largest frame of an animated GIF, WebP or AVIF file, of which Pillow holds several copies in colours and alpha."""
_DEFAULT_DURATION = 100
"""Milliseconds of a frame without a duration."""


@dataclass(frozen=True)
class Animation:
    """An image file with several frames."""

    path: Path
    count: int
    """Number of frames."""
    fps: float
    """Mean frame rate."""

    def frames(self, start: int, stop: int) -> Iterator[Image.Image]:
        """Yield frames ``start`` to ``stop`` (exclusive) in the mode of the file.

        Raises:
            InputError: A frame cannot be decoded.
        """
        with open_image(self.path) as image:
            for number in range(start, stop):
                with image_errors(self.path):
                    image.seek(number)
                    _check_size(self.path, image)
                    image.load()
                yield image


def video_format(path: Path) -> str | None:
    """Return FFmpeg's format of an image file that it decodes as a video; None for other image files.

    Raises:
        InputError: The file cannot be read.
    """
    with open_image(path) as image, image_errors(path):
        if image.format == "JPEG" and _is_motion_jpeg(path):
            return "mjpeg"
        return "apng" if image.format == "PNG" and getattr(image, "is_animated", False) else None


def read_animation(path: Path) -> Animation | str | None:
    """Open an image file and decode its frames once.

    Returns:
        The animation; None for a still image; a note for the user if pages of a TIFF are left out.

    Raises:
        InputError: The file cannot be decoded.
    """
    with open_image(path) as image, image_errors(path):
        if image.format not in ("WEBP", "AVIF", "GIF", "TIFF"):
            return None
        _check_size(path, image)
        count = getattr(image, "n_frames", 1)
        if count < 2:
            return None
        duration, kind = 0.0, (image.mode, image.size)
        for number in range(count):
            image.seek(number)
            if image.format == "TIFF" and (image.mode, image.size) != kind:
                return f"{path.name}: the first of {count} pages is read; the pages differ in size or mode"
            _check_size(path, image)
            image.load()
            duration += image.info.get("duration") or _DEFAULT_DURATION
    return Animation(path, count, round(1000 * count / duration, 4))


def _check_size(path: Path, image: Image.Image) -> None:
    """Refuse a frame that is too large, before it is decoded. Those of a GIF may be larger than its header says."""
    if image.format != "TIFF" and image.width * image.height > _MAX_PIXELS:
        raise InputError(
            f"{path}: {image.height} x {image.width} pixels, more than {_MAX_PIXELS // 10**6} megapixels in an "
            "animation. Resize it, or save it as a video."
        )


def _is_motion_jpeg(path: Path) -> bool:
    """Return True if a second JPEG of the same size follows the first."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        first = _jpeg_size_and_end(content, 0)
        second = None if first is None else _jpeg_size_and_end(content, first[1])
        return first is not None and second is not None and first[0] == second[0]


def _jpeg_size_and_end(content: mmap.mmap, start: int) -> tuple[bytes, int] | None:
    """Return height and width as bytes and the end of a JPEG; None if there is no complete one."""
    if content[start : start + 2] != b"\xff\xd8":
        return None
    size, place = b"", start + 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # frame headers: SOF0 to SOF15
            size = content[place + 5 : place + 9]
        place += 2 + length
        if marker == 0xDA:  # coded data follow, in which 0xFF 0xD9 is the end
            end = content.find(b"\xff\xd9", place)
            return None if end < 0 else (size, end + 2)
    return None

"""The frames of a video as JPEG images that are small enough to be embedded in a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vidamodal.media.images import encode_image
from vidamodal.media.video import VideoReader
from vidamodal.types import Frame

MAX_SIDE = 1280
"""Longest side in pixels of an embedded frame."""
MAX_BYTES = 24 * 2**20
"""Bytes that all frames of a page may have together; base64 makes them a third larger."""
MIN_SIDE = 96
"""Shortest longer side in pixels to which frames are scaled down to save bytes."""
QUALITY = 82
_SAMPLES = 5


@dataclass(frozen=True)
class EmbeddedSize:
    """The size in pixels of the embedded frames."""

    width: int
    height: int
    note: str | None = None
    """What was scaled down; None if nothing was."""


def choose_size(reader: VideoReader) -> EmbeddedSize:
    """Return the largest size at which a video's frames stay below the limits, estimated from five frames.

    Raises:
        InputError: A frame is damaged.
    """
    video = reader.info
    longest = max(video.height, video.width)
    side = min(longest, MAX_SIDE)
    numbers = sorted({k * (video.frames - 1) // max(_SAMPLES - 1, 1) for k in range(_SAMPLES)})
    samples = [next(reader.frames(t, t + 1)) for t in numbers]
    while side > MIN_SIDE and _estimate(samples, _sized(video.height, video.width, side), video.frames) > MAX_BYTES:
        side = max(MIN_SIDE, side * 4 // 5)
    if side == longest:
        return EmbeddedSize(video.width, video.height)
    size = _sized(video.height, video.width, side)
    note = (
        f"the frames are scaled down from {video.width} x {video.height} to {size.width} x {size.height} pixels; "
        "the masks keep their size"
    )
    return EmbeddedSize(size.width, size.height, note)


def jpeg_frames(reader: VideoReader, size: EmbeddedSize) -> Iterator[bytes]:
    """Yield every frame of a video as a JPEG image; the same frames give the same bytes.

    Raises:
        InputError: A frame is damaged.
    """
    for frame in reader.frames():
        yield _jpeg(frame, size)


def _sized(height: int, width: int, side: int) -> EmbeddedSize:
    longest = max(height, width)
    return EmbeddedSize(max(1, round(width * side / longest)), max(1, round(height * side / longest)))


def _estimate(samples: list[Frame], size: EmbeddedSize, frames: int) -> float:
    return sum(len(_jpeg(sample, size)) for sample in samples) / len(samples) * frames


def _jpeg(frame: Frame, size: EmbeddedSize) -> bytes:
    if frame.shape[:2] != (size.height, size.width):
        image = Image.fromarray(frame)
        frame = np.asarray(image.resize((size.width, size.height), Image.Resampling.BOX, reducing_gap=2.0))
    return encode_image(frame, ".jpg", quality=QUALITY)

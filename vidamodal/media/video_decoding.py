"""Decoding of video files: sequential frames with PyAV, random frames with decord."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from vidamodal.media.video_index import VideoIndex, decode_pictures
from vidamodal.media.video_source import VideoSource
from vidamodal.types import Frame, InputError, VideoInfo


def decode_frames(source: VideoSource, index: VideoIndex, start: int, stop: int) -> Iterator[Frame]:
    """Yield frames ``start`` to ``stop`` (exclusive) and check each of them.

    At the end of the video one more frame is requested, to detect a file that holds more frames than its index, unless
    the file may be damaged there.

    Raises:
        InputError: A frame is damaged or missing, has another size, or the number of frames differs from the index.
    """
    number, reformatter = start, VideoReformatter()  # creating one takes longer than converting a small frame
    try:
        for number, frame in _numbered_frames(source, index, start):
            if frame is None:
                raise InputError(f"{source.name}: frame {number} of {index.frames} is damaged. Pass an undamaged file.")
            _check_frame(source.name, index, number, frame)
            yield rotate(reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray(), index.display_matrix)
            number += 1
            if number == stop and (stop < index.frames or index.open_ended):
                return
    except av.error.FFmpegError as error:
        raise InputError(
            f"{source.name}: frame {number} of {index.frames} cannot be decoded ({error.strerror}). "
            "Pass an undamaged file."
        ) from None
    if number != stop:
        raise InputError(
            f"{source.name}: only {number} of {index.frames} frames could be decoded. Pass an undamaged file."
        )


def _check_frame(name: str, index: VideoIndex, number: int, frame: VideoFrame) -> None:
    if number == index.frames:
        raise InputError(f"{name}: the file has more frames than the {index.frames} in its index. Remux it.")
    if index.frame_number(frame.pts) not in (None, number):
        raise InputError(f"{name}: frame {number} of {index.frames} is missing. Pass an undamaged file.")
    if (frame.height, frame.width) != index.coded_size:
        height, width = index.coded_size
        raise InputError(
            f"{name}: frame {number} has {frame.height} x {frame.width} pixels, but the first has {height} x {width}. "
            "Convert the video to one size."
        )


def _numbered_frames(source: VideoSource, index: VideoIndex, start: int) -> Iterator[tuple[int, VideoFrame | None]]:
    """Yield every frame from ``start`` on with its number, after a seek if the seek lands before ``start``."""
    with source.open() as (container, stream):
        if start and index.times is not None:
            container.seek(index.times[start], stream=stream)
            frames = decode_pictures(container, stream)
            for frame in frames:
                number = None if frame is None else index.frame_number(frame.pts)
                if number is None or number > start:
                    break
                if number == start:
                    yield start, frame
                    yield from enumerate(frames, start + 1)
                    return
    with source.open() as (container, stream):
        yield from itertools.islice(enumerate(decode_pictures(container, stream)), start, None)


def rotate(image: Frame, matrix: tuple[int, ...] | None) -> Frame:
    """Apply a display matrix: (x, y) moves to (m0 x + m3 y, m1 x + m4 y). Only right angles and mirrors are applied."""
    if matrix is None:
        return image
    across, down = matrix[0], matrix[4]
    if abs(matrix[1]) + abs(matrix[3]) > abs(across) + abs(down):
        image, across, down = image.transpose(1, 0, 2), matrix[3], matrix[1]
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


@functools.cache
def load_decord() -> Any:
    """Return the decord module, or None on platforms without a wheel."""
    try:
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def decode_with_decord(
    decord: Any, source: VideoSource, info: VideoInfo, numbers: Sequence[int]
) -> UInt8[np.ndarray, "n h w 3"]:
    """Decode the frames with the given numbers, in the order requested.

    Raises:
        InputError: The frames cannot be decoded, or decord disagrees with ``info`` about their number or size.
    """
    content = str(source.content) if isinstance(source.content, Path) else io.BytesIO(source.content)
    try:
        reader = decord.VideoReader(content, num_threads=1)
        frames: np.ndarray = reader.get_batch(list(numbers)).asnumpy()
    except (RuntimeError, decord.DECORDError):
        raise InputError(f"{source.name}: frames {list(numbers)} cannot be decoded. Pass an undamaged file.") from None
    if len(reader) != info.frames or frames.shape[1:3] != (info.height, info.width):
        raise InputError(
            f"{source.name}: only {len(reader)} of {info.frames} frames could be decoded. Pass an undamaged file."
        )
    return frames

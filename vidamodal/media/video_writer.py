"""Writing videos: H.264 for people, lossless FFV1 for masks, ProRes 4444 with transparency for video editors."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av import VideoFrame
from jaxtyping import UInt8

from vidamodal.media.files import atomic_file
from vidamodal.types import Frame, Mask

Preset = Literal["ultrafast", "medium"]
"""How much time x264 spends to make a file smaller."""

_BT709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv"}


@dataclass(frozen=True)
class _Encoding:
    container: str
    codec: str
    options: dict[str, str]

    @property
    def muxing(self) -> dict[str, str]:
        fast_start = {"movflags": "+faststart"} if self.container == "mp4" else {}
        return {"fflags": "+bitexact", **fast_start}


def write_video(
    path: str | os.PathLike[str], frames: Iterable[Frame], fps: float, crf: int = 18, preset: Preset = "medium"
) -> None:
    """Write an H.264 mp4 (yuv420p, index in front) atomically. The same frames give the same bytes.

    An odd height or width is padded by one pixel, a copy of the edge.

    Args:
        path: File to write.
        frames: RGB frames of one size, at least one.
        fps: Frames per second.
        crf: Constant rate factor of x264; lower is better and larger.
        preset: Preset of x264. For a preview, "ultrafast" takes a tenth of the time, for a file twice as large.

    Raises:
        ValueError: There are no frames, or they differ in size.
    """

    def convert(image: Frame) -> VideoFrame:
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        return _to_yuv(frame, "yuv420p")

    # mbtree=0: x264 165 reads uninitialised memory at widths such as 960 on AVX-512, which changes the bytes.
    options = {"crf": str(crf), "preset": preset, "x264-params": "mbtree=0", **_BT709}
    _encode(path, map(convert, frames), fps, _Encoding("mp4", "libx264", options))


def write_mask_video(path: str | os.PathLike[str], masks: Iterable[Mask], fps: float) -> None:
    """Write masks as a lossless grey video (0 and 255, FFV1 in Matroska) of exactly their size, atomically.

    Raises:
        ValueError: There are no masks, or they differ in size.
    """

    def convert(mask: Mask) -> VideoFrame:
        return VideoFrame.from_ndarray(np.ascontiguousarray(mask, dtype=np.uint8) * 255, format="gray")

    _encode(path, map(convert, masks), fps, _Encoding("matroska", "ffv1", {"level": "3", "slicecrc": "1"}))


@contextmanager
def open_cutout_video(
    path: str | os.PathLike[str], fps: float
) -> Iterator[Callable[[UInt8[np.ndarray, "h w 4"]], None]]:
    """Write a ProRes 4444 video with an alpha channel (QuickTime, 10 bits) atomically, frame by frame.

    Alpha is straight: colours are not multiplied by it.

    Yields:
        The function that adds an RGBA frame. At least one has to be added.
    """
    options = {"profile": "4444", "alpha_bits": "16", "vendor": "apl0", **_BT709}
    with _open_encoder(path, fps, _Encoding("mov", "prores_ks", options)) as add:

        def add_rgba(image: UInt8[np.ndarray, "h w 4"]) -> None:
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgba")
            add(_to_yuv(frame, "yuva444p10le"))

        yield add_rgba


def _to_yuv(frame: VideoFrame, pixels: str) -> VideoFrame:
    # With more threads, FFmpeg 8 converts some pixels of a row wrongly and at random, unless the width suits it.
    return frame.reformat(format=pixels, dst_colorspace="ITU709", threads=1)


def _encode(path: str | os.PathLike[str], frames: Iterator[VideoFrame], fps: float, encoding: _Encoding) -> None:
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write")
    with _open_encoder(path, fps, encoding) as add:
        for frame in itertools.chain([first], frames):
            add(frame)


@contextmanager
def _open_encoder(
    path: str | os.PathLike[str], fps: float, encoding: _Encoding
) -> Iterator[Callable[[VideoFrame], None]]:
    """Write a video atomically. Yields the function that adds a frame; the first determines size and pixel format."""
    rate = Fraction(fps).limit_denominator(10_000)
    with (
        atomic_file(path) as temporary,
        av.open(f"file:{temporary}", "w", format=encoding.container, options=encoding.muxing) as container,
    ):
        stream: Any = container.add_stream(
            encoding.codec, rate=rate, options={"flags": "+bitexact", **encoding.options}
        )
        stream.codec_context.thread_count = 1  # more threads give other bytes
        numbers = itertools.count()

        def add(frame: VideoFrame) -> None:
            number = next(numbers)
            if not number:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
            elif (frame.height, frame.width) != (stream.height, stream.width):
                raise ValueError(f"{path}: frame {number} has another size than the first")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode())

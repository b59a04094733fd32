"""A video file on disk or in memory, opened with PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
from av import VideoStream
from av.container import InputContainer
from av.stream import Disposition

from vidamodal.media.images import MAX_PIXELS
from vidamodal.types import InputError

_OPTIONS = {
    # Formats that refer to other files or addresses (playlists, concatenations, image sequences) are not opened.
    "protocol_whitelist": "file",
    "format_whitelist": "aac,apng,asf,av1,avi,flac,flv,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp3,mpeg,mpegts,"
    "mpegvideo,mpjpeg,mxf,nut,obu,ogg,wav,yuv4mpegpipe",
}


@dataclass(frozen=True)
class VideoSource:
    """A path or the bytes of a video file, with the name that error messages use."""

    content: Path | bytes
    name: str
    format: str | None = None
    """FFmpeg's name of the format; None to recognise it by the content."""
    stream: int | None = None
    """Number of the video stream to read; None for the first that is not a cover picture."""

    @property
    def short_name(self) -> str:
        """The name without folders, as notes use it."""
        return Path(self.name).name

    @contextmanager
    def open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the container and its video stream.

        Raises:
            InputError: The file is not a video, or its codec is not supported.
        """
        content: Any = f"file:{self.content}" if isinstance(self.content, Path) else io.BytesIO(self.content)
        with self.decoding_errors():
            container = av.open(content, format=self.format, options=dict(_OPTIONS), metadata_errors="replace")
        with container:
            streams = [stream for stream in moving_streams(container) if self.stream in (None, stream.index)]
            if not streams:
                raise InputError(f"{self.name}: the file has no video stream (audio only?). Pass a video.")
            stream = next((stream for stream in streams if stream.codec_context is not None), None)
            if stream is None:
                raise InputError(f"{self.name}: the codec of this video is not supported. Convert it to H.264.")
            if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
                raise InputError(
                    f"{self.name}: frames of more than {MAX_PIXELS // 10**6} megapixels. Resize the video."
                )
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield container, stream

    @contextmanager
    def open_binary(self) -> Iterator[BinaryIO]:
        """Open the file as bytes."""
        with self.content.open("rb") if isinstance(self.content, Path) else io.BytesIO(self.content) as file:
            yield file

    @contextmanager
    def decoding_errors(self) -> Iterator[None]:
        """Convert the exceptions of PyAV for a file that is not a video into an InputError."""
        try:
            yield
        except av.error.FFmpegError as error:
            reason = " ".join(str(error.strerror).split())
            raise InputError(
                f"{self.name}: cannot be read as a video ({reason}). Pass a complete mp4, mkv, webm or avi file, or a "
                "folder of frames."
            ) from None


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that are not marked as pictures, such as covers and thumbnails."""
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & pictures]


def choose_stream(name: str, container: InputContainer, pictures: Mapping[int, int]) -> tuple[VideoStream, str | None]:
    """Choose among the video streams of a file: those of one picture last, then the default, the largest and the first.

    Args:
        name: Name of the file for the note.
        container: The open file.
        pictures: Number of pictures of each stream by its index.

    Returns:
        The stream, and a note for the user if there was a choice.
    """
    streams = [stream for stream in moving_streams(container) if stream.index in pictures]

    def rank(stream: VideoStream) -> tuple[bool, bool, int]:
        area = stream.codec_context.width * stream.codec_context.height
        return pictures[stream.index] > 1, bool(stream.disposition & Disposition.default), area

    chosen = max(streams, key=rank)
    if len(streams) == 1:
        return chosen, None
    size = f"{chosen.codec_context.height} x {chosen.codec_context.width} pixels"
    return chosen, f"{name}: of {len(streams)} video streams, number {streams.index(chosen) + 1} is read ({size})"

"""A video file on disk or in memory, opened with PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av import VideoStream
from av.container import InputContainer
from av.stream import Disposition

from vidamodal.types import InputError

_OPTIONS = {
    # Formats that refer to other files or addresses (playlists, concatenations, image sequences) are not opened.
    "protocol_whitelist": "file",
    "format_whitelist": "aac,apng,asf,av1,avi,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp3,mpeg,mpegts,"
    "mpegvideo,mxf,nut,obu,ogg,wav,yuv4mpegpipe",
}


@dataclass(frozen=True)
class VideoSource:
    """A path or the bytes of a video file, with the name that error messages use."""

    content: Path | bytes
    name: str

    @contextmanager
    def open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the container and its first video stream that is not a cover picture.

        Raises:
            InputError: The file is not a video, or its codec is not supported.
        """
        content: Any = f"file:{self.content}" if isinstance(self.content, Path) else io.BytesIO(self.content)
        with self.decoding_errors():
            container = av.open(content, options=dict(_OPTIONS), metadata_errors="replace")
        with container:
            stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
            if stream is None:
                raise InputError(f"{self.name}: the file has no video stream (audio only?). Pass a video.")
            if stream.codec_context is None:
                raise InputError(f"{self.name}: the codec of this video is not supported. Convert it to H.264.")
            yield container, stream

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

"""Videos in, videos out: RGB frames in display order, streamed, and exactly as many as the container shows.

PyAV reads video files one after another. It says which frames are damaged; decord does not (of 150 files with flipped
bits it handed on 91 with damaged pictures and no error, 78 of which PyAV reports), nor does it know edit lists, so it
serves only what it is quickest at: random frames of plain H.264 files (``VideoReader.pick``), as training draws them.
imageio reads folders of frames and single images.
"""

from __future__ import annotations

import bisect
import functools
import io
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio.v3 as iio
import numpy as np
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from jaxtyping import Bool, UInt8
from PIL import Image

from vidamodal.media.files import whole_file
from vidamodal.types import InputError, VideoInfo

Frame = UInt8[np.ndarray, "h w 3"]

IMAGES = {".png", ".jpg", ".jpeg"}
FOLDER_FPS = 24.0
"""The rate given to a folder of frames, which says none."""
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_OPTIONS = {
    # Nothing that names other files or addresses (playlists, concatenations, image sequences) is opened.
    "protocol_whitelist": "file",
    "format_whitelist": "aac,apng,asf,av1,avi,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp3,mpeg,mpegts,"
    "mpegvideo,mxf,nut,obu,ogg,wav,yuv4mpegpipe",
}
_BT709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv"}


@dataclass(frozen=True)
class VideoReader:
    """A video that can be read any number of times.

    ``stems`` are the names, without suffix, of a folder's frames; None for a video file or a single image.
    """

    info: VideoInfo
    stems: tuple[str, ...] | None
    _read: Callable[[int, int], Iterator[Frame]]
    _pick: Callable[[Sequence[int]], UInt8[np.ndarray, "n h w 3"]] | None = None

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames ``start`` to ``stop`` (exclusive; all by default), one at a time.

        InputError on a damaged frame, a change of size, or fewer or more frames than ``info.frames``.
        """
        stop = self.info.frames if stop is None else stop
        if not 0 <= start <= stop <= self.info.frames:
            raise ValueError(f"frames {start} to {stop} of a video of {self.info.frames}")
        return self._read(start, stop) if start < stop else iter(())

    def pick(self, numbers: Sequence[int]) -> UInt8[np.ndarray, "n h w 3"]:
        """The frames with the given numbers, in the order asked for, by decord where it reads right.

        decord may hand on damaged pictures: for files of our own making, not for a user's.
        """
        if self._pick is not None:
            return self._pick(numbers)
        found: dict[int, Frame] = {}
        for number in sorted(set(numbers)):
            found[number] = next(self.frames(number, number + 1))
        return np.stack([found[number] for number in numbers])


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Size, exact length and rate of a video file, a folder of frames or an image. InputError if it is none."""
    return open_video(path).info


def open_video(path: str | os.PathLike[str]) -> VideoReader:
    """Opens a video file, a folder of PNG or JPEG frames, or a single image. InputError if it cannot be read."""
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; give a video file, a folder of frames or an image")
    if not path.stat().st_size:
        raise InputError(f"{path}: the file is empty; give a video file, a folder of frames or an image")
    with path.open("rb") as file:
        if file.read(8).startswith(_SIGNATURES):
            return _open_images([path], path, fps=1.0)
    return _open_file(_File(path, str(path)), path.name)


def open_bytes(data: bytes, name: str) -> VideoReader:
    """Opens a video file that is already in memory, such as a member of a shard; ``name`` stands in errors."""
    return _open_file(_File(data, name), name)


# Folders of frames and images


def _open_folder(folder: Path) -> VideoReader:
    paths = sorted((p for p in folder.iterdir() if is_image(p)), key=lambda p: natural(p.stem))
    if not paths:
        raise InputError(f"{folder}: no PNG or JPEG in this folder; give a folder of frames or a video file")
    for first, second in zip(paths, paths[1:], strict=False):
        if first.stem == second.stem:
            raise InputError(f"{folder}: {first.name} and {second.name} are the same frame; keep one")
    return _open_images(paths, folder, FOLDER_FPS)


def _open_images(paths: list[Path], source: Path, fps: float) -> VideoReader:
    height, width = read_image(paths[0]).shape[:2]

    def read(start: int, stop: int) -> Iterator[Frame]:
        for path in paths[start:stop]:
            image = read_image(path)
            if image.shape[:2] != (height, width):
                raise InputError(
                    f"{path}: {image.shape[0]} x {image.shape[1]} pixels, but the first frame has {height} x {width}; "
                    "bring all frames to one size"
                )
            yield image

    stems = tuple(path.stem for path in paths) if source.is_dir() else None
    return VideoReader(VideoInfo(_name(source), height, width, len(paths), fps), stems, read)


def is_image(path: Path) -> bool:
    """Whether a folder's entry is taken for a picture: a PNG or JPEG that is not hidden."""
    return path.suffix.lower() in IMAGES and not path.name.startswith(".") and path.is_file()


def natural(stem: str) -> tuple[tuple[int, str], ...]:
    """Sort key in which frame 10 follows frame 9; the name itself decides between 7 and 07."""
    parts = (part for part in re.split("([0-9]+)", stem) if part)
    return (*((int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts), (-1, stem))


def read_image(path: Path) -> Frame:
    """A PNG or JPEG as RGB, turned as its EXIF tag says. InputError if it cannot be read."""
    with reading_image(path):
        return np.ascontiguousarray(iio.imread(path, plugin="pillow", mode="RGB", index=0, rotate=True))


@contextmanager
def reading_image(path: Path) -> Iterator[None]:
    """Turns what imageio and Pillow raise on a damaged picture into an InputError."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise InputError(f"{path}: not a picture that can be read ({_line(error)}); write it again") from None


# Video files


@dataclass(frozen=True)
class _File:
    """A video file on disk or in memory, and its name in errors."""

    source: Path | bytes
    name: str

    @contextmanager
    def stream(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """The opened container and its video stream."""
        source: Any = f"file:{self.source}" if isinstance(self.source, Path) else io.BytesIO(self.source)
        with self.readable():
            container = av.open(source, options=dict(_OPTIONS), metadata_errors="replace")
        with container:
            stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
            if stream is None:
                raise InputError(f"{self.name}: no video in this file (audio only?); give a video")
            if stream.codec_context is None:
                raise InputError(f"{self.name}: no decoder for this video's codec; convert it to H.264")
            yield container, stream

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Turns what PyAV raises on a file that is no video into an InputError."""
        try:
            yield
        except av.error.FFmpegError as error:
            raise InputError(
                f"{self.name}: not a video that can be read ({_line(error.strerror)}); give a whole mp4, mkv, webm or "
                "avi file, or a folder of frames"
            ) from None


@dataclass(frozen=True)
class _Table:
    """What a demux and the first picture tell of a file."""

    frames: int
    fps: float
    coded: tuple[int, int]
    """Height and width of the pictures before they are turned."""
    matrix: tuple[int, ...] | None
    """The display matrix, row by row, in 16.16 fixed point."""
    times: tuple[int, ...] | None
    """Time of every frame shown, in order; None where the container's times cannot be relied on."""
    plain: bool
    """Whether decord reads this file right."""

    def number(self, time: int | None) -> int | None:
        """The number of the frame shown at a time; None if the container tells none."""
        if self.times is None or time is None:
            return None
        place = bisect.bisect_left(self.times, time)
        return place if place < len(self.times) and self.times[place] == time else None


def _open_file(file: _File, name: str) -> VideoReader:
    table = _survey(file)
    height, width = _upright(np.empty((*table.coded, 3), dtype=np.uint8), table.matrix).shape[:2]
    info = VideoInfo(name, height, width, table.frames, table.fps)
    decord = _decord() if table.plain else None
    pick = None if decord is None else lambda numbers: _pick(decord, file, info, numbers)
    return VideoReader(info, None, lambda start, stop: _decode(file, table, start, stop), pick)


def _survey(file: _File) -> _Table:
    with file.stream() as (container, stream):
        packets = _count(file, container, stream)
        rate = stream.average_rate or stream.guessed_rate or Fraction(1)
        context = stream.codec_context
        plain = (
            "mp4" in container.format.name
            and context.name == "h264"
            and context.pix_fmt == "yuv420p"
            and len(container.streams.video) == 1
            and stream.start_time == 0
            and stream.frames == len(packets.times)
            and packets.regular
        )
    with file.stream() as (container, stream), file.readable():
        first = next(container.decode(stream), None)
        if first is None:
            raise InputError(f"{file.name}: 0 of {len(packets.times)} frames can be decoded; give a whole file")
        reordered = stream.codec_context.has_b_frames
        side_data: Any = first.side_data
        matrix = next((data for data in side_data if data.type is SideData.DISPLAYMATRIX), None)
        turn = None if matrix is None else tuple(np.frombuffer(bytes(matrix), dtype=np.int32).tolist())
    known = [time for time in packets.times if time is not None]
    ordered = sorted(set(known))
    # A time may be missing, stand twice, or be that of decoding where that of showing belongs.
    reliable = len(ordered) == len(packets.times) and not (reordered and ordered == known)
    return _Table(
        frames=len(packets.times),
        fps=max(round(float(rate), 4), 0.0001),
        coded=(first.height, first.width),
        matrix=turn,
        times=tuple(ordered) if reliable else None,
        plain=plain and turn is None and reliable,
    )


@dataclass(frozen=True)
class _Packets:
    times: list[int | None]
    """Time of every packet that is shown."""
    regular: bool
    """No packet is hidden by an edit list or brings parameters of its own, such as another size."""


def _count(file: _File, container: InputContainer, stream: VideoStream) -> _Packets:
    """Demuxes the whole file. InputError if it holds fewer frames than it declares, or cannot be read to its end."""
    indexed = sum(not entry.is_discard for entry in stream.index_entries) if "mp4" in container.format.name else 0
    declared, length = indexed or stream.frames, container.duration
    times: list[int | None] = []
    end, regular = 0.0, True
    whole = True
    try:
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index or not packet.size:
                continue
            if packet.is_corrupt:
                whole = False
                break
            regular = regular and not packet.is_discard and not _brings_parameters(packet)
            if not packet.is_discard and not _is_hidden(packet, stream):
                times.append(packet.pts)
    except av.error.FFmpegError:
        whole = False
    if "matroska" in container.format.name and length is not None:
        rate = float(stream.average_rate or 1)
        missing = length / av.time_base - end
        if missing > max(0.1, 3 / rate):  # the header tells the length; frames are not counted anywhere
            declared = len(times) + round(missing * rate)
    if declared > len(times):
        raise InputError(
            f"{file.name}: only {len(times)} of {declared} frames are in the file, it is cut off; give the whole file"
        )
    if not whole:
        raise InputError(f"{file.name}: damaged after {len(times)} frames; give an undamaged file")
    if not times:
        raise InputError(f"{file.name}: the file holds no frame; give a video")
    return _Packets(times, regular)


def _is_hidden(packet: Packet, stream: VideoStream) -> bool:
    """Whether a VP8 packet holds a reference that is never shown (RFC 6386, section 9.1)."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10


def _brings_parameters(packet: Packet) -> bool:
    """Whether an H.264 packet as mp4 holds it carries a sequence parameter set, which may change the size."""
    if not packet.is_keyframe:
        return False
    data, at = bytes(packet), 0
    while at + 4 < len(data):
        if data[at + 4] & 31 == 7:
            return True
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return False


def _decode(file: _File, table: _Table, start: int, stop: int) -> Iterator[Frame]:
    """Frames ``start`` to ``stop``, each checked. The frame after the last is asked for: there must be none."""
    number, colours = start, VideoReformatter()  # one for all: making one takes longer than a small frame does
    try:
        for number, frame in _numbered(file, table, start):
            if number == table.frames:
                raise InputError(f"{file.name}: more than the {table.frames} frames of its index come; remux the file")
            if table.number(frame.pts) not in (None, number):
                raise InputError(f"{file.name}: frame {number} of {table.frames} is missing; give an undamaged file")
            if frame.is_corrupt:
                raise InputError(f"{file.name}: frame {number} of {table.frames} is damaged; give an undamaged file")
            if (frame.height, frame.width) != table.coded:
                raise InputError(
                    f"{file.name}: frame {number} has {frame.height} x {frame.width} pixels, the first "
                    f"{table.coded[0]} x {table.coded[1]}; bring the video to one size"
                )
            yield _upright(colours.reformat(frame, format="rgb24", threads=1).to_ndarray(), table.matrix)
            number += 1
            if number == stop < table.frames:
                return
    except av.error.FFmpegError as error:
        raise InputError(
            f"{file.name}: frame {number} of {table.frames} cannot be decoded ({error.strerror}); "
            "give an undamaged file"
        ) from None
    if number != stop:
        raise InputError(f"{file.name}: only {number} of {table.frames} frames came; give an undamaged file")


def _numbered(file: _File, table: _Table, start: int) -> Iterator[tuple[int, VideoFrame]]:
    """Every frame from ``start`` on with its number, after a seek where one lands rightly."""
    with file.stream() as (container, stream):
        if start and table.times is not None:
            container.seek(table.times[start], stream=stream)
            frames = container.decode(stream)
            for frame in frames:
                number = table.number(frame.pts)
                if number is None or number > start:
                    break
                if number == start:
                    yield start, frame
                    yield from enumerate(frames, start + 1)
                    return
    with file.stream() as (container, stream):
        yield from itertools.islice(enumerate(container.decode(stream)), start, None)


def _upright(image: Frame, matrix: tuple[int, ...] | None) -> Frame:
    """The picture as it is to be shown: (x, y) goes to (m0 x + m3 y, m1 x + m4 y), by right angles and mirrors."""
    if matrix is None:
        return image
    across, down = matrix[0], matrix[4]
    if abs(matrix[1]) + abs(matrix[3]) > abs(across) + abs(down):
        image, across, down = image.transpose(1, 0, 2), matrix[3], matrix[1]
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


@functools.cache
def _decord() -> Any:
    """The decord module; None where it has no wheel."""
    try:
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _pick(decord: Any, file: _File, info: VideoInfo, numbers: Sequence[int]) -> UInt8[np.ndarray, "n h w 3"]:
    source = str(file.source) if isinstance(file.source, Path) else io.BytesIO(file.source)
    try:
        reader = decord.VideoReader(source, num_threads=1)
        frames = reader.get_batch(list(numbers)).asnumpy()
    except (RuntimeError, decord.DECORDError):
        raise InputError(f"{file.name}: frames {list(numbers)} cannot be decoded; give an undamaged file") from None
    if len(reader) != info.frames or frames.shape[1:3] != (info.height, info.width):
        raise InputError(f"{file.name}: {len(reader)} of {info.frames} frames came; give an undamaged file")
    return frames


# Writing


def write_image(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Writes RGB or RGBA as a PNG, for a folder that is not yet in its place: nothing is synced."""
    iio.imwrite(path, image, plugin="pillow", extension=".png")


def write_video(path: str | os.PathLike[str], frames: Iterable[Frame], fps: float, crf: int = 18) -> None:
    """Writes an H.264 mp4 that plays everywhere (yuv420p, index in front), whole or not at all.

    An odd height or width grows by one pixel, a copy of the edge. One thread: same frames, same bytes.
    """

    def picture(image: Frame) -> VideoFrame:
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        return frame.reformat(format="yuv420p", dst_colorspace="ITU709")

    # x264 165's macroblock tree reads uninitialised memory at widths such as 960 on AVX-512: other bytes on every run.
    options = {"crf": str(crf), "preset": "medium", "x264-params": "mbtree=0", **_BT709}
    _encode(path, map(picture, frames), fps, "mp4", "libx264", options)


def write_mask_video(path: str | os.PathLike[str], masks: Iterable[Bool[np.ndarray, "h w"]], fps: float) -> None:
    """Writes masks as a lossless grey video (0 and 255; FFV1 in Matroska) of their very size, whole or not at all."""

    def picture(mask: Bool[np.ndarray, "h w"]) -> VideoFrame:
        return VideoFrame.from_ndarray(np.ascontiguousarray(mask, dtype=np.uint8) * 255, format="gray")

    _encode(path, map(picture, masks), fps, "matroska", "ffv1", {"level": "3", "slicecrc": "1"})


def _encode(
    path: str | os.PathLike[str],
    pictures: Iterator[VideoFrame],
    fps: float,
    container_format: str,
    codec: str,
    options: dict[str, str],
) -> None:
    rate = Fraction(fps).limit_denominator(10_000)
    first = next(pictures, None)
    if first is None:
        raise ValueError(f"{path}: no frame to write")
    muxing = {"fflags": "+bitexact", "movflags": "+faststart"} if container_format == "mp4" else {"fflags": "+bitexact"}
    with (
        whole_file(path) as beside,
        av.open(f"file:{beside}", "w", format=container_format, options=muxing) as container,
    ):
        stream: Any = container.add_stream(codec, rate=rate, options={"flags": "+bitexact", **options})
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(itertools.chain([first], pictures)):
            if (frame.height, frame.width) != (first.height, first.width):
                raise ValueError(f"{path}: frame {number} has another size than the first")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _name(path: Path) -> str:
    return path.resolve().name or path.name


def _line(message: object) -> str:
    return " ".join(str(message).split())

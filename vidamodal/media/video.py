"""Reading videos: video files, animations, folders of frames and single images as RGB frames in display order.

PyAV decodes video files sequentially. It reports damaged frames, which decord does not: of 150 files with flipped bits
decord returned damaged frames without an error for 91, of which PyAV reports 78. decord does not apply edit lists
either, so it only serves random access to plain H.264 files (`VideoReader.pick`), where it is the fastest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vidamodal.media.animations import Animation, read_animation, video_format
from vidamodal.media.image_kinds import frames_among
from vidamodal.media.images import find_white, is_deep, is_image, load_image, starts_like_image, to_rgb
from vidamodal.media.listing import list_folder, list_folders, plain_name
from vidamodal.media.video_decoding import decode_frames, decode_with_decord, load_decord, rotate
from vidamodal.media.video_index import index_video
from vidamodal.media.video_source import VideoSource
from vidamodal.types import Frame, InputError, VideoInfo

FOLDER_FPS = 24.0
"""Frame rate assumed for a folder of frames."""

_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of HEIF files: FFmpeg would read one tile of such an image as a video."""
_ACCEPTED = "Pass a video file, a folder of frames or an image."


@dataclass(frozen=True)
class VideoReader:
    """A video that can be read any number of times.

    Attributes:
        info: Name, size, number of frames and frame rate.
        stems: File names without suffix for a folder of frames; None for a video file or a single image.
        notes: What was assumed about the file and which parts of it are not read, one line each, for the user.
    """

    info: VideoInfo
    stems: tuple[str, ...] | None
    _read: Callable[[int, int], Iterator[Frame]]
    _pick: Callable[[Sequence[int]], UInt8[np.ndarray, "n h w 3"]] | None = None
    notes: tuple[str, ...] = ()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames ``start`` to ``stop`` (exclusive; by default all), one at a time.

        Raises:
            ValueError: The range lies outside the video.
            InputError: A frame is damaged or has another size, or the video holds another number of frames than
                ``info.frames``.
        """
        stop = self.info.frames if stop is None else stop
        if not 0 <= start <= stop <= self.info.frames:
            raise ValueError(f"frames {start} to {stop} lie outside a video of {self.info.frames} frames")
        return self._read(start, stop) if start < stop else iter(())

    def pick(self, numbers: Sequence[int]) -> UInt8[np.ndarray, "n h w 3"]:
        """Return the frames with the given numbers, in the order requested, with decord if it supports the file.

        decord may return damaged frames without an error, so use this for generated files, not for a user's.

        Raises:
            InputError: The frames cannot be decoded.
        """
        if self._pick is not None:
            return self._pick(numbers)
        frames = {number: next(self.frames(number, number + 1)) for number in sorted(set(numbers))}
        return np.stack([frames[number] for number in numbers])


def open_video(path: str | os.PathLike[str]) -> VideoReader:
    """Open a video file, an animated PNG, WebP or GIF, a folder of frames, or a single image.

    Frames of a folder are in the natural order of their names, at 24 frames per second. Masks and other images beside
    them are left out, and reported, if they can be distinguished (see ``image_kinds``).

    Raises:
        InputError: ``path`` does not exist, is none of these, or is damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder. {_ACCEPTED}")
    if not path.stat().st_size:
        raise InputError(f"{path}: the file is empty. {_ACCEPTED}")
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:] in _HEIF:
        raise InputError(f"{path}: a HEIF image. Convert it to JPEG or PNG.")
    is_picture = starts_like_image(head)
    known = video_format(path) if is_picture else None
    if is_picture and known is None:
        return _open_picture(path)
    return _open_source(VideoSource(path, str(path), known), plain_name(path))


def open_bytes(data: bytes, name: str) -> VideoReader:
    """Open a video file held in memory, such as a member of a shard.

    Args:
        data: Content of the file.
        name: Name of the video in ``info.path`` and in error messages.

    Raises:
        InputError: The data are not a video, or are damaged.
    """
    return _open_source(VideoSource(data, name), name)


def _open_source(source: VideoSource, name: str) -> VideoReader:
    index = index_video(source)
    source = replace(source, stream=index.stream)
    height, width = rotate(np.empty((*index.coded_size, 3), dtype=np.uint8), index.display_matrix).shape[:2]
    info = VideoInfo(name, height, width, index.frames, index.fps)
    decord = load_decord() if index.decord_safe else None
    pick = None if decord is None else lambda numbers: decode_with_decord(decord, source, info, numbers)
    return VideoReader(info, None, lambda start, stop: decode_frames(source, index, start, stop), pick, index.notes)


def _open_picture(path: Path) -> VideoReader:
    animation = read_animation(path)
    if not isinstance(animation, Animation):
        reader = _open_images([path], path, fps=1.0)
        return reader if animation is None else replace(reader, notes=(*reader.notes, animation))

    def read(start: int, stop: int) -> Iterator[tuple[str, Image.Image]]:
        for number, image in enumerate(animation.frames(start, stop), start):
            yield f"{path}: frame {number}", image

    return _open_pictures(path, animation.count, animation.fps, None, read)


def _open_folder(folder: Path) -> VideoReader:
    images = [entry for entry in list_folder(folder) if is_image(entry)]
    if not images:
        inside = [entry.name for entry in list_folders(folder) if any(map(is_image, entry.iterdir()))]
        advice = f"the folder of frames among {', '.join(inside[:5])}" if inside else "a folder of frames"
        raise InputError(f"{folder}: no PNG or JPEG images in this folder. Pass {advice} or a video file.")
    paths, note = frames_among(images)
    reader = _open_images(paths, folder, FOLDER_FPS)
    return reader if note is None else replace(reader, notes=(f"{reader.info.path}: {note}", *reader.notes))


def _open_images(paths: list[Path], source: Path, fps: float) -> VideoReader:
    stems = tuple(path.stem for path in paths) if source.is_dir() else None

    def read(start: int, stop: int) -> Iterator[tuple[str, Image.Image]]:
        return ((str(path), load_image(path)) for path in paths[start:stop])

    return _open_pictures(source, len(paths), fps, stems, read)


def _open_pictures(
    source: Path,
    count: int,
    fps: float,
    stems: tuple[str, ...] | None,
    read: Callable[[int, int], Iterator[tuple[str, Image.Image]]],
) -> VideoReader:
    """Open a sequence of decoded images; ``read`` yields them with their names in error messages."""
    name = plain_name(source.resolve()) or source.name
    first = next(read(0, 1))[1]
    height, width, deep = first.height, first.width, is_deep(first)
    white = find_white(image for _, image in read(0, count)) if deep else None
    notes = () if white is None else (f"{name}: grey values of more than 8 bits, scaled so that {white} is white",)

    def frames(start: int, stop: int) -> Iterator[Frame]:
        for label, image in read(start, stop):
            if (image.height, image.width) != (height, width):
                raise InputError(
                    f"{label}: {image.height} x {image.width} pixels, but the first frame has {height} x {width}. "
                    "Resize all frames to one size."
                )
            yield to_rgb(image, white, label)

    return VideoReader(VideoInfo(name, height, width, count, fps), stems, frames, notes=notes)

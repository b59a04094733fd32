"""npy: the masks of one video as one .npy, or as a folder with one .npy for each frame (Track-Anything). Read only.

A file holds all frames, as ``array_masks`` describes, or the map (h, w) of one frame; in a folder, the names of the
files are paired with frames like those of PNGs. Integers are ids, and ``pixel_values`` decides what they mean; booleans
are one object. The format does not state whether masks are visible or amodal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.build import clip_from_id_maps
from vidamodal.formats.masks.array_masks import (
    MaskArray,
    array_errors,
    as_mask_image,
    read_header,
    tracks_from_stack,
    understand_axes,
    video_of,
)
from vidamodal.formats.masks.frame_files import pair_with_frames
from vidamodal.media.listing import list_folder
from vidamodal.media.mask_images import MaskImage
from vidamodal.media.pixel_values import id_maps_of
from vidamodal.types import ClipTracks, InputError, VideoInfo

ID = "npy"
NAME = "npy"
SIGN = "an .npy of masks, or a folder of 00000.npy"
_MAGIC = b"\x93NUMPY"


def recognise(path: Path) -> Fit:
    """Match a file that begins like an .npy, and a folder of files named .npy."""
    if path.is_file():
        with path.open("rb") as file:
            return Fit.CERTAIN if file.read(len(_MAGIC)) == _MAGIC else Fit.NONE
    return Fit.POSSIBLE if path.is_dir() and _files(path) else Fit.NONE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return the one clip, whose key is the name of the file or folder."""
    key = path.stem if path.is_file() else path.absolute().name
    read_tracks = _read_file if path.is_file() else _read_folder
    return {key: Clip(key, partial(read_tracks, path, video), lambda: None, kind_known=False)}


def _read_file(path: Path, video: VideoContext | None) -> ClipTracks:
    with array_errors(path, ".npy"):
        stack = understand_axes(_array(path), None if video is None else video.info)
        info = video_of(stack, range(stack.length("t"))) if video is None else video.info
        return tracks_from_stack(stack, None, None, info)


def _read_folder(folder: Path, video: VideoContext | None) -> ClipTracks:
    files = _files(folder)
    if video is None:
        length = pair_with_frames(files, None).length
        video = VideoContext(_video_of_frames(files[0], folder.absolute().name, length))
    pairs, info = pair_with_frames(files, video), replace(video.info, frames=1)

    def images() -> Iterator[tuple[int, MaskImage]]:
        for frame, path in pairs.in_folder(folder).items():
            with array_errors(path, ".npy"):
                stack = understand_axes(_array(path), info)
                if stack.has_objects:
                    raise InputError(f"{path}: {stack.length('n')} masks for one frame; save one map of ids (h, w)")
                for _, _, plane in stack.planes():
                    yield frame, as_mask_image(plane, str(path))

    maps = id_maps_of(images, folder, "array")
    notes = () if pairs.note is None else (f"{folder.absolute().name}: {pairs.note}",)
    return clip_from_id_maps(video.info, maps.maps, folder.absolute().name, notes=notes + maps.notes)


def _video_of_frames(path: Path, name: str, frames: int) -> VideoInfo:
    with array_errors(path, ".npy"):
        array = _array(path)
        sizes = [length for length in array.shape if length > 1]
        if len(sizes) != 2:
            raise InputError(f"{path}: shape {array.shape}; save the map of ids (h, w) of a frame")
        stack = understand_axes(replace(array, shape=tuple(sizes)), None)
        return replace(video_of(stack, range(frames)), path=name)


def _files(folder: Path) -> list[Path]:
    return [entry for entry in list_folder(folder) if entry.suffix.lower() == ".npy" and entry.is_file()]


def _array(path: Path) -> MaskArray:
    @contextmanager
    def open_values() -> Iterator[IO[bytes]]:
        with path.open("rb") as file:
            read_header(file, path, "the array")
            yield file

    with path.open("rb") as file:
        return MaskArray(path, "the array", *read_header(file, path, "the array"), open_values)

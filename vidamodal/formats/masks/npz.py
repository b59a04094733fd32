"""npz: the masks of one video as NumPy arrays. Read only.

``masks`` is (t, h, w) integer ids or bool, or (n, t, h, w) bool; ``ids`` (n,) are the objects, by default 1 to n for
(n, t, h, w); ``frames`` (t,) are the 0-based frames, by default 0 to t - 1. If ``ids`` lists the ids, other values are
refused; else ``pixel_values`` decides what the values mean. The format does not state whether masks are visible or
amodal. Other orders of axes are described in ``array_masks``.

Without ``masks``, the only array of masks under another name is read; of several of one shape, each is a frame (h, w)
or an object (t, h, w), with the number in its name. Frames beyond the end of the video are refused.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.build import MaskCollector, clip_from_id_maps
from vidamodal.formats.masks.array_masks import (
    MaskArray,
    array_errors,
    as_mask,
    as_mask_image,
    check_frames,
    read_header,
    tracks_from_stack,
    understand_axes,
    video_of,
)
from vidamodal.media.listing import natural_key
from vidamodal.media.mask_images import MaskImage
from vidamodal.media.pixel_values import id_maps_of
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, VideoInfo

ID = "npz"
NAME = "npz"
SIGN = "an .npz with an array named masks"
_MAX_ENTRIES = 10**7
_MAX_ARRAYS = 10**5


def recognise(path: Path) -> Fit:
    """Match a zip archive with ``masks.npy`` in it; other archives are a possible match if they are named .npz."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return Fit.NONE
    with array_errors(path, ".npz"), zipfile.ZipFile(path) as archive:
        if "masks.npy" in archive.namelist():
            return Fit.CERTAIN
    return Fit.POSSIBLE if path.suffix.lower() == ".npz" else Fit.NONE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return the one clip, whose key is the name of the file."""
    clip = Clip(path.stem, partial(_read, path, video), lambda: None, kind_known=False)
    return {clip.key: clip}


def _read(path: Path, video: VideoContext | None) -> ClipTracks:
    info = None if video is None else video.info
    with array_errors(path, ".npz"), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if len(names) > _MAX_ARRAYS:
            raise InputError(f"{path}: {len(names)} arrays; save one array named masks")
        arrays = [_array(archive, path, name) for name in names if name not in ("ids", "frames")]
        chosen = _mask_arrays(path, arrays, info)
        frames = _vector(archive, path, "frames") if "frames" in names else None
        ids = _vector(archive, path, "ids") if "ids" in names else None
        _check_ids(path, ids)
        if len(chosen) > 1:
            return _from_several(chosen, info)
        return _from_one(chosen[0], info, frames, ids)


def _from_one(
    array: MaskArray, info: VideoInfo | None, frames: Sequence[int] | None, ids: Sequence[int] | None
) -> ClipTracks:
    stack = understand_axes(array, info, None if frames is None else len(frames))
    _check_length(array.path, "frames", frames, stack.length("t"))
    _check_length(array.path, "ids", ids, stack.length("n") if stack.has_objects else None)
    frames = range(stack.length("t")) if frames is None else frames
    info = video_of(stack, frames) if info is None else info
    check_frames(array.path, frames, info)
    clip = tracks_from_stack(stack, frames, ids, info)
    if array.name == "masks":
        return clip
    return replace(clip, notes=(f"{array.path.name}: the masks are in the array {array.name}", *clip.notes))


def _from_several(arrays: Sequence[MaskArray], info: VideoInfo | None) -> ClipTracks:
    """Arrays of one shape are frames or objects, by the numbers in their names."""
    stacks = [understand_axes(array, info) for array in arrays]
    path, numbers = arrays[0].path, [_number(array) for array in arrays]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{path}: the array names have no distinct numbers; save one array named masks")
    if stacks[0].length("t") > 1:
        info = video_of(stacks[0], range(stacks[0].length("t"))) if info is None else info
        collector = MaskCollector(info)
        for number, stack in zip(numbers, stacks, strict=True):
            for _, frame, plane in stack.planes():
                collector.add(number, frame, as_mask(plane, f"{path}: {stack.array.name}"))
        clip = collector.clip()
        return replace(clip, notes=(f"{path.name}: {len(arrays)} arrays, each is an object", *clip.notes))
    info = video_of(stacks[0], numbers) if info is None else info
    check_frames(path, numbers, info)

    def images() -> Iterator[tuple[int, MaskImage]]:
        for number, stack in zip(numbers, stacks, strict=True):
            for _, _, plane in stack.planes():
                yield number, as_mask_image(plane, f"{path}: {stack.array.name}")

    maps = id_maps_of(images, path, "array")
    notes = (f"{path.name}: {len(arrays)} arrays, each is a frame", *maps.notes)
    return clip_from_id_maps(info, maps.maps, path.name, notes=notes)


def _number(array: MaskArray) -> int:
    """The last number in the name of an array; -1 if there is none."""
    numbers = [number for number, text in natural_key(array.name) if not text]
    return numbers[-1] if numbers and numbers[-1] <= MAX_TRACK_ID else -1


def _mask_arrays(path: Path, arrays: Sequence[MaskArray], info: VideoInfo | None) -> Sequence[MaskArray]:
    """The arrays that hold the masks."""
    named = [array for array in arrays if array.name == "masks"]
    if named:
        return named
    found = [array for array in arrays if _may_be_masks(array, info)]
    if not found or len({array.shape for array in found}) > 1:
        listed = ", ".join(f"{array.name} {array.shape}" for array in arrays[:5])
        raise InputError(f"{path}: no array named masks (it holds {listed}); save np.savez(file, masks=masks)")
    return found


def _may_be_masks(array: MaskArray, info: VideoInfo | None) -> bool:
    try:
        understand_axes(array, info)
    except InputError:
        return False
    return info is not None or len(array.shape) > 2


def _array(archive: zipfile.ZipFile, path: Path, name: str) -> MaskArray:
    @contextmanager
    def open_values() -> Iterator[IO[bytes]]:
        with archive.open(f"{name}.npy") as file:
            read_header(file, path, name)
            yield file

    with archive.open(f"{name}.npy") as file:
        return MaskArray(path, name, *read_header(file, path, name), open_values)


def _vector(archive: zipfile.ZipFile, path: Path, name: str) -> list[int]:
    """A list of integers."""
    array = _array(archive, path, name)
    if len(array.shape) != 1 or array.dtype.kind not in "iu":
        raise InputError(f"{path}: {name} has dtype {array.dtype} and shape {array.shape}; save a list of integers")
    if array.shape[0] > _MAX_ENTRIES:
        raise InputError(f"{path}: {name} has {array.shape[0]} entries; save at most {_MAX_ENTRIES}")
    with array.open_values() as file:
        content = file.read(array.shape[0] * array.dtype.itemsize)
        if file.read(1) or len(content) < array.shape[0] * array.dtype.itemsize:
            raise InputError(f"{path}: {name} has other values than its shape says; save it again")
    return [int(value) for value in np.frombuffer(content, dtype=array.dtype)]


def _check_ids(path: Path, ids: Sequence[int] | None) -> None:
    if ids is not None and (len(set(ids)) < len(ids) or not all(0 <= number <= MAX_TRACK_ID for number in ids)):
        raise InputError(f"{path}: ids must be different integers from 0 to {MAX_TRACK_ID}")


def _check_length(path: Path, name: str, values: Sequence[int] | None, length: int | None) -> None:
    if values is not None and length is not None and len(values) != length:
        raise InputError(f"{path}: {name} has shape ({len(values)},); save ({length},) integers")

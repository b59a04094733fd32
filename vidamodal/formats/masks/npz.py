"""npz: the masks of one video as NumPy arrays. Read only.

``masks`` is (t, h, w) integer ids or bool, or (n, t, h, w) bool; ``ids`` (n,) are the objects, by default 1 to n for
(n, t, h, w); ``frames`` (t,) are the 0-based frames, by default 0 to t - 1. If ``ids`` lists the ids, other values are
refused; else ``pixel_values`` decides what the values mean. The format does not state whether masks are visible or
amodal. Other orders of axes are described in ``array_masks``.

Usual names of ``frames`` and ``ids``, such as ``frame_idx`` and ``object_ids``, are read and reported; lists of one
entry for each frame or object that are not read are reported, too.

Without ``masks``, the only array of masks under another name is read; of several of one shape, each is a frame (h, w)
or an object (t, h, w), with the number in its name. Frames count like the names of PNGs (see ``frame_files``), and
those beyond the end of the video are refused.
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
from vidamodal.formats.masks.frame_files import pair_with_frames
from vidamodal.media.listing import natural_key
from vidamodal.media.mask_images import MaskImage
from vidamodal.media.pixel_values import id_maps_of
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, VideoInfo

ID = "npz"
NAME = "npz"
SIGN = "an .npz with an array named masks"
_MAX_ENTRIES = 10**7
_MAX_ARRAYS = 10**5
_FRAMES_NAMES = ("frame_idx", "frame_indices", "frame_ids", "frame_numbers")
_IDS_NAMES = ("object_ids", "obj_ids", "track_ids")
_LISTED = 3


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
        others = [_array(archive, path, name) for name in names if name not in {array.name for array in chosen}]
        if len(chosen) > 1:
            return _from_several(chosen, video)
        return _from_one(chosen[0], info, others)


def _from_one(array: MaskArray, info: VideoInfo | None, others: Sequence[MaskArray]) -> ClipTracks:
    path = array.path
    listed = _find_vector(others, "frames", _FRAMES_NAMES)
    named = _find_vector(others, "ids", _IDS_NAMES)
    stack = understand_axes(array, info, _entries(listed), _entries(named))
    count, objects = stack.length("t"), stack.length("n") if stack.has_objects else None
    ids_array = _find_vector(others, "ids", _IDS_NAMES if objects is None else (*_IDS_NAMES, "labels"), objects)
    frames = None if listed is None else _vector(listed)
    ids = None if ids_array is None else _vector(ids_array)
    if ids_array is not None and ids_array.name == "labels" and len(set(ids or ())) < len(ids or ()):
        ids_array = ids = None  # classes, not ids
    _check_ids(path, ids)
    _check_length(path, "frames", frames, count)
    _check_length(path, "ids", ids, objects)
    info = video_of(stack, range(count) if frames is None else frames) if info is None else info
    check_frames(path, range(count) if frames is None else frames, info)
    clip = tracks_from_stack(stack, frames, ids, info)
    notes = [] if array.name == "masks" else [f"the masks are in the array {array.name}"]
    for name, found in (("frames", listed), ("ids", ids_array)):
        notes += [] if found is None or found.name == name else [f"the array {found.name} is read as {name}"]
    unread = [other for other in others if other is not listed and other is not ids_array]
    lengths = {(count,), (stack.length("n"),)}
    notes += [f"the array {other.name} is not read" for other in unread if other.shape in lengths][:_LISTED]
    return replace(clip, notes=(*(f"{path.name}: {note}" for note in notes), *clip.notes))


def _find_vector(
    others: Sequence[MaskArray], name: str, synonyms: Sequence[str], length: int | None = None
) -> MaskArray | None:
    """The array of a name, or else the first list of integers, of a length if it is known, with a similar name."""
    exact = [other for other in others if other.name == name]
    similar = [
        other
        for synonym in synonyms
        for other in others
        if other.name == synonym and len(other.shape) == 1 and other.dtype.kind in "iu"
        if length in (None, other.shape[0])
    ]
    return next(iter(exact + similar), None)


def _entries(vector: MaskArray | None) -> int | None:
    """The number of entries of a list; None without one."""
    return vector.shape[0] if vector is not None and vector.shape else None


def _from_several(arrays: Sequence[MaskArray], video: VideoContext | None) -> ClipTracks:
    """Arrays of one shape are frames or objects, by the numbers in their names."""
    info = None if video is None else video.info
    stacks = [understand_axes(array, info) for array in arrays]
    path, numbers = arrays[0].path, [_number(array) for array in arrays]
    if len(set(numbers)) < len(numbers) or -1 in numbers:
        raise InputError(f"{path}: the names of the arrays hold no number each; save one array named masks")
    if stacks[0].length("t") > 1:
        info = video_of(stacks[0], range(stacks[0].length("t"))) if info is None else info
        collector = MaskCollector(info)
        for number, stack in zip(numbers, stacks, strict=True):
            for _, frame, plane in stack.planes():
                collector.add(number, frame, as_mask(plane, f"{path}: {stack.array.name}"))
        clip = collector.clip()
        return replace(clip, notes=(f"{path.name}: {len(arrays)} arrays, each is an object", *clip.notes))
    pairs = pair_with_frames([path / array.name for array in arrays], video)
    frames = [pairs.frames[path / array.name] for array in arrays]
    info = video_of(stacks[0], frames) if info is None else info

    def images() -> Iterator[tuple[int, MaskImage]]:
        for number, stack in zip(frames, stacks, strict=True):
            for _, _, plane in stack.planes():
                yield number, as_mask_image(plane, f"{path}: {stack.array.name}")

    maps = id_maps_of(images, path, "array")
    counted = "" if pairs.note is None else f"; {pairs.note}"
    notes = (f"{path.name}: {len(arrays)} arrays, each is a frame{counted}", *maps.notes)
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


def _vector(array: MaskArray) -> list[int]:
    """A list of integers."""
    path, name = array.path, array.name
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

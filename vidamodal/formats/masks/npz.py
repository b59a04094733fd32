"""npz: the masks of one video as NumPy arrays. Read only.

``masks`` is (t, h, w) integer ids or bool, or (n, t, h, w) bool; ``ids`` (n,) are the objects, by default 1 to n for
(n, t, h, w); ``frames`` (t,) are the 0-based frames, by default 0 to t - 1. 0 is background, and so is 255 in 8-bit
maps that also hold other ids, unless ``ids`` lists it. The format does not state whether masks are visible or amodal.
Pickled objects, Fortran order, axes in another order and frames beyond the end of the video are rejected. Arrays are
read one frame at a time.
"""

from __future__ import annotations

import itertools
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int

from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.build import MaskCollector, clip_from_id_maps
from vidamodal.media.mask_images import MaskImage
from vidamodal.media.pixel_values import VOID, id_maps_of
from vidamodal.media.video import FOLDER_FPS
from vidamodal.tracks.check import check_video
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, VideoInfo

ID = "npz"
NAME = "npz"
SIGN = "an .npz with an array named masks"
_MAX_ENTRIES = 10**7


def recognise(path: Path) -> Fit:
    """Match a zip archive with ``masks.npy`` in it; other archives are a possible match if they are named .npz."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return Fit.NONE
    with _archive_errors(path), zipfile.ZipFile(path) as archive:
        if "masks.npy" in archive.namelist():
            return Fit.CERTAIN
    return Fit.POSSIBLE if path.suffix == ".npz" else Fit.NONE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return the one clip, whose key is the name of the file."""
    clip = Clip(path.stem, partial(_read, path, video), lambda: None, kind_known=False)
    return {clip.key: clip}


@dataclass(frozen=True)
class _Masks:
    """The array of masks in an open archive."""

    path: Path
    file: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def objects(self) -> int | None:
        return self.shape[0] if len(self.shape) == 4 else None


def _read(path: Path, video: VideoContext | None) -> ClipTracks:
    with _archive_errors(path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "masks.npy" not in names:
            raise InputError(f"{path}: no array named masks; save np.savez(file, masks=masks)")
        with archive.open("masks.npy") as file:
            masks = _Masks(path, file, *_header(file, path, "masks"))
            _check_shape(masks)
            length = masks.shape[-3]
            ids = _vector(archive, path, "ids", masks.objects) if "ids.npy" in names else None
            frames = _vector(archive, path, "frames", length) if "frames.npy" in names else range(length)
            info = _video(masks, frames) if video is None else video.info
            _check_fit(masks, frames, info)
            if ids is not None and (len(set(ids)) < len(ids) or not all(0 <= k <= MAX_TRACK_ID for k in ids)):
                raise InputError(f"{path}: ids must be different integers from 0 to {MAX_TRACK_ID}")
            if masks.objects is None:
                return _from_id_maps(path, frames, ids, info)
            return _from_stack(masks, frames, ids or range(1, masks.objects + 1), info)


def _from_id_maps(path: Path, frames: Sequence[int], ids: Sequence[int] | None, info: VideoInfo) -> ClipTracks:
    def images() -> Iterator[tuple[int, MaskImage]]:
        with _archive_errors(path), zipfile.ZipFile(path) as archive, archive.open("masks.npy") as file:
            masks = _Masks(path, file, *_header(file, path, "masks"))
            for frame, values in zip(frames, _id_maps(masks, ids), strict=True):
                yield frame, MaskImage("grey", values, bits=8 * values.dtype.itemsize)

    if ids is not None:
        listed = ((frame, np.where(np.isin(image.values, ids), image.values, 0)) for frame, image in images())
        return clip_from_id_maps(info, listed, ids)
    maps = id_maps_of(images, path, "id map")
    return replace(clip_from_id_maps(info, maps.maps), notes=maps.notes)


def _from_stack(masks: _Masks, frames: Sequence[int], ids: Sequence[int], info: VideoInfo) -> ClipTracks:
    collector, shape = MaskCollector(info), masks.shape
    slices = _slices(masks.file, masks.path, shape[2:], np.dtype(np.uint8), shape[0] * shape[1])
    for (number, frame), mask in zip(itertools.product(ids, frames), slices, strict=True):
        collector.add(number, frame, mask != 0)
    return collector.clip()


def _id_maps(masks: _Masks, ids: Sequence[int] | None) -> Iterator[Int[np.ndarray, "h w"]]:
    is_bool = masks.dtype.kind == "b"
    dtype = np.dtype(np.uint8) if is_bool else masks.dtype
    for place, values in enumerate(_slices(masks.file, masks.path, masks.shape[1:], dtype, masks.shape[0])):
        where = f"{masks.path}: masks[{place}] contains the id"
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > MAX_TRACK_ID:
            raise InputError(f"{where} {low if low < 0 else high}; ids are 0 to {MAX_TRACK_ID}")
        if ids is not None:
            unknown = set(np.unique(values).tolist()) - {0, *ids} - ({VOID} if masks.dtype == np.uint8 else set())
            if unknown:
                raise InputError(f"{where} {min(unknown)}, which is not in ids; add it")
        yield (values != 0).astype(np.uint8) if is_bool else values


def _check_shape(masks: _Masks) -> None:
    """Refuse an array before any of it is read, so that a small file cannot fill the memory."""
    path, shape, dtype = masks.path, masks.shape, masks.dtype
    if not (len(shape) == 3 and dtype.kind in "biu") and not (len(shape) == 4 and dtype.kind == "b"):
        raise InputError(
            f"{path}: masks has dtype {dtype} and shape {shape}; save (t, h, w) integer ids or (n, t, h, w) bool"
        )
    if min(shape) < 1 or (masks.objects or 1) > _MAX_ENTRIES // shape[-3]:
        raise InputError(f"{path}: masks has shape {shape}; save 1 to {_MAX_ENTRIES} masks")


def _video(masks: _Masks, frames: Sequence[int]) -> VideoInfo:
    """Return the video as far as the arrays describe it."""
    height, width = masks.shape[-2:]
    video = VideoInfo(masks.path.stem, height, width, max(frames) + 1, FOLDER_FPS)
    try:
        check_video(video)
    except ValueError as error:
        raise InputError(f"{masks.path}: {error}") from None
    return video


def _check_fit(masks: _Masks, frames: Sequence[int], video: VideoInfo) -> None:
    path, (height, width) = masks.path, masks.shape[-2:]
    if (height, width) != (video.height, video.width):
        raise InputError(
            f"{path}: masks of {height} x {width} pixels, but the video has {video.height} x {video.width}; "
            "pass masks of the video's size"
        )
    if len(frames) > video.frames:
        raise InputError(
            f"{path}: masks for {len(frames)} frames, but the video has {video.frames}; pass at most that many"
        )
    if len(set(frames)) < len(frames):
        raise InputError(f"{path}: a frame number appears twice in frames; keep one mask per frame")
    beyond = [frame for frame in frames if not 0 <= frame < video.frames]
    if beyond:
        raise InputError(f"{path}: frames contains {beyond[0]}, but the video has 0 to {video.frames - 1}; remove it")


def _header(file: IO[bytes], path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array in C order without objects, whose values follow in the file."""
    major, _ = np.lib.format.read_magic(file)
    read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}.get(major)
    if read_header is None:
        raise ValueError(f"version {major} of the npy format")
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise InputError(f"{path}: {name} holds pickled objects, which are never opened; save a plain array")
    if is_fortran and len(shape) > 1:
        raise InputError(f"{path}: {name} is in Fortran order; save np.ascontiguousarray({name})")
    return tuple(shape), dtype


def _slices(file: IO[bytes], path: Path, shape: Sequence[int], dtype: np.dtype, count: int) -> Iterator[np.ndarray]:
    """The next ``count`` arrays of a shape, one at a time; the file must end after them."""
    size = int(np.prod(shape)) * dtype.itemsize
    for _ in range(count):
        content = file.read(size)
        if len(content) < size:
            raise InputError(f"{path}: the file ends within the masks; save it again")
        yield np.frombuffer(content, dtype=dtype).reshape(shape)
    if file.read(1):  # reading to the end also checks the archive's checksum
        raise InputError(f"{path}: an array has more values than its shape; save it again")


def _vector(archive: zipfile.ZipFile, path: Path, name: str, length: int | None) -> list[int]:
    """A list of integers, of a known length unless that is None."""
    with archive.open(f"{name}.npy") as file:
        shape, dtype = _header(file, path, name)
        if len(shape) != 1 or dtype.kind not in "iu" or shape[0] != (shape[0] if length is None else length):
            expected = "n" if length is None else length
            raise InputError(f"{path}: {name} has dtype {dtype} and shape {shape}; save ({expected},) integers")
        if shape[0] > _MAX_ENTRIES:
            raise InputError(f"{path}: {name} has {shape[0]} entries; save at most {_MAX_ENTRIES}")
        (values,) = _slices(file, path, shape, dtype, 1)
        return [int(value) for value in values]


@contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    """Turn what zipfile and numpy raise on a damaged archive into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, zlib.error) as error:  # RuntimeError: encryption
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as an .npz ({reason}); save it again") from None

"""NumPy arrays of masks, in .npy or .npz: which axis is which, and their values one frame at a time.

Integers are ids (t, h, w), booleans one object (t, h, w) or several (n, t, h, w). Axes in another order, (h, w, t) or
(t, n, h, w), and axes of length 1 are recognised by their lengths in a known video, and reported. Numbers in
(n, t, h, w) are 0 outside and one other value inside; floats count if they are whole numbers. Pickled objects are never
opened, and logits are refused, because only their maker knows the threshold.

Arrays are read one frame at a time. Arrays whose frames are not contiguous are read whole, up to 256 MB.
"""

from __future__ import annotations

import errno
import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int, Shaped

from vidamodal.formats.build import MaskCollector, clip_from_id_maps
from vidamodal.media.mask_images import MaskImage
from vidamodal.media.pixel_values import VOID, id_maps_of
from vidamodal.media.video import FOLDER_FPS
from vidamodal.tracks.check import check_video
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, Mask, VideoInfo

_MAX_ENTRIES = 10**7
_MAX_BYTES = 2**28
"""Largest part of an array that is read at once."""
_ORDERS = ("thw", "nthw", "tnhw", "hwt", "thw1", "t1hw", "1thw", "hw", "1hw", "hw1", "nhw", "n1hw")
"""Axes in the order in which they are tried; a 1 is an axis of length 1."""


@dataclass(frozen=True)
class MaskArray:
    """The header of an array in a file."""

    path: Path
    """The file, for messages."""
    name: str
    """The array's name in the file, for messages."""
    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool
    open_values: Callable[[], AbstractContextManager[IO[bytes]]]
    """Opens the values, after the header."""


@dataclass(frozen=True)
class MaskStack:
    """An array with known axes."""

    array: MaskArray
    axes: str
    note: str | None = None
    """What was assumed about the axes."""

    def length(self, axis: str) -> int:
        """Return the length of one of the axes t, n, h and w; 1 if there is no such axis."""
        return self.array.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def has_objects(self) -> bool:
        """True if the array has an axis of objects."""
        return "n" in self.axes

    def planes(self) -> Iterator[tuple[int, int, Shaped[np.ndarray, "h w"]]]:
        """Yield the place on the axis of objects, the place on that of frames, and the values of each mask."""
        array, size = self.array, (self.length("h"), self.length("w"))
        is_whole = array.is_fortran or not self.axes.replace("1", "").endswith("hw")
        order = [axis for axis in ("nthw" if is_whole else self.axes) if axis in self.axes and axis in "nt"]
        places = [dict(zip(order, place, strict=True)) for place in np.ndindex(*map(self.length, order))]
        if int(np.prod(size)) * array.dtype.itemsize * (len(places) if is_whole else 1) > _MAX_BYTES:
            raise InputError(f"{array.path}: {array.name} is too large for its order; save (t, h, w) in C order")
        with array.open_values() as file:
            whole = iter(self._whole(file).reshape(-1, *size)) if is_whole else None
            for place in places:
                plane = _read_values(file, array, size) if whole is None else next(whole)
                yield place.get("n", 0), place.get("t", 0), plane
            if file.read(1):  # reading to the end also checks an archive's checksum
                raise InputError(f"{array.path}: {array.name} has more values than its shape; save it again")

    def _whole(self, file: IO[bytes]) -> Shaped[np.ndarray, "*shape"]:
        """The array with its axes in the order n, t, h, w."""
        array = self.array
        if array.is_fortran:
            values = _read_values(file, array, array.shape[::-1]).transpose()
        else:
            values = _read_values(file, array, array.shape)
        order = sorted(range(values.ndim), key=lambda place: "1nthw".index(self.axes[place]))
        return np.ascontiguousarray(values.transpose(order))


def read_header(file: IO[bytes], path: Path, name: str) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Return the shape, the dtype, and whether the order is Fortran's, of an array without objects.

    Raises:
        InputError: The array holds pickled objects.
        ValueError: The header is damaged.
    """
    major, _ = np.lib.format.read_magic(file)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}.get(major)
    if read is None:
        raise ValueError(f"version {major} of the npy format")
    shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        raise InputError(f"{path}: {name} holds pickled objects, which are never opened; save a plain array")
    return tuple(shape), dtype, bool(is_fortran) and len(shape) > 1


def understand_axes(
    array: MaskArray, video: VideoInfo | None, frames: int | None = None, objects: int | None = None
) -> MaskStack:
    """Return the array with its axes.

    Args:
        array: The array.
        video: The video of the masks; without it, the axes must be in the usual order.
        frames: The number of frames, if it is known from elsewhere.
        objects: The number of objects, if it is known from elsewhere.

    Raises:
        InputError: The axes or the type are not those of masks, or do not fit the video.
    """
    shape = array.shape
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 or len(shape) not in (2, 3, 4):
        raise _unknown_axes(array, None)
    if min(shape) < 1 or np.prod(shape, dtype=float) > _MAX_ENTRIES * float(shape[-1] * shape[-2]):
        raise InputError(f"{array.path}: {array.name} has shape {shape}; save 1 to {_MAX_ENTRIES} masks")
    usual = {2: "hw", 3: "thw", 4: "nthw"}[len(shape)]
    start = f"the shape {shape} of {array.name} is read as"
    note = None
    if len(shape) == 4 and shape[0] > 1 == shape[1] and shape[0] != objects and frames is None:
        note = f"{start} {shape[0]} objects in one frame; save frames as (t, h, w)"
    if video is None:
        return MaskStack(array, usual, note)
    fits = [axes for axes in _ORDERS if len(axes) == len(shape) and _fits(MaskStack(array, axes), video)]
    if not fits:
        raise _unknown_axes(array, video)
    known = video.frames if frames is None else frames
    exact = [axes for axes in fits if MaskStack(array, axes).length("t") == known]
    axes = (exact or fits)[0]
    if axes != usual or len(shape) == 2:
        note = f"{start} ({', '.join(axes)})"
    elif exact:
        is_open = axes == "nthw" and "tnhw" in exact and shape[0] > 1
        note = f"{start} (n, t, h, w), objects before frames" if is_open else None
    return MaskStack(array, axes, note)


def tracks_from_stack(
    stack: MaskStack, frames: Sequence[int] | None, ids: Sequence[int] | None, video: VideoInfo
) -> ClipTracks:
    """Return the tracks of an array.

    Args:
        stack: The array.
        frames: The frame of each place on its axis of frames; None for the first ones of the video.
        ids: The ids of objects: of each place on the axis of objects, or all that occur; None if they are unknown.
        video: The video.

    Raises:
        InputError: The values are not those of masks.
    """
    path = stack.array.path
    notes = () if stack.note is None else (f"{path.name}: {stack.note}",)
    if frames is None:
        frames = range(stack.length("t"))
        if 1 < len(frames) < video.frames:
            shorter = f"masks for the first {len(frames)} of {video.frames} frames; the others are unknown"
            notes = (*notes, f"{path.name}: {shorter}")
    if stack.has_objects:
        where = f"{path}: {stack.array.name}"
        collector = MaskCollector(video)
        numbers = ids or range(1, stack.length("n") + 1)
        for number, frame, plane in stack.planes():
            collector.add(numbers[number], frames[frame], as_mask(plane, where))
        clip = collector.clip()
        return replace(clip, notes=notes + clip.notes)

    def images() -> Iterator[tuple[int, MaskImage]]:
        for _, frame, plane in stack.planes():
            yield frames[frame], as_mask_image(plane, f"{path}: {stack.array.name}[{frame}]")

    if ids is not None:
        listed = ((frame, _check_listed(path, stack.array.name, image.values, ids)) for frame, image in images())
        return clip_from_id_maps(video, listed, path.name, ids, notes)
    maps = id_maps_of(images, path, "id map")
    return clip_from_id_maps(video, maps.maps, path.name, notes=notes + maps.notes)


def as_mask(plane: Shaped[np.ndarray, "h w"], where: str) -> Mask:
    """Return the inside of a plane of booleans, or of numbers that are 0 or one positive value.

    Raises:
        InputError: There are other numbers, such as logits.
    """
    if plane.dtype.kind == "b":
        return np.asarray(plane)
    inside = plane != 0
    if inside.any() and not (plane[inside] == plane.max()).all():
        raise InputError(f"{where} has values other than 0 and {plane.max():g}; threshold it, and save bool")
    if inside.any() and not plane.max() > 0:
        raise InputError(f"{where} has values below 0; threshold it, and save bool")
    return np.asarray(inside)


def as_mask_image(plane: Shaped[np.ndarray, "h w"], where: str) -> MaskImage:
    """Return a plane of ids as an image whose values are to be interpreted.

    Raises:
        InputError: A value is no id.
    """
    if plane.dtype.kind == "b":
        return MaskImage("grey", plane.astype(np.uint8), bits=1)
    if plane.dtype.kind == "f" and not np.array_equal(plane, np.rint(plane)):
        raise InputError(
            f"{where} is float with non-integer values (logits or probabilities?). Threshold it and save bool."
        )
    low, high = plane.min().item(), plane.max().item()
    if low < 0 or high > MAX_TRACK_ID:
        raise InputError(f"{where} contains the id {low if low < 0 else high:.0f}; ids are 0 to {MAX_TRACK_ID}")
    bits = 8 * plane.itemsize
    return MaskImage("grey", plane if bits < 64 and plane.dtype.kind != "f" else plane.astype(np.int64), bits=bits)


def video_of(stack: MaskStack, frames: Sequence[int]) -> VideoInfo:
    """Return the video as far as an array describes it."""
    path = stack.array.path
    video = VideoInfo(path.stem, stack.length("h"), stack.length("w"), max(frames) + 1, FOLDER_FPS)
    try:
        check_video(video)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return video


def check_frames(path: Path, frames: Sequence[int], video: VideoInfo) -> None:
    """Refuse frame numbers that are not different frames of a video."""
    if len(set(frames)) < len(frames):
        raise InputError(f"{path}: a frame number appears twice in frames; keep one mask per frame")
    beyond = [frame for frame in frames if not 0 <= frame < video.frames]
    if beyond:
        raise InputError(f"{path}: frames contains {beyond[0]}, but the video has 0 to {video.frames - 1}; remove it")


_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,  # encryption
)
"""What numpy and zipfile raise on a damaged file."""


@contextmanager
def array_errors(path: Path, kind: str) -> Iterator[None]:
    """Turn what numpy and zipfile raise on a damaged file into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # zipfile seeks to places before the file
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as an {kind} ({reason}); save it again") from None


def _fits(stack: MaskStack, video: VideoInfo) -> bool:
    """Return True if the axes have lengths that the video allows."""
    if stack.has_objects and stack.length("n") == 1 and stack.array.dtype.kind != "b":
        return False  # numbers with a needless axis are ids
    if stack.has_objects and "t" not in stack.axes and video.frames > 1:
        return False
    ones = all(length == 1 for axis, length in zip(stack.axes, stack.array.shape, strict=True) if axis == "1")
    size = (stack.length("h"), stack.length("w"))
    return ones and size == (video.height, video.width) and stack.length("t") <= video.frames


def _unknown_axes(array: MaskArray, video: VideoInfo | None) -> InputError:
    shape = f"{array.path}: {array.name} has dtype {array.dtype} and shape {array.shape}"
    if video is None:
        return InputError(f"{shape}; save (t, h, w) integer ids or (n, t, h, w) bool")
    return InputError(
        f"{shape}, which does not fit the video of {video.frames} frames of {video.height} x {video.width} pixels; "
        "save (t, h, w) integer ids or (n, t, h, w) bool of its size"
    )


def _read_values(file: IO[bytes], array: MaskArray, shape: Sequence[int]) -> Shaped[np.ndarray, "*shape"]:
    size = int(np.prod(shape)) * array.dtype.itemsize
    content = file.read(size)
    if len(content) < size:
        raise InputError(f"{array.path}: the file ends within {array.name}; save it again")
    if array.dtype.kind == "b":  # any byte but 0 is true
        return np.asarray(np.frombuffer(content, dtype=np.uint8) != 0).reshape(shape)
    return np.frombuffer(content, dtype=array.dtype).reshape(shape)


def _check_listed(path: Path, name: str, values: Int[np.ndarray, "h w"], ids: Sequence[int]) -> Int[np.ndarray, "h w"]:
    """The values, without void; refuse values that are not listed."""
    void = {VOID} if values.dtype == np.uint8 else set()
    unknown = set(np.unique(values).tolist()) - {0, *ids} - void
    if unknown:
        raise InputError(f"{path}: {name} contains the id {min(unknown)}, which is not in ids; add it")
    return np.where(np.isin(values, ids), values, 0)

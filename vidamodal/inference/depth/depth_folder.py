"""Depth maps from a folder of files, one for each frame: grey PNG of 8 or 16 bits, grey TIFF, .npy or .npz.

Files are paired with frames like masks (see `vidamodal.formats.masks.frame_files`). Maps may have another size than the
video, but all the same one. Frames without a file have no depth. Files are read when they are needed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from vidamodal.formats import VideoContext
from vidamodal.formats.masks.array_masks import array_errors, read_header
from vidamodal.formats.masks.frame_files import pair_with_frames
from vidamodal.inference.depth.depth_source import DepthKind, DepthSource
from vidamodal.media.images import MAX_PIXELS, load_image, open_image
from vidamodal.media.listing import list_folder
from vidamodal.types import InputError, VideoInfo

_IMAGES, _ARRAYS = (".png", ".tif", ".tiff"), (".npy", ".npz")
_ADVICE = "Pass one grey 16-bit PNG or one .npy (h, w) for each frame."
_ASPECT = 0.02
"""Largest relative difference of two aspect ratios that counts as rounding."""


def open_depth_folder(folder: Path, video: VideoContext, kind: DepthKind) -> DepthSource:
    """Open the depth maps in a folder, without reading their values.

    Args:
        folder: The folder.
        video: The video that they belong to.
        kind: Which way their values point.

    Raises:
        InputError: If the files are no depth maps, do not fit the frames, or have several sizes.
    """
    return open_depth_files(_depth_files(folder), folder.absolute().name, video, kind)


def open_depth_files(files: Sequence[Path], name: str, video: VideoContext, kind: DepthKind) -> DepthSource:
    """Open depth maps in files; the arguments and errors are those of `open_depth_folder`, with a name for notes."""
    pairs = pair_with_frames(files, video)
    by_frame = dict(sorted((frame, path) for path, frame in pairs.frames.items()))
    size = _common_size(by_frame)
    notes = [pairs.note, *_size_notes(size, video.info), *_count_notes(by_frame, video.info), _depth_note(files[0])]
    lines = tuple(f"{name}: {note}" for note in notes if note)

    def read(frame: int) -> Shaped[np.ndarray, "h w"] | None:
        return read_depth(by_frame[frame]) if frame in by_frame else None

    return DepthSource(read, kind, frames=tuple(by_frame), name=name, notes=lines)


def read_depth(path: Path) -> Shaped[np.ndarray, "h w"]:
    """Read a depth map.

    Raises:
        InputError: If the file is damaged, or holds something else than a map (h, w) of numbers.
    """
    if path.suffix.lower() in _ARRAYS:
        return _read_array(path)
    image = load_image(path)
    _check_mode(path, image)
    values = np.asarray(image)
    if values.ndim == 3:
        if (values[..., :1] != values[..., :3]).any():
            raise InputError(f"{path}: a picture in colours, from which no depth can be read. {_ADVICE}")
        values = values[..., 0]
    return values


def _depth_files(folder: Path) -> list[Path]:
    entries = [entry for entry in list_folder(folder) if entry.is_file()]
    suffixes = sorted({entry.suffix.lower() for entry in entries} & {*_IMAGES, *_ARRAYS})
    if not suffixes:
        raise InputError(f"{folder}: no depth maps (.png, .tif, .npy or .npz) in this folder. {_ADVICE}")
    if len(suffixes) > 1:
        raise InputError(
            f"{folder}: depth maps of several kinds ({', '.join(suffixes)}). Keep one of them in this folder."
        )
    return [entry for entry in entries if entry.suffix.lower() == suffixes[0]]


def _common_size(files: Mapping[int, Path]) -> tuple[int, int]:
    """Return the size of all maps, from their headers."""
    first, *others = files.values()
    size = _size(first)
    for path in others:
        if (other := _size(path)) != size:
            raise InputError(
                f"{path}: a depth map of {other[0]} x {other[1]}, but {first.name} has {size[0]} x {size[1]}. Save all "
                "maps in one size."
            )
    return size


def _size(path: Path) -> tuple[int, int]:
    if path.suffix.lower() in _ARRAYS:
        with _open_array(path) as (shape, _dtype, _file):
            return shape[0], shape[1]
    with open_image(path) as image:
        _check_mode(path, image)
        return image.height, image.width


def _check_mode(path: Path, image: Image.Image) -> None:
    if image.mode not in ("L", "F", "RGB", "RGBA") and not image.mode.startswith("I"):
        raise InputError(f"{path}: an image of mode {image.mode}, which is no depth map. {_ADVICE}")


def _read_array(path: Path) -> Shaped[np.ndarray, "h w"]:
    with _open_array(path) as (shape, dtype, file):
        count = shape[0] * shape[1]
        content = file.read(count * dtype.itemsize)
        if len(content) < count * dtype.itemsize:
            raise InputError(f"{path}: the file ends within the array. Save it again.")
        return np.frombuffer(content, dtype).reshape(shape)


@contextmanager
def _open_array(path: Path) -> Iterator[tuple[tuple[int, int], np.dtype, IO[bytes]]]:
    """Open the only array of a file; yield its shape without axes of length 1, its type, and its values."""
    with array_errors(path, path.suffix.lower()):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                yield (*_header(file, path), file)
            return
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            if len(names) != 1:
                raise InputError(f"{path}: {len(names)} arrays. Save an .npz with the depth map alone.")
            with archive.open(names[0]) as file:
                yield (*_header(file, path), file)


def _header(file: IO[bytes], path: Path) -> tuple[tuple[int, int], np.dtype]:
    shape, dtype, is_fortran = read_header(file, path, "the array")
    lengths = [length for length in shape if length != 1] if len(shape) > 2 else list(shape)
    if len(lengths) != 2 or min(lengths) < 1 or dtype.kind not in "iuf" or is_fortran:
        order = " in Fortran order" if is_fortran else ""
        raise InputError(f"{path}: an array of shape {shape} and dtype {dtype}{order} is no depth map. {_ADVICE}")
    if lengths[0] * lengths[1] > MAX_PIXELS:
        raise InputError(
            f"{path}: {lengths[0]} x {lengths[1]} values, more than {MAX_PIXELS // 10**6} million. Resize."
        )
    return (lengths[0], lengths[1]), dtype


def _size_notes(size: tuple[int, int], video: VideoInfo) -> list[str]:
    height, width = size
    if size == (video.height, video.width):
        return []
    stretched = abs(width * video.height / (height * video.width) - 1) > _ASPECT
    return [
        f"depth maps of {height} x {width} are resized to {video.height} x {video.width}"
        + (", which changes their aspect ratio" if stretched else "")
    ]


def _count_notes(files: Mapping[int, Path], video: VideoInfo) -> list[str]:
    missing = video.frames - len(files)
    return [f"depth for {len(files)} of {video.frames} frames; the others have none"] if missing else []


def _depth_note(path: Path) -> str | None:
    if path.suffix.lower() in _ARRAYS:
        return None
    with open_image(path) as image:
        eight_bits = not image.mode.startswith(("I", "F"))
    return "depth maps of 8 bits are coarse; 16 bits are better" if eight_bits else None

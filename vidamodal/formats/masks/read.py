"""Visible masks in every form that people keep them in, read into the same tracks; amodal masks as PNGs.

A frame without annotation is not known (null). In an annotated frame an object that is absent is known to be hidden
(an empty mask), but from its first sighting on only: before, it is not known. Overlaps are kept as they are.
"""

from __future__ import annotations

import itertools
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Bool, Int

from vidamodal.formats.build import tracks_from_masks
from vidamodal.formats.tracks.parse import is_tracks, read_tracks
from vidamodal.media.images import natural_key
from vidamodal.media.mask_images import read_id_map
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, Rle, Track, VideoInfo

VOID = 255
"""In 8-bit id maps that hold other ids too, this one marks pixels nobody judged; they count as background."""
FORMS = "a tracks.json, a folder of palette PNGs, a folder with a folder of PNGs for each object, or an .npz"
_MAX_ENTRIES = 10**7


def read_masks(path: str | os.PathLike[str], video: VideoInfo, frame_stems: Sequence[str] | None = None) -> ClipTracks:
    """The visible masks for a video, from any of these, told apart by content:

    - a tracks.json of the same size and length: as it stands, ``exhaustive`` and labels too, all else left out;
    - a folder of palette or grey PNGs whose values are ids (DAVIS, YouTube-VOS), or one such PNG for a single image;
    - a folder with a folder for each object, named by its id, of PNGs that are not 0 inside (SA-V). A frame counts as
      annotated if any object has a PNG for it;
    - an .npz with ``masks``: (t, h, w) ids or (n, t, h, w) bool; ``ids`` (n,), by default 1 to n for bool; ``frames``
      (t,), the frames' numbers, by default from 0 on.

    0 is background, ``VOID`` too beside other ids. A PNG's number is its 0-based frame; with ``frame_stems``, the names
    of a folder's frames, its stem must be one of them. InputError on what does not fit the video.
    """
    path = Path(path)
    if path.is_dir():
        return _from_folder(path, video, frame_stems)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; give {FORMS}")
    if zipfile.is_zipfile(path):
        return _from_npz(path, video)
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"\x89PNG") and video.frames == 1:
        return _from_maps(video, [(0, read_id_map(path, video))])
    if is_tracks(path) or start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _from_tracks(path, video)
    raise InputError(f"{path}: no masks in a known form; give {FORMS}")


# Collecting


@dataclass
class _Collector:
    """What is known of each object while annotated frames come in, in any order."""

    video: VideoInfo
    annotated: set[int] = field(default_factory=set)
    seen: dict[int, dict[int, Rle]] = field(default_factory=dict)
    """Masks with a pixel, by id and frame."""

    def expect(self, number: int) -> None:
        self.seen.setdefault(number, {})

    def add(self, number: int, frame: int, mask: Bool[np.ndarray, "h w"]) -> None:
        self.expect(number)
        self.annotated.add(frame)
        if mask.any():
            self.seen[number][frame] = Rle.encode(mask)

    def clip(self) -> ClipTracks:
        return ClipTracks(self.video, tracks_from_masks(self.video, self.annotated, self.seen))


def _from_maps(
    video: VideoInfo, maps: Iterable[tuple[int, Int[np.ndarray, "h w"]]], ids: Sequence[int] | None = None
) -> ClipTracks:
    """Tracks from id maps by frame. ``ids`` says which objects there are; by default those that occur."""
    collector, narrow = _Collector(video), True
    for number in set(ids or ()) - {0}:
        collector.expect(number)
    for frame, values in maps:
        narrow = narrow and values.dtype == np.uint8
        values = np.asfortranarray(values)
        collector.annotated.add(frame)
        for number in set(np.unique(values).tolist()) - {0}:
            collector.add(number, frame, values == number)
    if narrow and len(collector.seen) > 1 and VOID not in (ids or ()):
        collector.seen.pop(VOID, None)
    return collector.clip()


# tracks.json


def _from_tracks(path: Path, video: VideoInfo) -> ClipTracks:
    clip = read_tracks(path)
    theirs, ours = clip.video, video
    if (theirs.height, theirs.width, theirs.frames) != (ours.height, ours.width, ours.frames):
        raise InputError(
            f"{path}: is for {theirs.frames} frames of {theirs.height} x {theirs.width} pixels, the video has "
            f"{ours.frames} of {ours.height} x {ours.width}; give the tracks of this video"
        )
    tracks = tuple(Track(track.id, track.visible, label=track.label) for track in clip.tracks)
    return replace(ClipTracks(video, tracks), exhaustive=clip.exhaustive)


# Folders


def _from_folder(folder: Path, video: VideoInfo, stems: Sequence[str] | None) -> ClipTracks:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    folders = sorted((entry for entry in entries if entry.is_dir()), key=lambda entry: natural_key(entry.name))
    pngs = _pngs(entries)
    if pngs and folders:
        raise InputError(f"{folder}: PNGs beside folders ({folders[0].name}); give one or the other")
    if pngs:
        return _from_maps(
            video, ((frame, read_id_map(png, video)) for frame, png in _numbered(folder, pngs, video, stems).items())
        )
    if folders:
        return _from_object_folders(folders, video, stems)
    raise InputError(f"{folder}: no PNG in this folder; give {FORMS}")


def _from_object_folders(folders: Sequence[Path], video: VideoInfo, stems: Sequence[str] | None) -> ClipTracks:
    collector, names = _Collector(video), dict[int, str]()
    for folder in folders:
        if not re.fullmatch("[0-9]{1,10}", folder.name) or int(folder.name) > MAX_TRACK_ID:
            raise InputError(f"{folder}: an object's folder must be named by its id, such as 000; rename it")
        number = int(folder.name)
        if number in names:
            raise InputError(f"{folder}: {names[number]} is the same id; give every object an id of its own")
        names[number] = folder.name
        collector.expect(number)
        for frame, png in _numbered(folder, _pngs(folder.iterdir()), video, stems).items():
            collector.add(number, frame, read_id_map(png, video) != 0)
    if not collector.annotated:
        raise InputError(f"{folders[0].parent}: no PNG in the folders of this folder; give {FORMS}")
    return collector.clip()


def _pngs(entries: Iterable[Path]) -> list[Path]:
    found = (e for e in entries if e.suffix.lower() == ".png" and not e.name.startswith(".") and e.is_file())
    return sorted(found, key=lambda entry: natural_key(entry.stem))


def _numbered(folder: Path, pngs: Sequence[Path], video: VideoInfo, stems: Sequence[str] | None) -> dict[int, Path]:
    """The PNG of each annotated frame."""
    places = None if stems is None else {stem: frame for frame, stem in enumerate(stems)}
    found: dict[int, Path] = {}
    for png in pngs:
        frame = _frame_of(png, places)
        if frame >= video.frames:
            raise InputError(
                f"{png}: is for frame {frame}, the video ends with frame {video.frames - 1}; give this video's masks"
            )
        if frame in found:
            raise InputError(f"{folder}: {found[frame].name} and {png.name} are for the same frame; keep one")
        found[frame] = png
    return found


def _frame_of(png: Path, places: Mapping[str, int] | None) -> int:
    if places is not None:
        if png.stem not in places:
            raise InputError(f"{png}: no frame of the video's folder has this name; name masks as their frames")
        return places[png.stem]
    number = re.fullmatch("[^0-9]*([0-9]{1,18})", png.stem)
    if number is None:
        raise InputError(f"{png}: the name is no frame number; name masks 00000.png, 00001.png, ...")
    return int(number.group(1))


# npz


def _from_npz(path: Path, video: VideoInfo) -> ClipTracks:
    with _reading_npz(path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "masks.npy" not in names:
            raise InputError(f"{path}: no array named masks; save np.savez(file, masks=masks)")
        with archive.open("masks.npy") as file:
            shape, kind = _header(file, path, "masks")
            objects = shape[0] if len(shape) == 4 else None
            _check_shape(path, shape, kind, video)
            ids = _vector(archive, path, "ids", objects) if "ids.npy" in names else None
            given = _vector(archive, path, "frames", shape[-3]) if "frames.npy" in names else range(shape[-3])
            frames = _checked_frames(path, given, video)
            if ids is not None and (len(set(ids)) < len(ids) or not all(0 <= number <= MAX_TRACK_ID for number in ids)):
                raise InputError(
                    f"{path}: ids are not unique integers from 0 to {MAX_TRACK_ID}; give every object its own"
                )
            if objects is None:
                return _from_maps(video, zip(frames, _id_maps(file, path, shape, kind, ids), strict=True), ids)
            return _from_stack(file, path, shape, frames, ids or range(1, objects + 1), video)


def _from_stack(
    file: IO[bytes], path: Path, shape: Sequence[int], frames: Sequence[int], ids: Sequence[int], video: VideoInfo
) -> ClipTracks:
    collector = _Collector(video)
    masks = _slices(file, path, shape[2:], np.dtype(np.uint8), shape[0] * shape[1])
    for (number, frame), mask in zip(itertools.product(ids, frames), masks, strict=True):
        collector.add(number, frame, mask != 0)
    return collector.clip()


def _id_maps(
    file: IO[bytes], path: Path, shape: Sequence[int], kind: np.dtype, ids: Sequence[int] | None
) -> Iterator[Int[np.ndarray, "h w"]]:
    is_bool = kind.kind == "b"
    for place, values in enumerate(_slices(file, path, shape[1:], np.dtype(np.uint8) if is_bool else kind, shape[0])):
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > MAX_TRACK_ID:
            raise InputError(
                f"{path}: masks[{place}] holds the id {low if low < 0 else high}; ids are 0 to {MAX_TRACK_ID}"
            )
        if ids is not None:
            strange = set(np.unique(values).tolist()) - {0, *ids} - ({VOID} if kind == np.uint8 else set())
            if strange:
                raise InputError(f"{path}: masks[{place}] holds the id {min(strange)}, which ids does not name; add it")
        yield (values != 0).astype(np.uint8) if is_bool else values


def _check_shape(path: Path, shape: Sequence[int], kind: np.dtype, video: VideoInfo) -> None:
    """Before any of it is read, so that a small file cannot fill the memory."""
    if not (len(shape) == 3 and kind.kind in "biu") and not (len(shape) == 4 and kind.kind == "b"):
        raise InputError(f"{path}: masks is {kind} {tuple(shape)}; save (t, h, w) integer ids or (n, t, h, w) bool")
    if tuple(shape[-2:]) != (video.height, video.width):
        raise InputError(
            f"{path}: masks of {shape[-2]} x {shape[-1]} pixels, the video has {video.height} x {video.width}; "
            "give masks of the video's size"
        )
    if not 1 <= shape[-3] <= video.frames or (len(shape) == 4 and not 1 <= shape[0] <= _MAX_ENTRIES // shape[1]):
        raise InputError(f"{path}: masks is {tuple(shape)}, the video has {video.frames} frames; give 1 to that many")


def _checked_frames(path: Path, frames: Sequence[int], video: VideoInfo) -> Sequence[int]:
    if len(set(frames)) < len(frames):
        raise InputError(f"{path}: frames names a frame twice; keep one mask a frame")
    for frame in frames:
        if not 0 <= frame < video.frames:
            raise InputError(f"{path}: frames names frame {frame}, the video has 0 to {video.frames - 1}; leave it out")
    return frames


def _header(file: IO[bytes], path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in C order without objects, whose values follow in the file."""
    major, _ = np.lib.format.read_magic(file)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}.get(major)
    if read is None:
        raise ValueError(f"version {major} of the npy format")
    shape, fortran, kind = read(file)
    if kind.hasobject:
        raise InputError(f"{path}: {name} holds pickled objects, which are never opened; save a plain array")
    if fortran and len(shape) > 1:
        raise InputError(f"{path}: {name} is in Fortran order; save np.ascontiguousarray({name})")
    return shape, kind


def _slices(file: IO[bytes], path: Path, shape: Sequence[int], kind: np.dtype, count: int) -> Iterator[np.ndarray]:
    """The ``count`` next arrays of a shape, one at a time, and then the file's end."""
    size = int(np.prod(shape)) * kind.itemsize
    for _ in range(count):
        content = file.read(size)
        if len(content) < size:
            raise InputError(f"{path}: ends before its masks do; save it again")
        yield np.frombuffer(content, dtype=kind).reshape(shape)
    if file.read(1):  # reading to the end also checks the archive's sum over the array
        raise InputError(f"{path}: more values than the array's shape has room for; save it again")


def _vector(archive: zipfile.ZipFile, path: Path, name: str, length: int | None) -> list[int]:
    """A list of integers, of a known length if there is one."""
    with archive.open(f"{name}.npy") as file:
        shape, kind = _header(file, path, name)
        if len(shape) != 1 or kind.kind not in "iu" or shape[0] != (shape[0] if length is None else length):
            wanted = "n" if length is None else length
            raise InputError(f"{path}: {name} is {kind} {shape}; save ({wanted},) integers")
        if shape[0] > _MAX_ENTRIES:
            raise InputError(f"{path}: {name} has {shape[0]} entries; save at most {_MAX_ENTRIES}")
        (values,) = _slices(file, path, shape, kind, 1)
        return values.tolist()


@contextmanager
def _reading_npz(path: Path) -> Iterator[None]:
    """Turns what zipfile and numpy raise on a damaged archive into an InputError.

    An unknown compression or encryption is a RuntimeError of zipfile's.
    """
    try:
        yield
    except InputError:
        raise
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not an .npz that can be read ({reason}); save it again") from None

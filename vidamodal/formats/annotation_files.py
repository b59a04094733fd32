"""COCO-style annotation files: reading of images, annotations, masks and pictures.

Every size, count and coordinate is checked before it is used: pycocotools returns uninitialised memory for run lengths
that do not fill the mask, takes a polygon of two points for a box, and needs memory in proportion to a polygon's
perimeter.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Float
from pycocotools import mask as coco

from vidamodal.formats.base import Clip
from vidamodal.media.images import read_image
from vidamodal.media.json_records import FieldError, check_type, contains_strings, excerpt, optional, required
from vidamodal.tracks.check import check_video
from vidamodal.tracks.parse import MAX_BYTES, parse_rle
from vidamodal.types import ClipTracks, Frame, InputError, Rle, VideoInfo

MAX_PERIMETER = 2**21
"""Longest accepted outline of a mask in pixels, and the limit of coordinates; more is taken for damage."""

Record = dict[str, Any]
"""A JSON object."""


@dataclass(frozen=True)
class Picture:
    """An image of an annotation file."""

    id: int
    name: str
    """Path within the data set, checked to stay inside it."""
    height: int
    width: int

    @property
    def info(self) -> VideoInfo:
        """The image as a video of one frame."""
        return VideoInfo(self.name, self.height, self.width, 1, 1.0)


ReadTracks = Callable[[Picture, Sequence[Record], Mapping[int, str]], ClipTracks]
"""Return the tracks of an image, from its annotations and the names of categories by id."""


@dataclass(frozen=True)
class Annotations:
    """A checked annotation file."""

    path: Path
    pictures: Mapping[int, Picture]
    """By id."""
    records: Mapping[int, Sequence[Record]]
    """Annotations by the id of their image, in the file's order; only images that have one."""
    labels: Mapping[int, str]
    """Names of categories by id."""
    document: Record
    """The whole file; the rest of it is unchecked."""


@contextmanager
def errors_in(file: Path, part: str = "") -> Iterator[None]:
    """Turn a FieldError into an InputError that names the file and the part of it."""
    try:
        yield
    except FieldError as error:
        raise InputError(f"{file}: {part}{error}") from None


def annotation_files(path: Path, keys: Sequence[str], excluded: Sequence[str] = ()) -> list[Path]:
    """Return the JSON files at a path that contain certain strings; nothing is parsed.

    Args:
        path: A file, or a folder: files in it and in its folders with "annotation" in the name are searched.
        keys: Strings that a file must contain.
        excluded: Strings that it must not contain.
    """
    files = [path]
    if path.is_dir():
        folders = [path, *(f for f in sorted(path.iterdir()) if f.is_dir() and "annotation" in f.name.lower())]
        files = [file for folder in folders for file in sorted(folder.glob("*.json"))]
    return [file for file in files if _contains(file, keys, excluded)]


def _contains(file: Path, keys: Sequence[str], excluded: Sequence[str]) -> bool:
    present = contains_strings(file, *keys, *excluded)
    return all(present[: len(keys)]) and not any(present[len(keys) :])


def read_annotations(path: Path, files: Sequence[Path]) -> Annotations:
    """Read the one annotation file of a data set.

    Args:
        path: The data set, for messages.
        files: Its annotation files.

    Raises:
        InputError: There are several files, or the file is damaged.
    """
    file, document = read_document(path, files)
    with errors_in(file):
        annotations = _annotations(file, document)
    if not annotations.records and "videos" not in document:  # a video may have no object
        raise InputError(f"{file}: it contains no annotated image; pass a file with annotations")
    return annotations


def read_document(path: Path, files: Sequence[Path]) -> tuple[Path, Record]:
    """Return the one annotation file of a data set and the JSON object in it; arguments as of ``read_annotations``."""
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise InputError(f"{path}: several annotation files ({names}); pass the path of one of them")
    (file,) = files
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"{file}: larger than {MAX_BYTES >> 20} MiB; split it into files with fewer images")
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error or 'nested too deeply'}); copy or write the file again") from None
    return file, document


def image_clips(
    annotations: Annotations,
    folders: Sequence[str],
    read_tracks: ReadTracks,
    *,
    split_annotations: bool = False,
    kind_known: bool = True,
) -> dict[str, Clip]:
    """Return a clip of one frame for each annotated image; its key is the image's id.

    Args:
        annotations: The annotation file.
        folders: Folders beside the file or beside its folder that may hold the pictures.
        read_tracks: Returns the tracks of one image.
        split_annotations: Make each annotation of an image a clip, with the key ``<id>-<place>`` if there are several.
        kind_known: See ``Clip``.
    """
    clips = {}
    for number, records in annotations.records.items():
        parts = [[record] for record in records] if split_annotations and len(records) > 1 else [records]
        for place, part in enumerate(parts):
            key = str(number) if len(parts) == 1 else f"{number}-{place}"
            picture = annotations.pictures[number]
            tracks = partial(_image_tracks, read_tracks, annotations, picture, part)
            clips[key] = Clip(key, tracks, partial(find_pictures, annotations.path, [picture], folders), kind_known)
    return clips


def _image_tracks(
    read_tracks: ReadTracks, annotations: Annotations, picture: Picture, records: Sequence[Record]
) -> ClipTracks:
    with errors_in(annotations.path, f"image {picture.id}: "):
        return read_tracks(picture, records, annotations.labels)


def _annotations(file: Path, document: Record) -> Annotations:
    pictures: dict[int, Picture] = {}
    for place, record in enumerate(required(document, "images", list)):
        picture = _picture(record, f"images[{place}]")
        if picture.id in pictures:
            raise FieldError(f"images[{place}]: the id {picture.id} is used twice; give every image a different id")
        pictures[picture.id] = picture
    records: dict[int, list[Record]] = defaultdict(list)
    for place, record in enumerate(required(document, "annotations", list)):
        where = f"annotations[{place}]"
        number = required(check_type(record, dict, where), "image_id", int, f"{where}.")
        if number not in pictures:
            raise FieldError(f"{where} is for image {number}, which images does not list; add it there")
        records[number].append(record)
    return Annotations(file, pictures, records, read_labels(document), document)


def read_labels(document: Record) -> dict[int, str]:
    """Return the names of categories by id; both are required in each category."""
    labels = {}
    for place, record in enumerate(optional(document, "categories", list) or ()):
        where = f"categories[{place}]"
        number = required(check_type(record, dict, where), "id", int, f"{where}.")
        labels[number] = required(record, "name", str, f"{where}.")
    return labels


def _picture(record: Any, where: str) -> Picture:
    check_type(record, dict, where)
    name = required(record, "file_name", str, f"{where}.")
    height, width = (required(record, side, int, f"{where}.") for side in ("height", "width"))
    return checked_picture(required(record, "id", int, f"{where}."), name, height, width, where)


def checked_picture(number: int, name: str, height: int, width: int, where: str) -> Picture:
    """Return a picture of an accepted size, whose name stays within the data set; else raise FieldError."""
    if ".." in PurePosixPath(name).parts or PureWindowsPath(name).anchor or "\\" in name or PurePosixPath(name).root:
        raise FieldError(f"{where}: the file name {excerpt(name)} leads out of the data set; use a path inside it")
    picture = Picture(number, name, height, width)
    try:
        check_video(picture.info)
    except FieldError as error:
        raise FieldError(f"{where}: {error}") from None
    return picture


# Masks


def read_mask(entry: Any, picture: Picture, where: str) -> Rle:
    """Return a mask in any of COCO's forms: compressed or plain run lengths, polygons, or (COCOA) one flat polygon.

    Polygons of fewer than three points have no area and are ignored.

    Args:
        entry: The parsed JSON.
        picture: The image of the mask.
        where: The place in the file, for messages.

    Raises:
        FieldError: The entry is none of these.
    """
    height, width = picture.height, picture.width
    if isinstance(entry, dict):
        if not isinstance(entry.get("counts"), list):
            return parse_rle(entry, height, width, where)
        return _plain_rle(entry, height, width, where)
    polygons = check_type(entry, list, where)
    if polygons and not isinstance(polygons[0], list):
        polygons = [polygons]
    outlines = [_outline(polygon, f"{where}[{place}]") for place, polygon in enumerate(polygons)]
    outlines = [outline for outline in outlines if len(outline) >= 3]
    if not outlines:
        return Rle.empty(height, width)
    if sum(np.abs(o - np.roll(o, 1, axis=0)).max(axis=1).sum() for o in outlines) > MAX_PERIMETER:
        raise FieldError(f"{where}: outlines of more than {MAX_PERIMETER} pixels; draw the mask again")
    drawn = coco.merge(coco.frPyObjects([outline.ravel().tolist() for outline in outlines], height, width))
    return Rle.encode(Rle(height, width, drawn["counts"].decode("ascii")).decode())  # without empty runs


def _plain_rle(entry: Record, height: int, width: int, where: str) -> Rle:
    runs = entry["counts"]
    if entry.get("size") != [height, width]:
        raise FieldError(f"{where}: size {excerpt(entry.get('size'))}, but the image is [{height}, {width}]")
    if any(type(run) is not int or run < 0 for run in runs) or sum(runs) != height * width:
        raise FieldError(
            f"{where}: the counts are not run lengths that sum to {height} x {width} pixels; write the mask again"
        )
    return Rle.encode(np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T)


def _outline(polygon: Any, where: str) -> Float[np.ndarray, "n 2"]:
    """The points (x, y) of a polygon."""
    numbers = check_type(polygon, list, where)
    if any(type(number) not in (int, float) for number in numbers) or len(numbers) % 2:
        raise FieldError(f"{where} must be numbers x, y, x, y, ..., not {excerpt(numbers)}")
    if not all(abs(number) <= MAX_PERIMETER for number in numbers):  # false for NaN, too
        raise FieldError(f"{where} has a coordinate that is not within {MAX_PERIMETER} pixels; draw the mask again")
    return np.array(numbers, dtype=float).reshape(-1, 2)


# Pictures


def find_pictures(annotations: Path, pictures: Sequence[Picture], folders: Sequence[str]) -> Iterator[Frame] | None:
    """Return the pictures of a clip's frames, or None if no folder has all of them.

    Args:
        annotations: The annotation file.
        pictures: The images, in order.
        folders: Folders beside the file or beside its folder that may hold them.

    Raises:
        InputError: A picture is damaged, or has another size than annotated; raised when it is read.
    """
    bases = [base / folder for base in (annotations.parent, annotations.absolute().parent.parent) for folder in folders]
    for base in bases:
        paths = [base / picture.name for picture in pictures]
        if all(path.is_file() for path in paths):
            return map(_read_picture, paths, pictures)
    return None


def _read_picture(path: Path, picture: Picture) -> Frame:
    image = read_image(path)
    if image.shape[:2] != (picture.height, picture.width):
        raise InputError(
            f"{path}: {image.shape[0]} x {image.shape[1]} pixels, but its annotation states {picture.height} x "
            f"{picture.width}; use the image that was annotated"
        )
    return image

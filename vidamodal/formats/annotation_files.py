"""COCO-style annotation files: what their layouts share. Every size, count and coordinate is checked before it is used.

pycocotools returns uninitialised memory for run lengths that do not fill the mask, takes a polygon of two points for a
box, and draws a polygon in memory that grows with its perimeter.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Float
from pycocotools import mask as coco

from vidamodal.formats.base import Clip
from vidamodal.formats.tracks.check import check_video
from vidamodal.formats.tracks.parse import MAX_BYTES, parse_rle
from vidamodal.media.images import read_image
from vidamodal.media.json_records import FieldError, check_type, contains_strings, excerpt, optional, required
from vidamodal.types import ClipTracks, Frame, InputError, Rle, VideoInfo

MAX_PERIMETER = 2**21
"""Pixels along the outlines of a mask; more is taken for damage. A coordinate lies within as many, too."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """An image of an annotation file; ``name`` is a path within the data set, checked to stay there."""

    id: int
    name: str
    height: int
    width: int

    @property
    def info(self) -> VideoInfo:
        """The image as a video of one frame."""
        return VideoInfo(self.name, self.height, self.width, 1, 1.0)


Reader = Callable[[Picture, Sequence[Record], Mapping[int, str]], ClipTracks]
"""Tracks of an image from its annotations and the categories' names."""


@dataclass(frozen=True)
class Annotations:
    """A checked annotation file: its images, their annotations as they stand there, and the categories' names."""

    path: Path
    pictures: Mapping[int, Picture]
    records: Mapping[int, Sequence[Record]]
    """By image id, in the file's order; only images that have one."""
    labels: Mapping[int, str]
    document: Record
    """The whole file; of what the other fields do not hold, nothing is checked."""


def annotation_files(path: Path, wanted: Sequence[str], unwanted: Sequence[str] = ()) -> list[Path]:
    """The JSON files at or under a path (in it, or in its folders called "...annotation...") that name certain keys."""
    files = [path]
    if path.is_dir():
        folders = [path, *(f for f in sorted(path.iterdir()) if f.is_dir() and "annotation" in f.name.lower())]
        files = [file for folder in folders for file in sorted(folder.glob("*.json"))]
    return [file for file in files if _names(file, wanted, unwanted)]


def _names(file: Path, wanted: Sequence[str], unwanted: Sequence[str]) -> bool:
    """Whether a JSON object's text holds all keys of one list and none of the other; it is not parsed."""
    found = contains_strings(file, *wanted, *unwanted)
    return all(found[: len(wanted)]) and not any(found[len(wanted) :])


def read_annotations(path: Path, files: Sequence[Path]) -> Annotations:
    """Reads the one annotation file found under a path. InputError if there are several, or it is damaged."""
    file, document = read_document(path, files)
    try:
        annotations = _annotations(file, document)
    except FieldError as breach:
        raise InputError(f"{file}: {breach}") from None
    if not annotations.records and "videos" not in document:  # a video may show nothing
        raise InputError(f"{file}: no image in it is annotated; give a file with annotations")
    return annotations


def read_document(path: Path, files: Sequence[Path]) -> tuple[Path, Record]:
    """The one annotation file found under a path, and the JSON object in it. InputError as from its caller."""
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise InputError(f"{path}: several annotation files ({names}); give the path of one of them")
    (file,) = files
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"{file}: larger than {MAX_BYTES >> 20} MiB; split it into files with fewer images")
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error or 'nested too deeply'}); give the annotation file again") from None
    return file, document


def image_clips(
    annotations: Annotations, folders: Sequence[str], tracks: Reader, apart: bool = False, kind_known: bool = True
) -> dict[str, Clip]:
    """A one-frame clip for each annotated image; its key is the image's id.

    ``tracks`` makes the tracks of one image of its annotations and the categories' names; what it finds broken (FieldError)
    becomes an InputError with file and image. ``apart``: each annotation of an image is a clip, ``<id>-<place>`` if
    there are several. ``kind_known``: see ``Clip``.
    """
    clips = {}
    for number, records in annotations.records.items():
        parts = [[record] for record in records] if apart and len(records) > 1 else [records]
        for place, part in enumerate(parts):
            key = str(number) if len(parts) == 1 else f"{number}-{place}"
            picture = annotations.pictures[number]
            read = partial(_image_tracks, tracks, annotations, picture, part)
            clips[key] = Clip(key, read, partial(find_pictures, annotations.path, [picture], folders), kind_known)
    return clips


def _image_tracks(tracks: Reader, annotations: Annotations, picture: Picture, records: Sequence[Record]) -> ClipTracks:
    try:
        return tracks(picture, records, annotations.labels)
    except FieldError as breach:
        raise InputError(f"{annotations.path}: image {picture.id}: {breach}") from None


def _annotations(file: Path, document: Record) -> Annotations:
    pictures: dict[int, Picture] = {}
    for place, record in enumerate(required(document, "images", list)):
        picture = _picture(record, f"images[{place}]")
        if picture.id in pictures:
            raise FieldError(f"images[{place}]: the id {picture.id} stands twice; give every image an id of its own")
        pictures[picture.id] = picture
    records: dict[int, list[Record]] = defaultdict(list)
    for place, record in enumerate(required(document, "annotations", list)):
        number = required(check_type(record, dict, f"annotations[{place}]"), "image_id", int, f"annotations[{place}].")
        if number not in pictures:
            raise FieldError(f"annotations[{place}] is for image {number}, which images does not list; add it there")
        records[number].append(record)
    return Annotations(file, pictures, records, read_labels(document), document)


def read_labels(document: Record) -> dict[int, str]:
    """The categories' names by id. Breach if one lacks either."""
    labels = {}
    for place, record in enumerate(optional(document, "categories", list) or ()):
        where = f"categories[{place}]"
        labels[required(check_type(record, dict, where), "id", int, f"{where}.")] = required(
            record, "name", str, f"{where}."
        )
    return labels


def _picture(record: Any, where: str) -> Picture:
    check_type(record, dict, where)
    name = required(record, "file_name", str, f"{where}.")
    height, width = (required(record, side, int, f"{where}.") for side in ("height", "width"))
    return checked_picture(required(record, "id", int, f"{where}."), name, height, width, where)


def checked_picture(number: int, name: str, height: int, width: int, where: str) -> Picture:
    """A picture of a size that is taken, with a name that stays within the data set; else Breach."""
    if ".." in PurePosixPath(name).parts or PureWindowsPath(name).anchor or "\\" in name or PurePosixPath(name).root:
        raise FieldError(f"{where}: the file name {excerpt(name)} leads out of the data set; give a path inside it")
    picture = Picture(number, name, height, width)
    try:
        check_video(picture.info)
    except ValueError as error:
        raise FieldError(f"{where}: {error}") from None
    return picture


# Masks


def read_mask(entry: Any, picture: Picture, where: str) -> Rle:
    """A mask in any of COCO's forms: run lengths, packed or plain; polygons; or, as in COCOA, one polygon's numbers.

    Polygons of fewer than three points have no area and are left out. FieldError, with the place, on anything else.
    """
    height, width = picture.height, picture.width
    if isinstance(entry, dict):
        if not isinstance(entry.get("counts"), list):
            return parse_rle(entry, height, width, where)
        return _plain(entry, height, width, where)
    polygons = check_type(entry, list, where)
    if polygons and not isinstance(polygons[0], list):
        polygons = [polygons]
    outlines = [_outline(polygon, f"{where}[{place}]") for place, polygon in enumerate(polygons)]
    outlines = [outline for outline in outlines if len(outline) >= 3]
    if not outlines:
        return Rle.empty(height, width)
    if sum(np.abs(o - np.roll(o, 1, axis=0)).max(axis=1).sum() for o in outlines) > MAX_PERIMETER:
        raise FieldError(f"{where}: outlines of more than {MAX_PERIMETER} pixels; draw it again")
    drawn = coco.merge(coco.frPyObjects([outline.ravel().tolist() for outline in outlines], height, width))
    return Rle.encode(Rle(height, width, drawn["counts"].decode("ascii")).decode())  # without empty runs


def _plain(entry: Record, height: int, width: int, where: str) -> Rle:
    runs = entry["counts"]
    if entry.get("size") != [height, width]:
        raise FieldError(f"{where}: size {excerpt(entry.get('size'))}, but the image is [{height}, {width}]")
    if any(type(run) is not int or run < 0 for run in runs) or sum(runs) != height * width:
        raise FieldError(
            f"{where}: the counts are not run lengths that sum to {height} x {width} pixels; write them again"
        )
    return Rle.encode(np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T)


def _outline(polygon: Any, where: str) -> Float[np.ndarray, "n 2"]:
    """The points (x, y) of a polygon."""
    numbers = check_type(polygon, list, where)
    if any(type(number) not in (int, float) for number in numbers) or len(numbers) % 2:
        raise FieldError(f"{where} must be numbers x, y, x, y, ..., not {excerpt(numbers)}")
    if not all(abs(number) <= MAX_PERIMETER for number in numbers):  # false for NaN, too
        raise FieldError(f"{where} holds a coordinate that is not within {MAX_PERIMETER} pixels; draw it again")
    return np.array(numbers, dtype=float).reshape(-1, 2)


# Pictures


def find_pictures(annotations: Path, pictures: Sequence[Picture], folders: Sequence[str]) -> Iterator[Frame] | None:
    """The pictures of a clip's frames, from one of the folders beside the annotation file or its folder.

    None if one is in none of them. InputError, when it is read, if it is damaged or of another size than annotated.
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
            f"{path}: {image.shape[0]} x {image.shape[1]} pixels, its annotation says {picture.height} x "
            f"{picture.width}; give the image that was annotated"
        )
    return image

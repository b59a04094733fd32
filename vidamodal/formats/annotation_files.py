"""COCO-style annotation files: reading of image entries, annotations, masks and image files.

Read as COCO's own tools read them:

- Sizes and ids may be written as 48, 48.0 or "48"; other ids of images, videos and categories are names.
- ``iscrowd: 1`` marks a region of many objects. It is passed over, unless the annotation has ``attributes`` or a
  ``track_id``: CVAT and Datumaro mark every object that is stored as a mask, and COCO's crowds have neither.
- A mask is run lengths (compressed or plain) or polygons. An annotation whose mask is missing, null or without a
  polygon says that the object is there, not that it is hidden.
- Annotations of images that are not listed are left out.

All of this is reported, once for a file. Every size, count and coordinate is checked before it is used: pycocotools
returns uninitialised memory for run lengths that do not fill the mask, takes a polygon of two points for a box, and
needs memory in proportion to a polygon's perimeter.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Float
from pycocotools import mask as coco

from vidamodal.formats.base import Clip, Fit
from vidamodal.formats.json_layouts import Layout, load_json, match_files, one_file
from vidamodal.media.images import read_image
from vidamodal.media.json_records import (
    FieldError,
    Identity,
    check_type,
    excerpt,
    integer,
    optional,
    optional_identity,
    required,
    required_identity,
    required_integer,
)
from vidamodal.rle import union
from vidamodal.tracks.check import check_video
from vidamodal.tracks.parse import parse_rle
from vidamodal.types import ClipTracks, Frame, InputError, Rle, VideoInfo

MAX_PERIMETER = 2**21
"""Longest accepted outline of a mask in pixels, and the limit of coordinates; more is taken for damage."""

_BYTES = re.compile("b'[^']*'|b\"[^\"]*\"")
"""No other run lengths have quotation marks in them."""
_BOX = 4
"""Numbers of a box, and of two points: a polygon has more."""

Size = tuple[int, int]
"""Height and width in pixels."""
Record = dict[str, Any]
"""A JSON object."""


@dataclass(frozen=True)
class ImageEntry:
    """An image of an annotation file."""

    id: Identity
    name: str
    """Path of the image as the file states it, with ``/`` between its parts; it may lead out of the data set."""
    height: int
    width: int

    @property
    def path(self) -> str | None:
        """Path within the data set; None if the stated one leads out of it."""
        leads_out = PureWindowsPath(self.name).anchor or ".." in PurePosixPath(self.name).parts
        return None if leads_out or "\0" in self.name else self.name

    @property
    def info(self) -> VideoInfo:
        """The image as a video of one frame."""
        name = (self.path or PurePosixPath(self.name).name) or str(self.id)
        return VideoInfo(name, self.height, self.width, 1, 1.0)


ReadTracks = Callable[[ImageEntry, Sequence[Record], Mapping[Identity, str]], ClipTracks]
"""Return the tracks of an image, from its annotations and the names of categories by id.

The file's name is put before its notes, which are the same in all images of a file."""


@dataclass(frozen=True)
class Annotations:
    """A checked annotation file."""

    path: Path
    pictures: Mapping[Identity, ImageEntry]
    """By id."""
    records: Mapping[Identity, Sequence[Record]]
    """Annotations by the id of their image, in the file's order; only images that have one."""
    labels: Mapping[Identity, str]
    """Names of categories by id."""
    document: Record
    """The whole file; the rest of it is unchecked."""
    crowds: Mapping[Identity, Sequence[Record]] = field(default_factory=dict)
    """Regions of many objects, which are left out, by the id of their image."""
    notes: tuple[str, ...] = ()
    """What was left out, one line each; see ``ClipTracks.notes``."""

    def note(self, *texts: str) -> Annotations:
        """Return the annotations with more notes; each is put behind the name of the file."""
        return replace(self, notes=(*self.notes, *(f"{self.path.name}: {text}" for text in texts)))


@contextmanager
def errors_in(file: Path, part: str = "") -> Iterator[None]:
    """Turn a FieldError into an InputError that names the file and the part of it."""
    try:
        yield
    except FieldError as error:
        raise InputError(f"{file}: {part}{error}") from None


def read_document(path: Path, format_id: str, fit: Callable[[Layout], Fit]) -> tuple[Path, Record]:
    """Return the one annotation file of a data set and the JSON object in it.

    Args:
        path: The data set, which matches the format.
        format_id: The format.
        fit: See ``match_files``.

    Raises:
        InputError: There are several files, or the file is damaged.
    """
    file = one_file(path, match_files(path, format_id, fit)[1])
    with errors_in(file):
        return file, check_type(load_json(file), dict, "its content")


def read_annotations(path: Path, format_id: str, fit: Callable[[Layout], Fit]) -> Annotations:
    """Return the images and annotations of a data set; arguments and errors are those of ``read_document``."""
    return parse_annotations(*read_document(path, format_id, fit))


def parse_annotations(file: Path, document: Record, size: Size | None = None) -> Annotations:
    """Return the images and annotations of a document.

    Args:
        file: The annotation file.
        document: The JSON object in it.
        size: Height and width in pixels of images that do not state them; by default those of their masks.

    Raises:
        InputError: A field is damaged, or nothing is annotated.
    """
    with errors_in(file):
        pictures: dict[Identity, ImageEntry] = {}
        images = required(document, "images", list)
        sizes = {} if all(map(_states_size, images)) else _sizes_of_masks(document)
        for place, record in enumerate(images):
            picture = _picture(record, f"images[{place}]", sizes, size)
            if picture.id in pictures:
                raise FieldError(f"images[{place}]: the id {picture.id} is used twice; give every image a different id")
            pictures[picture.id] = picture
        labels = read_labels(document)
        records, crowds, notes = split_records(document, "image", pictures, labels)
    if not records and not document.get("videos"):  # a video may have no object
        left = f" ({'; '.join(notes)})" if notes else ""
        raise InputError(f"{file}: it contains no annotated image{left}; pass a file with annotations")
    notes += outside_note(pictures.values())
    notes = [f"{file.name}: {note}" for note in notes]
    return Annotations(file, pictures, records, labels, document, crowds, tuple(notes))


def with_masks(annotations: Annotations, key: str = "segmentation") -> Annotations:
    """Return the annotations that have a mask under a key; what is left out is noted.

    Raises:
        InputError: None has a mask.
    """
    kept = {
        number: masked
        for number, records in annotations.records.items()
        if (masked := [record for record in records if has_mask(record.get(key))])
    }
    lost = sum(map(len, annotations.records.values())) - sum(map(len, kept.values()))
    if not kept:
        raise InputError(
            f"{annotations.path}: none of {lost} annotations has a mask ({key}). Boxes, captions and key points are "
            "not enough; pass a file with masks"
        )
    annotations = replace(annotations, records=kept)
    return annotations.note(f"{count(lost, 'annotation')} without a mask ({key}) left out") if lost else annotations


def split_records(
    document: Record, owner: str, known: Container[Identity], labels: Mapping[Identity, str]
) -> tuple[dict[Identity, list[Record]], dict[Identity, list[Record]], list[str]]:
    """Return the annotations of each image or video, in the file's order, its crowds, and notes on what is left out.

    Args:
        document: The JSON object.
        owner: "image" or "video".
        known: The ids of the images or videos.
        labels: The names of categories by id.

    Raises:
        FieldError: An annotation is damaged, or all are of unknown images or videos.
    """
    records: dict[Identity, list[Record]] = defaultdict(list)
    crowds: dict[Identity, list[Record]] = defaultdict(list)
    strays: list[Identity] = []
    singles = 0
    nameless: dict[Identity, None] = {}
    for place, record in enumerate(required(document, "annotations", list)):
        where = f"annotations[{place}]"
        number = required_identity(check_type(record, dict, where), f"{owner}_id", f"{where}.")
        if number not in known:
            strays.append(number)
        elif _is_marked(record) and not _is_single(record):
            crowds[number].append(record)
        else:
            singles += _is_marked(record)
            category = optional_identity(record, "category_id", f"{where}.")
            if labels and category is not None and category not in labels:
                nameless[category] = None
            records[number].append(record)
    if strays and not records:
        raise FieldError(f"the annotations are for {owner} {strays[0]}, which {owner}s does not list; add it there")
    _check_pixels(records.values(), f"{owner}s")
    notes = []
    if crowds:
        notes.append(f"{count(sum(map(len, crowds.values())), 'crowd region')} (iscrowd) left out")
    if singles:
        notes.append(
            f"iscrowd of {count(singles, 'mask')} ignored: annotations with attributes or a track_id are single objects"
        )
    if strays:
        notes.append(
            f"{count(len(strays), 'annotation')} for {owner}s that are not listed left out, such as {strays[0]}"
        )
    if nameless:
        notes.append(
            f"objects of {count(len(nameless), 'unlisted category id')}, such as {next(iter(nameless))}, have no label"
        )
    return records, crowds, notes


def _is_marked(record: Record) -> bool:
    """True if an annotation is marked as a region of many objects."""
    return record.get("iscrowd") in (1, "1")


def _is_single(record: Record) -> bool:
    """True if an annotation is of one object, whatever its ``iscrowd`` says: it has attributes or a track id."""
    return isinstance(record.get("attributes"), dict) or record.get("track_id") not in (None, "", -1, "-1")


def _check_pixels(records: Iterable[Sequence[Record]], owners: str) -> None:
    """Refuse polygons in fractions of the image's sides, as YOLO and Label Studio count."""
    entries = (record.get("segmentation", record.get("segmentations")) for of_owner in records for record in of_owner)
    is_fraction = False
    for number in _coordinates([entry for entry in entries if isinstance(entry, list)]):
        if not 0 <= number <= 1:
            return
        is_fraction = is_fraction or 0 < number < 1
    if is_fraction:
        raise FieldError(
            f"the coordinates of all polygons are fractions; multiply them by the width and height of their {owners}"
        )


def _coordinates(entry: Any) -> Iterator[float]:
    """The numbers in nested lists."""
    for part in entry:
        if isinstance(part, list):
            yield from _coordinates(part)
        elif type(part) in (int, float):
            yield part


def outside_note(pictures: Iterable[ImageEntry]) -> list[str]:
    """Return a note on images outside the data set, if there are any."""
    if all(picture.path is not None for picture in pictures):
        return []
    return ["file names with an absolute path or .. are used as names alone; these images are not read"]


def count(number: int, noun: str) -> str:
    """Return a number and a noun, in the plural if it is not 1."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


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
        folders: Folders beside the file or beside its folder that may hold the image files.
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
            clips[key] = Clip(key, tracks, partial(find_images, annotations.path, [picture], folders), kind_known)
    return clips


def _image_tracks(
    read_tracks: ReadTracks, annotations: Annotations, picture: ImageEntry, records: Sequence[Record]
) -> ClipTracks:
    with errors_in(annotations.path, f"image {picture.id}: "):
        tracks = read_tracks(picture, records, annotations.labels)
    return replace(tracks, notes=annotations.note(*tracks.notes).notes)


def read_labels(document: Record) -> dict[Identity, str]:
    """Return the names of categories by id; both are required in each category."""
    labels = {}
    for place, record in enumerate(optional(document, "categories", list) or ()):
        where = f"categories[{place}]"
        number = required_identity(check_type(record, dict, where), "id", f"{where}.")
        labels[number] = required(record, "name", str, f"{where}.")
    return labels


def read_label(record: Record, labels: Mapping[Identity, str], where: str) -> str | None:
    """Return the label of an annotation; None if its category is missing or not listed."""
    category = optional_identity(record, "category_id", where)
    return None if category is None else labels.get(category)


def _picture(record: Any, where: str, sizes: Mapping[Identity, Size], size: Size | None) -> ImageEntry:
    check_type(record, dict, where)
    number = required_identity(record, "id", f"{where}.")
    if not _states_size(record):
        if number not in sizes and size is None:
            raise FieldError(f"{where} states no height and width, and none of its masks does; add them")
        height, width = sizes.get(number) or size or (0, 0)
    else:
        height, width = (required_integer(record, side, f"{where}.") for side in ("height", "width"))
    return checked_image(number, optional(record, "file_name", str, f"{where}.") or "", height, width, where)


def _states_size(image: Any) -> bool:
    return isinstance(image, dict) and (image.get("height") is not None or image.get("width") is not None)


def _sizes_of_masks(document: Record) -> dict[Identity, Size]:
    """The size that the first run lengths of each image state."""
    sizes: dict[Identity, Size] = {}
    for place, record in enumerate(required(document, "annotations", list)):
        mask = record.get("segmentation") if isinstance(record, dict) else None
        if isinstance(mask, dict) and "size" in mask:
            where = f"annotations[{place}]."
            number = required_identity(record, "image_id", where)
            if number not in sizes:
                sizes[number] = mask_size(mask, f"{where}segmentation")
    return sizes


def checked_image(number: Identity, name: str, height: int, width: int, where: str) -> ImageEntry:
    """Return an image of an accepted size; else raise FieldError."""
    picture = ImageEntry(number, name.replace("\\", "/"), height, width)
    try:
        check_video(picture.info)
    except FieldError as error:
        raise FieldError(f"{where}: {error}") from None
    return picture


# Masks


def has_mask(entry: Any) -> bool:
    """Return False for a mask that is missing, null, or a list without a polygon of at least three points."""
    if not isinstance(entry, list):
        return entry is not None
    if entry and type(entry[0]) in (int, float):  # COCOA's flat polygon
        return len(entry) > _BOX
    return any(not isinstance(part, list) or len(part) > _BOX for part in entry)


def read_optional_mask(record: Record, key: str, picture: ImageEntry, where: str) -> Rle | None:
    """Return a mask of an annotation; None if it has none, or an outline without a pixel: something is there."""
    entry = record.get(key)
    if not has_mask(entry):
        return None
    mask = read_mask(entry, picture, f"{where}{key}")
    return None if isinstance(entry, list) and not mask.area() else mask


def read_mask(entry: Any, picture: ImageEntry, where: str) -> Rle:
    """Return a mask in any of COCO's forms: compressed or plain run lengths, polygons, or (COCOA) one flat polygon.

    A list may mix polygons and run lengths. Polygons of fewer than three points have no area and are ignored.

    Args:
        entry: The parsed JSON.
        picture: The image of the mask.
        where: The place in the file, for messages.

    Raises:
        FieldError: The entry is none of these.
    """
    if isinstance(entry, dict):
        return _read_rle(entry, picture, where)
    parts = check_type(entry, list, where)
    if parts and not isinstance(parts[0], list | dict):
        parts = [parts]
    polygons, masks = [], []
    for place, part in enumerate(parts):
        if isinstance(part, dict):
            masks.append(_read_rle(part, picture, f"{where}[{place}]"))
        else:
            polygons.append(_outline(part, f"{where}[{place}]"))
    masks += _draw([outline for outline in polygons if 2 * len(outline) > _BOX], picture, where)
    return union(masks) if masks else Rle.empty(picture.height, picture.width)


def _draw(outlines: Sequence[Float[np.ndarray, "n 2"]], picture: ImageEntry, where: str) -> list[Rle]:
    """The mask inside all outlines; an empty list without any."""
    if not outlines:
        return []
    if sum(np.abs(o - np.roll(o, 1, axis=0)).max(axis=1).sum() for o in outlines) > MAX_PERIMETER:
        raise FieldError(f"{where}: outlines of more than {MAX_PERIMETER} pixels; draw the mask again")
    height, width = picture.height, picture.width
    drawn = coco.merge(coco.frPyObjects([outline.ravel().tolist() for outline in outlines], height, width))
    return [Rle.encode(Rle(height, width, drawn["counts"].decode("ascii")).decode())]  # without empty runs


def _read_rle(entry: Record, picture: ImageEntry, where: str) -> Rle:
    height, width = picture.height, picture.width
    runs = entry.get("counts")
    if not isinstance(runs, list | str):
        raise FieldError(f'{where} must be {{"size": [h, w], "counts": ...}} or polygons, not {excerpt(entry)}')
    size = mask_size(entry, where)
    if size != (height, width):
        swapped = "; the two numbers are swapped, COCO writes [height, width]" if size == (width, height) else ""
        raise FieldError(f"{where}: size {list(size)}, but the image is [{height}, {width}]{swapped}")
    if isinstance(runs, str):
        return parse_rle({"size": [height, width], "counts": _plain_text(runs)}, height, width, where)
    runs = [run if type(run) is int else integer(run, f"{where}: a run length") for run in runs]
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise FieldError(
            f"{where}: the counts are not run lengths that sum to {height} x {width} pixels; write the mask again"
        )
    return Rle.encode(np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T)


def _plain_text(counts: str) -> str:
    """Strip the b'...' of run lengths stored as the repr of Python bytes."""
    if not _BYTES.fullmatch(counts):
        return counts
    return counts[2:-1].replace("\\\\", "\\")


def mask_size(entry: Record, where: str) -> Size:
    """Return the height and width that run lengths state; else raise FieldError."""
    size = required(entry, "size", list, f"{where}.")
    if len(size) != 2:
        raise FieldError(f"{where}.size must be [height, width], not {excerpt(size)}")
    return integer(size[0], f"{where}.size"), integer(size[1], f"{where}.size")


def _outline(polygon: Any, where: str) -> Float[np.ndarray, "n 2"]:
    """The points (x, y) of a polygon."""
    numbers = check_type(polygon, list, where)
    if any(type(number) not in (int, float) for number in numbers) or len(numbers) % 2:
        raise FieldError(f"{where} must be numbers x, y, x, y, ..., not {excerpt(numbers)}")
    if not all(abs(number) <= MAX_PERIMETER for number in numbers):  # false for NaN, too
        raise FieldError(f"{where} has a coordinate that is not within {MAX_PERIMETER} pixels; draw the mask again")
    return np.array(numbers, dtype=float).reshape(-1, 2)


# Image files


def find_images(annotations: Path, pictures: Sequence[ImageEntry], folders: Sequence[str]) -> Iterator[Frame] | None:
    """Return the frames of a clip, or None if no folder has all of them.

    Args:
        annotations: The annotation file.
        pictures: The images, in order.
        folders: Folders beside the file or beside its folder that may hold them.

    Raises:
        InputError: An image is damaged, or has another size than annotated; raised when it is read.
    """
    bases = [base / folder for base in (annotations.parent, annotations.absolute().parent.parent) for folder in folders]
    for base in bases:
        paths = [base / picture.path for picture in pictures if picture.path]
        if len(paths) == len(pictures) and all(map(_is_file, paths)):
            return map(_read_image_file, paths, pictures)
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, for example
        return False


def _read_image_file(path: Path, picture: ImageEntry) -> Frame:
    image = read_image(path)
    if image.shape[:2] != (picture.height, picture.width):
        raise InputError(
            f"{path}: {image.shape[0]} x {image.shape[1]} pixels, but its annotation states {picture.height} x "
            f"{picture.width}; use the image that was annotated"
        )
    return image

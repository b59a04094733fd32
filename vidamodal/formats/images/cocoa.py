"""COCOA (Zhu et al., CVPR 2017) and MP3D-Amodal: all regions of an image in one annotation. Read only.

- ``segmentation`` is the amodal mask (COCOA: one polygon as a flat list of numbers; MP3D-Amodal: run lengths).
- ``visible_mask`` is the visible mask; a region without it is not occluded, and null is unknown.
- ``depth_constraint`` ("1-2,1-3") lists pairs of regions, the one in front first, by their place in the list from 1.
- ``name`` is the label, or the category of ``category_id``.

A track's id is the region's place. Only salient regions are annotated, so it is not exhaustive. Where several
annotators worked on an image (BSDS), each annotation is a clip: ``<image id>-0``, ``<image id>-1``, ...

A file with a single annotation, as in XiaohangZhan/deocclusion, is a clip, too; the size is that of the image beside it
with the same name, of the video, or of a visible mask.

COCOA is read as in its API and a sample annotation, MP3D-Amodal as in its own loader. That loader pairs images and
annotations by place; here ``image_id`` is assumed, as in COCOA.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from vidamodal.formats.annotation_files import (
    ImageEntry,
    Record,
    errors_in,
    image_clips,
    mask_size,
    parse_annotations,
    read_annotations,
    read_label,
    read_mask,
    read_optional_mask,
)
from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.build import unite_visible
from vidamodal.formats.json_layouts import Layout, layout_of, load_json, match_files
from vidamodal.media.images import is_image, read_image
from vidamodal.media.json_records import FieldError, Identity, check_type, excerpt, optional, required
from vidamodal.types import ClipTracks, FrameOrder, Rle, Track

ID = "cocoa"
NAME = "COCOA or MP3D-Amodal"
SIGN = 'a JSON with "regions" in each annotation, or one such annotation'
_FOLDERS = ("images", "train2014", "val2014", "test2014", "images/train2014", "images/val2014", "images/test2014", "")


def recognise(path: Path) -> Fit:
    """Match an annotation file with this key, or a folder with one in it."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    return certain_if(_is_single(layout.keys) or ("images" in layout.keys and layout.has("annotations", "regions")))


def _is_single(keys: Container[str]) -> bool:
    return "regions" in keys and "image_id" in keys and "images" not in keys


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each annotation; its key is the image's id, or the name of a file with a single annotation."""
    files = match_files(path, ID, _fit)[1]
    if all(_is_single(layout_of(file).keys) for file in files):
        return {file.stem: _single_clip(file, load_json(file), video) for file in files}
    return image_clips(read_annotations(path, ID, _fit), _FOLDERS, _tracks, split_annotations=True)


def _single_clip(file: Path, annotation: Record, video: VideoContext | None) -> Clip:
    """The clip of a file with a single annotation; the size is that of the image, the video or a visible mask."""
    picture = next((p for p in sorted(file.parent.glob(f"{glob.escape(file.stem)}.*")) if is_image(p)), None)
    size = None if video is None else (video.info.height, video.info.width)
    if picture is not None:
        height, width, _ = read_image(picture).shape
        size = height, width
    with errors_in(file):
        regions = [check_type(region, dict, "regions[]") for region in required(annotation, "regions", list)]
        masks = [region["visible_mask"] for region in regions if isinstance(region.get("visible_mask"), dict)]
        size = size or (mask_size(masks[0], "visible_mask") if masks else None)
        if size is None:
            raise FieldError(f"the size of its image is not stated; put the image beside it, named {file.stem}.jpg")
    image = {"id": file.stem, "file_name": file.name if picture is None else picture.name}
    document = {"images": [image], "annotations": [{**annotation, "image_id": file.stem}]}
    (clip,) = image_clips(parse_annotations(file, document, size), _FOLDERS, _tracks).values()
    return clip


def _tracks(picture: ImageEntry, records: Sequence[Record], labels: Mapping[Identity, str]) -> ClipTracks:
    (record,) = records
    regions = required(record, "regions", list)
    tracks = tuple(_track(picture, region, place, labels) for place, region in enumerate(regions, 1))
    constraint = optional(record, "depth_constraint", str)
    order = None if constraint is None else (_order(constraint, len(tracks)),)
    return unite_visible(ClipTracks(picture.info, tracks, order=order), NAME)


def _track(picture: ImageEntry, region: Record, place: int, labels: Mapping[Identity, str]) -> Track:
    where = f"regions[{place - 1}]"
    check_type(region, dict, where)
    whole = read_mask(required(region, "segmentation", (list, dict), f"{where}."), picture, f"{where}.segmentation")
    seen: Rle | None = whole
    if "visible_mask" in region:
        seen = read_optional_mask(region, "visible_mask", picture, f"{where}.")
    label = optional(region, "name", str, f"{where}.") or read_label(region, labels, f"{where}.")
    return Track(place, (seen,), (whole,), label=label and label.strip())


def _order(constraint: str, regions: int) -> FrameOrder:
    pairs: dict[tuple[int, int], None] = {}
    for text in filter(None, constraint.split(",")):
        match = re.fullmatch(r"\s*([0-9]{1,9})-([0-9]{1,9})\s*", text)
        front, back = (int(number) for number in match.groups()) if match else (0, 0)
        if not (1 <= front <= regions and 1 <= back <= regions) or front == back or (back, front) in pairs:
            raise FieldError(f"depth_constraint: {excerpt(text)} is not a new pair of two of {regions} regions (1-2)")
        pairs[front, back] = None
    return tuple(pairs)

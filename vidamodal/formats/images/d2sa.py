"""D2SA and COCOA-cls: the COCO-style layout of the authors of ORCNN (Follmann et al., WACV 2019). Read only.

``segmentation`` is the amodal mask, ``visible_mask`` the visible one (null is unknown), both run lengths;
``invisible_mask`` (their difference) and ``occlude_rate`` follow from them and are not read. A track's id is its place
in the image's list, from 1. It has no order and is not exhaustive. ``annotation_files`` says what is left out.
Annotations: D2S_amodal_*.json, COCO_amodal_*_with_classes.json.

Based on published loaders and a sample annotation; not tested on the published files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vidamodal.formats.annotation_files import (
    ImageEntry,
    Record,
    image_clips,
    read_annotations,
    read_label,
    read_mask,
    read_optional_mask,
    with_masks,
)
from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.build import unite_visible
from vidamodal.formats.json_layouts import Layout, match_files
from vidamodal.media.json_records import Identity, required
from vidamodal.types import ClipTracks, Track

ID = "d2sa"
NAME = "D2SA or COCOA-cls"
SIGN = 'a COCO-style JSON with "segmentation" and "visible_mask" in each annotation'
_FOLDERS = ("images", "d2s_amodal_images_v1/images", "train2014", "val2014", "")


def recognise(path: Path) -> Fit:
    """Match a file with ``segmentation`` and ``visible_mask``, or a folder with one; KINS's keys match better."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    if "images" not in layout.keys or not layout.has("annotations", "segmentation", "visible_mask"):
        return Fit.NONE
    others = layout.has("images", "video_id") or layout.has("annotations", "inmodal_seg")
    return Fit.POSSIBLE if others or layout.has("annotations", "a_segm") else Fit.CERTAIN


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each annotated image; its key is the image's id."""
    return image_clips(with_masks(read_annotations(path, ID, _fit)), _FOLDERS, _tracks)


def _tracks(picture: ImageEntry, records: Sequence[Record], labels: Mapping[Identity, str]) -> ClipTracks:
    def track(record: Record, place: int) -> Track:
        where = f"annotation {place - 1}: "
        whole = read_mask(required(record, "segmentation", (list, dict), where), picture, f"{where}segmentation")
        seen = read_optional_mask(record, "visible_mask", picture, where)
        return Track(place, (seen,), (whole,), label=read_label(record, labels, where))

    tracks = tuple(track(record, place) for place, record in enumerate(records, 1))
    return unite_visible(ClipTracks(picture.info, tracks), NAME)

"""D2SA and COCOA-cls: the COCO-style layout of the authors of ORCNN (Follmann et al., WACV 2019). Read only.

``segmentation`` is the amodal mask, ``visible_mask`` the visible one, both run lengths; ``invisible_mask`` (their
difference) and ``occlude_rate`` follow from them and are not read. A track's id is its place in the image's list, from
1. It has no order and is not exhaustive. Annotations: D2S_amodal_*.json, COCO_amodal_*_with_classes.json.

Based on published loaders and a sample annotation; not tested on the published files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vidamodal.formats.annotation_files import (
    Picture,
    Record,
    annotation_files,
    image_clips,
    read_annotations,
    read_mask,
)
from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.build import unite_visible
from vidamodal.media.json_records import required
from vidamodal.types import ClipTracks, Track

ID = "d2sa"
NAME = "D2SA or COCOA-cls"
SIGN = 'a COCO-style JSON with "segmentation" and "visible_mask" in each annotation'
_FOLDERS = ("images", "d2s_amodal_images_v1/images", "train2014", "val2014", "")


def recognise(path: Path) -> Fit:
    """Match an annotation file with these keys and none of COCOA's, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each annotated image; its key is the image's id."""
    return image_clips(read_annotations(path, _files(path)), _FOLDERS, _tracks)


def _files(path: Path) -> list[Path]:
    return annotation_files(path, ("images", "segmentation", "visible_mask"), excluded=("regions", "video_id"))


def _tracks(picture: Picture, records: Sequence[Record], labels: Mapping[int, str]) -> ClipTracks:
    def track(record: Record, place: int) -> Track:
        where = f"annotation {place - 1}: "
        seen, whole = (
            read_mask(required(record, key, (list, dict), where), picture, f"{where}{key}")
            for key in ("visible_mask", "segmentation")
        )
        return Track(place, (seen,), (whole,), label=labels.get(required(record, "category_id", int, where)))

    tracks = tuple(track(record, place) for place, record in enumerate(records, 1))
    return unite_visible(ClipTracks(picture.info, tracks), NAME)

"""KINS: COCO-style annotations of KITTI's images (qqlu/Amodal-Instance-Segmentation-through-KINS-Dataset). Read only.

Files of 2020 (update_{train,test}_2020.json) have ``a_segm`` and ``i_segm``, the amodal and the visible ("inmodal")
polygons, ``oco_id``, the cluster of objects that touch, and ``ico_id``, the place in it, 1 nearest, 0 alone. Files of
2019 (instances_{train,val}.json) have ``segmentation`` and ``inmodal_seg`` and no order. A track's id is its place in
the image's list, from 1. Only road users are annotated, so it is not exhaustive. Images are in training/image_2 and
testing/image_2, which use the same names for different images: the name of the annotation file decides.

Based on the repository's page and published loaders; not tested on the published files.
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
from vidamodal.media.json_records import optional, required
from vidamodal.occlusion.order import order_from_relation
from vidamodal.types import ClipTracks, FrameOrder, Rle, Track

ID = "kins"
NAME = "KINS"
SIGN = 'a COCO-style JSON with "a_segm" and "i_segm", or with "inmodal_seg"'
_KEYS_2020, _KEYS_2019 = ("a_segm", "i_segm"), ("segmentation", "inmodal_seg")
"""Keys of the amodal and the visible mask."""


def recognise(path: Path) -> Fit:
    """Match an annotation file with these keys, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each annotated image; its key is the image's id."""
    annotations = read_annotations(path, _files(path))
    split = next((s for s in ("train", "test", "val") if s in annotations.path.stem), None)
    folders = [] if split is None else ["training/image_2" if split == "train" else "testing/image_2"]
    return image_clips(annotations, [*folders, "image_2", "images", ""], _tracks)


def _files(path: Path) -> list[Path]:
    return annotation_files(path, ("images", *_KEYS_2020)) or annotation_files(path, ("images", *_KEYS_2019))


def _tracks(picture: Picture, records: Sequence[Record], labels: Mapping[int, str]) -> ClipTracks:
    masks = [_masks(record, picture, place) for place, record in enumerate(records)]
    tracks = tuple(
        Track(place, (seen,), (whole,), label=labels.get(required(record, "category_id", int)))
        for place, (record, (whole, seen)) in enumerate(zip(records, masks, strict=True), 1)
    )
    order = _order(records, [whole for whole, _ in masks])
    return unite_visible(ClipTracks(picture.info, tracks, order=None if order is None else (order,)), NAME)


def _masks(record: Record, picture: Picture, place: int) -> tuple[Rle, Rle]:
    keys = _KEYS_2020 if _KEYS_2020[0] in record else _KEYS_2019
    where = f"annotation {place}: "
    whole, seen = (read_mask(required(record, key, (list, dict), where), picture, f"{where}{key}") for key in keys)
    return whole, seen


def _order(records: Sequence[Record], amodal: Sequence[Rle]) -> FrameOrder | None:
    """Pairs of a cluster whose amodal masks overlap, nearer in front; None if a place is missing."""
    clusters = [optional(record, "oco_id", int) for record in records]
    places = [optional(record, "ico_id", int) for record in records]
    if None in clusters or None in places:
        return None
    return order_from_relation(
        dict(enumerate(amodal, 1)),
        lambda front, back: clusters[front - 1] == clusters[back - 1] and 0 < places[front - 1] < places[back - 1],
    )

"""KINS: COCO-style annotations of KITTI's images (qqlu/Amodal-Instance-Segmentation-through-KINS-Dataset). Read only.

- Files of 2020 (update_{train,test}_2020.json): ``a_segm`` is the amodal and ``i_segm`` the visible ("inmodal") mask,
  ``oco_id`` the cluster of objects that touch, ``ico_id`` the place in it: 1 is nearest, 0 is alone.
- Files of 2019 (instances_{train,val}.json): ``segmentation`` is amodal, ``inmodal_seg`` visible; there is no order.
- A ``visible_mask`` beside them says the same; where it does not, that is reported and KINS's own key is read.

A visible mask of null is unknown, one without polygons is empty. A track's id is its place in the image's list, from
1. Only road users are annotated, so it is not exhaustive. Images are in training/image_2 and testing/image_2, which use
the same names for different images: the name of the annotation file decides. ``annotation_files`` says what is left
out.

Based on the repository's page and published loaders; not tested on the published files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vidamodal.formats.annotation_files import (
    ImageEntry,
    Record,
    has_mask,
    image_clips,
    read_annotations,
    read_label,
    read_mask,
    with_masks,
)
from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.build import unite_visible
from vidamodal.formats.json_layouts import Layout, match_files
from vidamodal.media.json_records import Identity, integer, optional_identity, required
from vidamodal.occlusion.order import order_from_relation
from vidamodal.types import ClipTracks, FrameOrder, Rle, Track

ID = "kins"
NAME = "KINS"
SIGN = 'a COCO-style JSON with "a_segm" and "i_segm", or with "inmodal_seg"'
_KEYS_2020, _KEYS_2019 = ("a_segm", "i_segm"), ("segmentation", "inmodal_seg")
"""Keys of the amodal and the visible mask."""


def recognise(path: Path) -> Fit:
    """Match a file with ``a_segm`` and ``i_segm``, or ``inmodal_seg``, or a folder with one in it."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    has_masks = layout.has("annotations", *_KEYS_2020) or layout.has("annotations", *_KEYS_2019)
    return certain_if("images" in layout.keys and has_masks)


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each annotated image; its key is the image's id."""
    annotations = read_annotations(path, ID, _fit)
    records = [record for of_image in annotations.records.values() for record in of_image]
    annotations = with_masks(annotations, (_KEYS_2020 if _is_of_2020(records) else _KEYS_2019)[0])
    split = next((s for s in ("train", "test", "val") if s in annotations.path.stem), None)
    folders = [] if split is None else ["training/image_2" if split == "train" else "testing/image_2"]
    return image_clips(annotations, [*folders, "image_2", "images", ""], _tracks)


def _is_of_2020(records: Sequence[Record]) -> bool:
    return any(_KEYS_2020[0] in record for record in records)


def _tracks(picture: ImageEntry, records: Sequence[Record], labels: Mapping[Identity, str]) -> ClipTracks:
    keys = _KEYS_2020 if _is_of_2020(records) else _KEYS_2019
    tracks, notes = [], []
    for place, record in enumerate(records, 1):
        where = f"annotation {place - 1}: "
        whole = read_mask(required(record, keys[0], (list, dict), where), picture, f"{where}{keys[0]}")
        seen = _visible(record, keys[1], picture, where)
        if seen is not None and _differs(record, seen, picture, where):
            notes = [f"visible_mask differs from {keys[1]} in some objects; {keys[1]} is read"]
        tracks.append(Track(place, (seen,), (whole,), label=read_label(record, labels, where)))
    order = _order(records, [track.amodal[0] for track in tracks if track.amodal and track.amodal[0]])
    clip = ClipTracks(picture.info, tuple(tracks), order=None if order is None else (order,), notes=tuple(notes))
    return unite_visible(clip, NAME)


def _visible(record: Record, key: str, picture: ImageEntry, where: str) -> Rle | None:
    if key in record and record[key] is None:
        return None
    return read_mask(required(record, key, (list, dict), where), picture, f"{where}{key}")


def _differs(record: Record, seen: Rle, picture: ImageEntry, where: str) -> bool:
    """True if an annotation has a second visible mask that is another one."""
    other = record.get("visible_mask")
    if not has_mask(other):
        return False
    return not np.array_equal(read_mask(other, picture, f"{where}visible_mask").decode(), seen.decode())


def _order(records: Sequence[Record], amodal: Sequence[Rle]) -> FrameOrder | None:
    """Pairs of a cluster whose amodal masks overlap, nearer in front; None if a place is missing."""
    clusters = [optional_identity(record, "oco_id") for record in records]
    places = [integer(place, "ico_id") for record in records if (place := record.get("ico_id")) is not None]
    if None in clusters or len(places) < len(records):
        return None
    return order_from_relation(
        dict(enumerate(amodal, 1)),
        lambda front, back: clusters[front - 1] == clusters[back - 1] and 0 < places[front - 1] < places[back - 1],
    )

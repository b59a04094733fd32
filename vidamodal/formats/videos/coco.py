"""COCO's instance annotations, of images or of the frames of videos (CocoVID, as in MMTracking). Read and written.

``images`` with ``video_id`` and ``frame_index`` (or ``frame_id``; only their order counts) are frames of ``videos``, in
which ``annotations`` belong to a ``track_id`` (or ``instance_id``); all listed frames are annotated for all objects.
Images without ``video_id`` are clips of one frame, their annotations tracks from 1 on. ``segmentation`` is run lengths
or polygons. The kind of the masks is not stated; beside a ``visible_mask`` (D2SA's key), null where it is unknown,
``segmentation`` is the amodal mask. Assumed: 24 frames per second if a video has no ``fps``.

Written files have ``segmentation`` and ``visible_mask`` where a track has an amodal mask, else the visible mask as
``segmentation``. Empty masks have no annotation, track ids are counted over all videos, "object" is the category of
tracks without a label, and file names of pictures are made up. The record of each video (see ``clip_record``) makes it
read back as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from vidamodal.formats.annotation_files import (
    Picture,
    Record,
    annotation_files,
    image_clips,
    read_annotations,
    read_mask,
)
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import masks_of
from vidamodal.formats.videos.frame_annotations import FrameFormat, FrameVideo, add_frames, frame_clips
from vidamodal.formats.videos.writing import Categories, box_record, description, write_json
from vidamodal.media.json_records import optional, required
from vidamodal.tracks.write import rle_record
from vidamodal.types import ClipTracks, Rle, Track

ID = "coco"
NAME = "COCO"
SIGN = 'a JSON with "images" and "segmentation"'
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = False, True
_FOLDERS = ("images", "JPEGImages", "frames", "train2017", "val2017", "train2014", "val2014", "")
_OTHERS = ("regions", "a_segm", "inmodal_seg", "amodal_bbox", "segmentations")
"""Keys of annotations in richer formats."""


def recognise(path: Path) -> Fit:
    """Match an annotation file with these keys and none of a richer format, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video, with its name or id as key, or for each annotated image, with its id as key."""
    annotations = read_annotations(path, _files(path))
    if "videos" not in annotations.document:
        return image_clips(annotations, _FOLDERS, _image_tracks, kind_known=False)
    kind_known = any("visible_mask" in record for records in annotations.records.values() for record in records)
    return frame_clips(annotations, FrameFormat(NAME, _FOLDERS, _masks, fps=24.0), kind_known)


def _files(path: Path) -> list[Path]:
    keys = ("images", "annotations", "segmentation")
    return (
        annotation_files(path, (*keys, "videos", "video_id"), _OTHERS)
        or annotation_files(path, keys, (*_OTHERS, "visible_mask"))
        or annotation_files(path, (description(ID),))
    )


def _masks(record: Record, picture: Picture, video: FrameVideo, where: str) -> Mapping[str, Rle]:
    mask = read_mask(required(record, "segmentation", (list, dict), where), picture, f"{where}segmentation")
    if "visible_mask" not in record:
        return {"visible": mask}
    seen = optional(record, "visible_mask", (list, dict), where)
    known = {} if seen is None else {"visible": read_mask(seen, picture, f"{where}visible_mask")}
    return {"amodal": mask, **known}


def _image_tracks(picture: Picture, records: Sequence[Record], labels: Mapping[int, str]) -> ClipTracks:
    def track(record: Record, number: int) -> Track:
        where = f"annotation {number - 1}: "
        mask = read_mask(required(record, "segmentation", (list, dict), where), picture, f"{where}segmentation")
        return Track(number, (mask,), label=labels.get(optional(record, "category_id", int, where)))

    tracks = tuple(track(record, number) for number, record in enumerate(records, 1))
    return ClipTracks(picture.info, tracks, provenance={"layout": NAME})


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write the JSON; every clip fits."""
    document: dict[str, list[Record]] = {"videos": [], "images": [], "annotations": []}
    categories = Categories()
    tracks = 0
    for number, source in enumerate(clips, 1):
        clip = source.tracks()
        numbers = range(tracks + 1, tracks + 1 + len(clip.tracks))
        first = add_frames(document, source.key, clip, number, numbers)
        tracks += len(clip.tracks)
        for place, track in zip(numbers, clip.tracks, strict=True):
            category = categories[track.label]
            for t, masks in _masks_with_pixels(track):
                links = {"image_id": first + t, "video_id": number, "track_id": place, "category_id": category}
                document["annotations"].append({"id": len(document["annotations"]) + 1, **links, **masks})
    write_json(out, ID, {**document, "categories": categories.records()})


def _masks_with_pixels(track: Track) -> Iterator[tuple[int, Record]]:
    """The annotated frames of a track, and what their annotations say of the masks."""
    for t, (seen, whole) in enumerate(zip(track.visible, masks_of(track, "amodal"), strict=True)):
        mask = seen if whole is None else whole
        if mask is not None and mask.area():
            both = {} if whole is None else {"visible_mask": seen and rle_record(seen)}
            shape = {"segmentation": rle_record(mask), "bbox": box_record(mask), "area": mask.area()}
            yield t, {"iscrowd": 0, **shape, **both}

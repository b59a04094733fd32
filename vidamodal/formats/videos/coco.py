"""COCO's instance annotations, of images or of the frames of videos. Read and written.

- Images with a ``video_id`` are frames of videos (CocoVID, as in MMTracking), as ``frame_annotations`` describes.
- Images without one are the frames of a single video if a video is given, or if they have one size, numbered names, and
  objects that return (see ``track_ids``), as in CVAT's export of a video.
- Other images are clips of one frame. Their annotations are tracks from 1 on, in the file's order; those without a mask
  are left out.

``segmentation`` is run lengths or polygons. The kind of the masks is not stated; beside a ``visible_mask`` (D2SA's
key), null where it is unknown, ``segmentation`` is the amodal mask. ``annotation_files`` describes what else is read
and left out.

A video without ``fps`` is assumed to have 24 frames per second. Videos with several annotated images but no track ids,
images that do not fit the video, and files without any mask are refused.

Written files have ``segmentation`` and ``visible_mask`` where a track has an amodal mask, else the visible mask as
``segmentation``. Empty masks have no annotation, track ids are counted over all videos, "object" is the category of
tracks without a label, and file names are generated. The record of each video (see ``clip_record``) makes it round-trip
unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from vidamodal.formats.annotation_files import (
    Annotations,
    ImageEntry,
    Record,
    errors_in,
    image_clips,
    parse_annotations,
    read_document,
    read_label,
    read_optional_mask,
    with_masks,
)
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext
from vidamodal.formats.build import unite_visible
from vidamodal.formats.clip_record import masks_of
from vidamodal.formats.json_layouts import Layout, match_files
from vidamodal.formats.videos.frame_annotations import FrameFormat, FrameVideo, add_frames, frame_clips
from vidamodal.formats.videos.frame_places import numbers_in_names, plain_stem
from vidamodal.formats.videos.track_ids import find_track_ids
from vidamodal.formats.videos.writing import Categories, box_record, write_json
from vidamodal.media.json_records import Identity
from vidamodal.tracks.write import rle_record
from vidamodal.types import ClipTracks, Rle, Track

ID = "coco"
NAME = "COCO"
SIGN = 'a JSON with "images" and "annotations"'
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = False, True
_FOLDERS = (
    *("images", "JPEGImages", "frames", "data", "images/default"),
    *("train2017", "val2017", "train2014", "val2014", ""),
)


def recognise(path: Path) -> Fit:
    """Match a file with ``images`` and ``annotations``, or a folder with one; richer formats match better."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    if layout.damaged:
        return Fit.POSSIBLE  # reading it says what is wrong
    if not layout.keys >= {"images", "annotations"}:
        return Fit.NONE
    richer = (("regions",), ("a_segm", "i_segm"), ("inmodal_seg",))
    is_richer = (
        any(layout.has("annotations", *keys) for keys in richer)
        or (layout.has("annotations", "visible_mask") and not layout.has("images", "video_id"))
        or ("tracks" in layout.keys and layout.has("annotations", "amodal_bbox"))
    )
    return Fit.CERTAIN if layout.has("annotations", "segmentation") and not is_richer else Fit.POSSIBLE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video, with its name or id as key, or for each annotated image, with its id as key."""
    file, document = read_document(path, ID, _fit)
    return read_coco(file, document, video)


def read_coco(file: Path, document: Record, video: VideoContext | None) -> Mapping[str, Clip]:
    """Return the clips of a document in COCO's layout.

    Args:
        file: The file of the document.
        document: The JSON object.
        video: The video of the masks.

    Raises:
        InputError: The document is damaged, or does not fit the video.
    """
    size = None if video is None else (video.info.height, video.info.width)
    annotations = parse_annotations(file, document, size)
    if _are_boxes(annotations):
        annotations = annotations.note("every mask is the rectangle of its box, not the outline of an object")
    kind_known = any("visible_mask" in record for of_image in annotations.records.values() for record in of_image)
    masked = with_masks(annotations) if annotations.records else annotations
    with errors_in(file):
        if _is_video(annotations, video):
            return frame_clips(_numbered(annotations), _FORM, kind_known, video)
        ids = find_track_ids(annotations.records)
        if ids is not None and ids.returns:
            masked = masked.note(
                f"each image is read as a separate clip although {ids.place}s repeat, because sizes or file names "
                "differ"
            )
    masked = masked if video is None else _image_of(masked, video)
    return image_clips(masked, _FOLDERS, _image_tracks, kind_known=kind_known)


def _are_boxes(annotations: Annotations) -> bool:
    """True if all polygons are the corners of their boxes, as in TAO."""
    records = [record for of_image in annotations.records.values() for record in of_image]
    return bool(records) and all(_is_box(record.get("segmentation"), record.get("bbox")) for record in records)


def _is_box(mask: Any, box: Any) -> bool:
    if not (isinstance(mask, list) and isinstance(box, list) and len(mask) == 1 and len(box) == 4):
        return False
    corners = mask[0]
    if not isinstance(corners, list) or len(corners) != 8 or any(type(v) not in (int, float) for v in corners + box):
        return False
    x, y, width, height = box
    points = set(zip(corners[::2], corners[1::2], strict=True))
    return points == {(x, y), (x + width, y), (x, y + height), (x + width, y + height)}


def _is_video(annotations: Annotations, video: VideoContext | None) -> bool:
    """True if the images are frames of videos: they say so, a video is given, or they look like it.

    They do if they have one size, numbered names, and an object that stands in several of them.
    """
    if any(image.get("video_id") is not None for image in annotations.document["images"]):
        return True
    if video is not None:
        return video.info.frames > 1
    pictures = list(annotations.pictures.values())
    ids = find_track_ids(annotations.records)
    if ids is None or len({(picture.height, picture.width) for picture in pictures}) > 1:
        return False
    return ids.returns and numbers_in_names([picture.name for picture in pictures]) is not None


def _image_of(annotations: Annotations, video: VideoContext) -> Annotations:
    """The annotations of the image that a video of one frame is, if the file lists several and one has its name."""
    stem = plain_stem(PurePath(video.info.path).name)
    named = [number for number in annotations.records if plain_stem(annotations.pictures[number].name) == stem]
    if len(annotations.records) == 1 or len(named) != 1:
        return annotations
    return replace(annotations, records={named[0]: annotations.records[named[0]]})


def _numbered(annotations: Annotations) -> Annotations:
    """Track ids from 1 on, in the file's order, where one image alone is annotated and its objects have none."""
    if len(annotations.records) != 1 or find_track_ids(annotations.records) is not None:
        return annotations
    records = {
        image: [{**record, "track_id": number} for number, record in enumerate(of_image, 1)]
        for image, of_image in annotations.records.items()
    }
    return replace(annotations, records=records).note("one annotated image; its objects are numbered from 1")


def _masks(record: Record, picture: ImageEntry, video: FrameVideo | None, where: str) -> Mapping[str, Rle | None]:
    mask = read_optional_mask(record, "segmentation", picture, where)
    if "visible_mask" not in record:
        return {"visible": mask}
    return {"amodal": mask, "visible": read_optional_mask(record, "visible_mask", picture, where)}


_FORM = FrameFormat(NAME, _FOLDERS, _masks, fps=24.0)


def _image_tracks(picture: ImageEntry, records: Sequence[Record], labels: Mapping[Identity, str]) -> ClipTracks:
    def track(record: Record, number: int) -> Track:
        where = f"annotation {number - 1}: "
        masks = _masks(record, picture, None, where)
        amodal = (masks["amodal"],) if "amodal" in masks else None
        return Track(number, (masks["visible"],), amodal, label=read_label(record, labels, where))

    tracks = tuple(track(record, number) for number, record in enumerate(records, 1))
    return unite_visible(ClipTracks(picture.info, tracks), NAME)


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

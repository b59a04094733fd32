"""COCO's instance annotations, of images or of the frames of videos (CocoVID, as MMTracking has it). Read, and written.

``images`` with ``video_id`` and ``frame_index`` (or ``frame_id``; only their order counts) are frames of ``videos``, in
which ``annotations`` belong to a ``track_id`` (or ``instance_id``); all frames listed are annotated for all objects.
Images without ``video_id`` are clips of one frame, their annotations tracks from 1 on. ``segmentation`` is run lengths
or polygons. It does not say whether masks are visible or amodal; beside a ``visible_mask`` (D2SA's key), null where it
is not known, it is amodal. Assumed: 24 frames a second where a video has no ``fps``.

Written files have ``segmentation`` and ``visible_mask`` where a track has an amodal mask, else ``segmentation`` for the
visible one. They keep the rest of a clip in a key "vidamodal" of each video, and read back as they were; empty masks
have no annotation, track ids are counted over all videos, a category "object" stands for no label, and names of
pictures are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vidamodal.formats.annotation_files import (
    Picture,
    Record,
    annotation_files,
    image_clips,
    read_annotations,
    read_mask,
)
from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import (
    KEY,
    Categories,
    FrameVideo,
    box_json,
    frame_clips,
    mark,
    masks_of,
    packed,
    picture_names,
    rle_json,
    write_json,
)
from vidamodal.media.json_records import optional, required
from vidamodal.types import ClipTracks, Rle, Track

NAME = "COCO"
SIGN = 'a JSON with "images" and "segmentation"'
ID = "coco"
HOLDS = frozenset({"visible", "amodal", "confidence"})
SINGLE_MASK, IS_FILE = False, True
_FOLDERS = ("images", "JPEGImages", "frames", "train2017", "val2017", "train2014", "val2014", "")
_OTHERS = ("regions", "a_segm", "inmodal_seg", "amodal_bbox", "segmentations")
"""Keys of annotations that are no plain COCO."""
_FPS = 24.0


def recognise(path: Path) -> Fit:
    """Whether it is an annotation file with these keys and none of a richer layout, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """A clip for each video, whose key is its name or id, or for each annotated image, whose key is its id."""
    annotations = read_annotations(path, _files(path))
    if "videos" in annotations.document:
        kind_known = any("visible_mask" in record for records in annotations.records.values() for record in records)
        return frame_clips(annotations, _FOLDERS, _masks, _FPS, NAME, kind_known)
    return image_clips(annotations, _FOLDERS, _image, kind_known=False)


def _files(path: Path) -> list[Path]:
    wanted = ("images", "annotations", "segmentation")
    return (
        annotation_files(path, (*wanted, "videos", "video_id"), _OTHERS)
        or annotation_files(path, wanted, (*_OTHERS, "visible_mask"))
        or annotation_files(path, (mark(ID),))
    )


def _masks(record: Record, picture: Picture, video: FrameVideo, where: str) -> Mapping[str, Rle]:
    mask = read_mask(required(record, "segmentation", (list, dict), where), picture, f"{where}segmentation")
    if "visible_mask" not in record:
        return {"visible": mask}
    seen = optional(record, "visible_mask", (list, dict), where)
    known = {} if seen is None else {"visible": read_mask(seen, picture, f"{where}visible_mask")}
    return {"amodal": mask, **known}


def _image(picture: Picture, records: Sequence[Record], labels: Mapping[int, str]) -> ClipTracks:
    def track(record: Record, number: int) -> Track:
        where = f"annotation {number - 1}: "
        mask = read_mask(required(record, "segmentation", (list, dict), where), picture, f"{where}segmentation")
        return Track(number, (mask,), label=labels.get(optional(record, "category_id", int, where)))

    tracks = tuple(track(record, number) for number, record in enumerate(records, 1))
    return ClipTracks(picture.info, tracks, provenance={"layout": NAME})


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Writes the JSON; every clip fits."""
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
            for t, (seen, whole) in enumerate(zip(track.visible, masks_of(track, "amodal"), strict=True)):
                mask = seen if whole is None else whole
                if mask is None or not mask.area():
                    continue
                document["annotations"].append(
                    {
                        "id": len(document["annotations"]) + 1,
                        "image_id": first + t,
                        "video_id": number,
                        "track_id": place,
                        "category_id": category,
                        "iscrowd": 0,
                        "segmentation": rle_json(mask),
                        "bbox": box_json(mask),
                        "area": mask.area(),
                        **({} if whole is None else {"visible_mask": seen and rle_json(seen)}),
                    }
                )
    write_json(out, ID, {**document, "categories": categories.records()})


def add_frames(
    document: dict[str, list[Record]], key: str, clip: ClipTracks, number: int, numbers: Sequence[int]
) -> int:
    """Adds a video and its frames, with ids from the one that is returned; ``numbers`` are its tracks' in the file."""
    video, first = clip.video, len(document["images"]) + 1
    size = {"width": video.width, "height": video.height}
    document["videos"].append({"id": number, "name": key, **size, "fps": video.fps, KEY: packed(key, clip, numbers)})
    document["images"] += [
        {"id": first + t, "video_id": number, "frame_index": t, "file_name": name, **size}
        for t, name in enumerate(picture_names(key, video.frames))
    ]
    return first

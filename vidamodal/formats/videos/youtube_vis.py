"""YouTube-VIS (Yang et al., ICCV 2019), whose one JSON is COCO's with videos in the place of images. Read, and written.

``videos``: id, width, height, length, file_names. ``annotations``, one an object: id (a track's id here), video_id,
category_id, ``segmentations`` with run lengths, polygons or null for every frame, and boxes and areas, which are not
read. See youtube-vos.org and the format's description in TrackEval. A frame is annotated for all objects, so null is
hidden (before the first sighting: not known). Lists of results, without videos, are not read.

It does not say whether masks are visible or amodal. Assumed: 6 frames a second, as its videos are annotated. Written
files keep the rest of a clip in a key "vidamodal" of each video, and read back as they were; ids are counted over all
videos, a category "object" stands for no label, and names of pictures are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from vidamodal.formats.annotation_files import (
    Picture,
    Record,
    annotation_files,
    checked_picture,
    find_pictures,
    read_document,
    read_labels,
    read_mask,
)
from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import (
    KEY,
    Categories,
    assembled,
    box_json,
    fps_of,
    keyed,
    kind_of,
    mark,
    masks_of,
    naming,
    packed,
    picture_names,
    plain_keys,
    record_of,
    rle_json,
    write_json,
)
from vidamodal.formats.tracks.check import check_video
from vidamodal.media.json_records import FieldError, check_type, optional, required
from vidamodal.types import ClipTracks, Rle, VideoInfo

NAME = "YouTube-VIS"
SIGN = 'a JSON with "videos" and "segmentations"'
ID = "youtube-vis"
HOLDS = frozenset({"visible", "amodal", "confidence"})
SINGLE_MASK = IS_FILE = True
_FOLDERS = ("JPEGImages", "train/JPEGImages", "valid/JPEGImages", "images", "frames", "")
_FPS = 6.0


def recognise(path: Path) -> Fit:
    """Whether it is an annotation file with these keys, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """A clip for each video; its key is the folder of its pictures, or its id."""
    file, document = read_document(path, _files(path))
    with naming(file):
        labels = read_labels(document)
        videos = [check_type(v, dict, f"videos[{k}]") for k, v in enumerate(required(document, "videos", list))]
        pictures = [_pictures(video, f"videos[{k}].") for k, video in enumerate(videos)]
        records = [record_of(video, f"videos[{k}].") for k, video in enumerate(videos)]
        numbers = [required(video, "id", int, f"videos[{k}].") for k, video in enumerate(videos)]
        objects: dict[int, list[Record]] = {number: [] for number in numbers}
        if len(objects) < len(videos):
            raise FieldError("videos: an id stands twice; give every video an id of its own")
        for k, record in enumerate(required(document, "annotations", list)):
            number = required(check_type(record, dict, f"annotations[{k}]"), "video_id", int, f"annotations[{k}].")
            if number not in objects:
                raise FieldError(f"annotations[{k}] is for video {number}, which videos does not list; add it there")
            objects[number].append(record)
        folders = [str(PurePosixPath(p[0].name).parent) for p in pictures]
        names = [str(n) if folder == "." else folder for folder, n in zip(folders, numbers, strict=True)]
        keys = [
            name if record is None else required(record, "key", str, f"{KEY}.")
            for name, record in zip(plain_keys(names), records, strict=True)
        ]
    return keyed(
        (
            Clip(
                key,
                partial(_tracks, file, key, video, frames, record, objects[video["id"]], labels),
                partial(find_pictures, file, frames, _FOLDERS),
                kind_known=record is not None,
            )
            for key, video, frames, record in zip(keys, videos, pictures, records, strict=True)
        ),
        file,
    )


def _files(path: Path) -> list[Path]:
    found = annotation_files(path, ("videos", "annotations", "segmentations"), unwanted=("sequences",))
    return found or annotation_files(path, (mark(ID),))


def _pictures(video: Record, where: str) -> list[Picture]:
    names = required(video, "file_names", list, where)
    height, width = (required(video, side, int, where) for side in ("height", "width"))
    if not names:
        raise FieldError(f"{where}file_names is empty; list the frames")
    return [
        checked_picture(t, check_type(name, str, f"{where}file_names[{t}]"), height, width, f"{where}file_names[{t}]")
        for t, name in enumerate(names)
    ]


def _tracks(
    file: Path,
    key: str,
    video: Record,
    frames: Sequence[Picture],
    record: Record | None,
    objects: Sequence[Record],
    labels: Mapping[int, str],
) -> ClipTracks:
    seen: dict[int, dict[int, Rle]] = {}
    names: dict[int, str | None] = {}
    with naming(file, f"video {key}: "):
        info = VideoInfo(key, frames[0].height, frames[0].width, len(frames), fps_of(video, _FPS, ""))
        check_video(info)
        for entry in objects:
            number = required(entry, "id", int, "an annotation's ")
            where = f"annotation {number}: "
            masks = required(entry, "segmentations", list, where)
            if number in seen or len(masks) != len(frames):
                raise FieldError(f"{where}it stands twice, or has {len(masks)} segmentations for {len(frames)} frames")
            names[number] = labels.get(optional(entry, "category_id", int, where))
            read = {t: read_mask(m, frames[t], f"{where}frame {t}") for t, m in enumerate(masks) if m is not None}
            seen[number] = {t: mask for t, mask in read.items() if mask.area()}
        return assembled(info, record, {kind_of(record): seen}, names, range(info.frames), NAME)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Writes the JSON; every clip fits."""
    videos: list[Record] = []
    annotations: list[Record] = []
    categories = Categories()
    for number, source in enumerate(clips, 1):
        clip, start = source.tracks(), len(annotations) + 1
        video = clip.video
        videos.append(
            {
                "id": number,
                "width": video.width,
                "height": video.height,
                "length": video.frames,
                "file_names": picture_names(source.key, video.frames),
                "fps": video.fps,
                KEY: packed(source.key, clip, range(start, start + len(clip.tracks)), kind),
            }
        )
        for place, track in enumerate(clip.tracks, start):
            masks = [mask if mask and mask.area() else None for mask in masks_of(track, kind)]
            annotations.append(
                {
                    "id": place,
                    "video_id": number,
                    "category_id": categories[track.label],
                    "iscrowd": 0,
                    "height": video.height,
                    "width": video.width,
                    "length": video.frames,
                    "segmentations": [mask and rle_json(mask) for mask in masks],
                    "bboxes": [mask and box_json(mask) for mask in masks],
                    "areas": [mask and mask.area() for mask in masks],
                }
            )
    write_json(out, ID, {"videos": videos, "annotations": annotations, "categories": categories.records()})

"""YouTube-VIS (Yang et al., ICCV 2019): COCO's JSON with videos in the place of images. Read and written.

``videos``: id, width, height, length, file_names. ``annotations``, one per object: id (the track's id), video_id,
category_id, ``segmentations`` with run lengths, polygons or null for every frame, and boxes and areas, which are not
read. See youtube-vos.org and the description in TrackEval. A frame is annotated for all objects, so null means occluded
or absent (before the first mask: unknown). Lists of results, without videos, are not read. The kind of the masks is not
stated. Assumed: 6 frames per second, the rate of its annotations.

Written files carry a record of each video (see ``clip_record``) and read back as they were. Ids are counted over all
videos, "object" is the category of tracks without a label, and file names of pictures are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from vidamodal.formats.annotation_files import (
    Picture,
    Record,
    annotation_files,
    checked_picture,
    errors_in,
    find_pictures,
    read_document,
    read_labels,
    read_mask,
)
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import KEY, build_clip, clips_by_key, find_record, make_record, masks_of, stored_kind
from vidamodal.formats.videos.frame_annotations import clip_keys, read_fps
from vidamodal.formats.videos.writing import Categories, box_record, description, frame_names, write_json
from vidamodal.media.json_records import FieldError, check_type, optional, required
from vidamodal.tracks.check import check_video
from vidamodal.tracks.write import rle_record
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

ID = "youtube-vis"
NAME = "YouTube-VIS"
SIGN = 'a JSON with "videos" and "segmentations"'
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK = IS_FILE = True
_FOLDERS = ("JPEGImages", "train/JPEGImages", "valid/JPEGImages", "images", "frames", "")
_FPS = 6.0


def recognise(path: Path) -> Fit:
    """Match an annotation file with these keys, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video; its key is the folder of its pictures, or its id."""
    file, document = read_document(path, _files(path))
    with errors_in(file):
        videos = _videos(file, document)
        names = [video.folder or str(video.entry["id"]) for video in videos]
        keys = clip_keys(names, [video.record for video in videos])
    return clips_by_key(
        (
            Clip(
                key,
                partial(_tracks, key, video),
                partial(find_pictures, file, video.pictures, _FOLDERS),
                kind_known=video.record is not None,
            )
            for key, video in zip(keys, videos, strict=True)
        ),
        file,
    )


def _files(path: Path) -> list[Path]:
    found = annotation_files(path, ("videos", "annotations", "segmentations"), excluded=("sequences",))
    return found or annotation_files(path, (description(ID),))


@dataclass(frozen=True)
class _Video:
    file: Path
    entry: Record
    pictures: Sequence[Picture]
    record: Record | None
    objects: list[Record]
    labels: Mapping[int, str]

    @property
    def folder(self) -> str:
        folder = str(PurePosixPath(self.pictures[0].name).parent)
        return "" if folder == "." else folder


def _videos(file: Path, document: Record) -> list[_Video]:
    labels = read_labels(document)
    videos: dict[int, _Video] = {}
    for k, entry in enumerate(required(document, "videos", list)):
        where = f"videos[{k}]."
        pictures = _pictures(check_type(entry, dict, where[:-1]), where)
        number = required(entry, "id", int, where)
        if number in videos:
            raise FieldError(f"{where}id {number} is used twice; give every video a different id")
        videos[number] = _Video(file, entry, pictures, find_record(entry, where), [], labels)
    for k, record in enumerate(required(document, "annotations", list)):
        where = f"annotations[{k}]"
        number = required(check_type(record, dict, where), "video_id", int, f"{where}.")
        if number not in videos:
            raise FieldError(f"{where} is for video {number}, which videos does not list; add it there")
        videos[number].objects.append(record)
    return list(videos.values())


def _pictures(entry: Record, where: str) -> list[Picture]:
    names = required(entry, "file_names", list, where)
    height, width = (required(entry, side, int, where) for side in ("height", "width"))
    if not names:
        raise FieldError(f"{where}file_names is empty; list the frames")
    places = [f"{where}file_names[{t}]" for t in range(len(names))]
    return [
        checked_picture(t, check_type(name, str, place), height, width, place)
        for t, (name, place) in enumerate(zip(names, places, strict=True))
    ]


def _tracks(key: str, video: _Video) -> ClipTracks:
    masks: dict[int, dict[int, Rle]] = {}
    labels: dict[int, str | None] = {}
    with errors_in(video.file, f"video {key}: "):
        first, length = video.pictures[0], len(video.pictures)
        info = VideoInfo(key, first.height, first.width, length, read_fps(video.entry, _FPS, ""))
        check_video(info)
        for entry in video.objects:
            number = required(entry, "id", int, "an annotation's ")
            where = f"annotation {number}: "
            entries = required(entry, "segmentations", list, where)
            if number in masks or len(entries) != length:
                raise FieldError(f"{where}listed twice, or {len(entries)} segmentations for {length} frames")
            labels[number] = video.labels.get(optional(entry, "category_id", int, where))
            known = {
                t: read_mask(mask, picture, f"{where}frame {t}")
                for t, (mask, picture) in enumerate(zip(entries, video.pictures, strict=True))
                if mask is not None
            }
            masks[number] = {t: mask for t, mask in known.items() if mask.area()}
        return build_clip(info, video.record, {stored_kind(video.record): masks}, labels, range(length), NAME)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write the JSON; every clip fits."""
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
                "file_names": frame_names(source.key, video.frames),
                "fps": video.fps,
                KEY: make_record(source.key, clip, range(start, start + len(clip.tracks)), kind),
            }
        )
        for place, track in enumerate(clip.tracks, start):
            links = {"id": place, "video_id": number, "category_id": categories[track.label]}
            annotations.append({**links, **_annotation(track, kind, video)})
    write_json(out, ID, {"videos": videos, "annotations": annotations, "categories": categories.records()})


def _annotation(track: Track, kind: MaskKind, video: VideoInfo) -> Record:
    masks = [mask if mask and mask.area() else None for mask in masks_of(track, kind)]
    return {
        "iscrowd": 0,
        "height": video.height,
        "width": video.width,
        "length": video.frames,
        "segmentations": [mask and rle_record(mask) for mask in masks],
        "bboxes": [mask and box_record(mask) for mask in masks],
        "areas": [mask and mask.area() for mask in masks],
    }

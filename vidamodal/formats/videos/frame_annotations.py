"""JSON files that annotate single frames, each with its video and track: what COCO and TAO-Amodal share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from vidamodal.formats.annotation_files import Annotations, Picture, Record, errors_in, find_pictures
from vidamodal.formats.base import Clip
from vidamodal.formats.clip_record import KEY, build_clip, clips_by_key, find_record, make_record
from vidamodal.formats.videos.writing import frame_names
from vidamodal.media.json_records import FieldError, check_type, optional, required
from vidamodal.tracks.check import check_video
from vidamodal.types import ClipTracks, Rle, VideoInfo


@dataclass(frozen=True)
class FrameVideo:
    """A video whose frames are images of an annotation file."""

    key: str
    fps: float
    pictures: tuple[Picture, ...]
    """In order of time."""
    record: Record | None
    """See ``clip_record``."""


ReadMasks = Callable[[Record, Picture, FrameVideo, str], Mapping[str, Rle]]
"""Return the masks of an annotation, possibly empty ones, by kind (a field of ``Track``)."""


@dataclass(frozen=True)
class FrameFormat:
    """How a format annotates frames."""

    name: str
    folders: tuple[str, ...]
    """Folders that may hold the pictures."""
    read_masks: ReadMasks
    fps: float
    """Frame rate of videos that do not state it."""


def frame_clips(annotations: Annotations, form: FrameFormat, kind_known: bool) -> dict[str, Clip]:
    """Return a clip for each video of an annotation file; ``kind_known`` as in ``Clip``."""
    with errors_in(annotations.path):
        videos = _videos(annotations, form.fps)
    return clips_by_key(
        (
            Clip(
                video.key,
                partial(_tracks, annotations, video, form),
                partial(find_pictures, annotations.path, video.pictures, form.folders),
                kind_known or video.record is not None,
            )
            for video in videos
        ),
        annotations.path,
    )


def _videos(annotations: Annotations, fps: float) -> list[FrameVideo]:
    frames: dict[int, list[tuple[int, Picture]]] = {}
    for place, image in enumerate(annotations.document["images"]):
        where = f"images[{place}]."
        time = next((required(image, key, int, where) for key in ("frame_index", "frame_id") if key in image), place)
        frames.setdefault(required(image, "video_id", int, where), []).append((time, annotations.pictures[image["id"]]))
    videos, names = [], []
    for place, entry in enumerate(required(annotations.document, "videos", list)):
        where = f"videos[{place}]"
        number = required(check_type(entry, dict, where), "id", int, f"{where}.")
        pictures = tuple(picture for _, picture in sorted(frames.pop(number, []), key=lambda pair: pair[0]))
        if not pictures:
            raise FieldError(f"{where}: no image belongs to video {number}; list its frames")
        if len({(picture.height, picture.width) for picture in pictures}) > 1:
            raise FieldError(f"{where}: images of several sizes; resize all frames to one size")
        names.append(optional(entry, "name", str, f"{where}.") or str(number))
        record = find_record(entry, f"{where}.")
        videos.append(FrameVideo("", read_fps(entry, fps, f"{where}."), pictures, record))
    if frames:
        raise FieldError(f"images belong to video {min(frames)}, which videos does not list; add it there")
    keys = clip_keys(names, [video.record for video in videos])
    return [replace(video, key=key) for video, key in zip(videos, keys, strict=True)]


def _tracks(annotations: Annotations, video: FrameVideo, form: FrameFormat) -> ClipTracks:
    first = video.pictures[0]
    masks: dict[str, dict[int, dict[int, Rle]]] = {}
    labels: dict[int, str | None] = {}
    with errors_in(annotations.path, f"video {video.key}: "):
        info = VideoInfo(video.key, first.height, first.width, len(video.pictures), video.fps)
        check_video(info)
        annotated: set[tuple[int, int]] = set()
        for t, picture in enumerate(video.pictures):
            for record in annotations.records.get(picture.id, ()):
                where = f"image {picture.id}: "
                number = required(record, "track_id" if "track_id" in record else "instance_id", int, where)
                if (number, t) in annotated:
                    raise FieldError(f"{where}two annotations of track {number}; keep one")
                annotated.add((number, t))
                labels[number] = annotations.labels.get(optional(record, "category_id", int, where))
                for kind, mask in form.read_masks(record, picture, video, where).items():
                    of_object = masks.setdefault(kind, {}).setdefault(number, {})
                    if mask.area():
                        of_object[t] = mask
        return build_clip(info, video.record, masks, labels, range(info.frames), form.name)


def clip_keys(names: Sequence[str], records: Sequence[Record | None]) -> list[str]:
    """Return the keys of videos: from their records, else the last part of a name, or all of it where two end alike."""
    ends = [PurePosixPath(name).name or "video" for name in names]
    count = Counter(ends)
    return [
        (end if count[end] == 1 else name.replace("/", "-"))
        if record is None
        else required(record, "key", str, f"{KEY}.")
        for end, name, record in zip(ends, names, records, strict=True)
    ]


def read_fps(holder: Mapping[str, Any], default: float, where: str) -> float:
    """Return the frame rate in a JSON object, or a default."""
    rate = optional(holder, "fps", (int, float), where)
    try:
        return default if rate is None else float(rate)
    except OverflowError:
        raise FieldError(f"{where}fps is too large a number") from None


def add_frames(
    document: dict[str, list[Record]], key: str, clip: ClipTracks, number: int, track_numbers: Sequence[int]
) -> int:
    """Add a video and its frames to a document and return the id of the first frame; the others follow it.

    Args:
        document: Has the lists ``videos`` and ``images``.
        key: The key of the clip.
        clip: The clip.
        number: The id of the video.
        track_numbers: The numbers of its tracks in the file.
    """
    video, first = clip.video, len(document["images"]) + 1
    size = {"width": video.width, "height": video.height}
    record = make_record(key, clip, track_numbers)
    document["videos"].append({"id": number, "name": key, **size, "fps": video.fps, KEY: record})
    document["images"] += [
        {"id": first + t, "video_id": number, "frame_index": t, "file_name": name, **size}
        for t, name in enumerate(frame_names(key, video.frames))
    ]
    return first

"""What the readers and writers of other tools' video formats share.

Most formats hold less than a clip: not which masks are unknown and which empty, no order, no track without a mask.
Written files carry that in a record of their own (``KEY``): a tracks.json with 0 (empty) and 1 in place of its masks.
Other tools pass over it; our readers put the masks back in, so that a clip comes back as it was. Where there is no such
record, ``media.masks.sighted`` says what the absence of a mask means.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from vidamodal.formats.annotation_files import Annotations, Picture, Record, find_pictures
from vidamodal.formats.base import Clip, MaskKind
from vidamodal.formats.build import tracks_from_masks, unite_visible
from vidamodal.formats.tracks.check import check_video
from vidamodal.formats.tracks.parse import FORMAT, VERSION, parse_tracks, parse_video
from vidamodal.formats.tracks.write import dumps_tracks
from vidamodal.media.json_records import FieldError, check_type, optional, required
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, Rle, Track, VideoInfo

KEY = "vidamodal"
NAMELESS = "object"
"""The category of a track without a label: most formats need one."""
_KINDS = ("visible", "amodal", "amodal_full")

Seen = Mapping[str, Mapping[int, Mapping[int, Rle]]]
"""Masks with a pixel, by kind, by their object's number in the file, and by frame."""


# A clip's record


def packed(key: str, clip: ClipTracks, numbers: Iterable[int], kind: MaskKind | None = None) -> Record:
    """The record of a clip, all but its masks. ``numbers`` are those of its tracks in the file.

    ``kind`` says which masks a file with one mask an object holds.
    """
    document = json.loads(dumps_tracks(clip))
    del document["format"], document["version"]  # or the file would be taken for a tracks.json
    for number, record, track in zip(numbers, document["tracks"], clip.tracks, strict=True):
        record["number"] = number
        for name in _KINDS:
            if name in record:
                record[name] = [None if mask is None else int(mask.area() > 0) for mask in getattr(track, name)]
    return {"key": key, **({} if kind is None else {"kind": kind}), **document}


def record_of(holder: Mapping[str, Any], where: str) -> Record | None:
    """The record that a part of a file carries; None in the files of others."""
    return optional(holder, KEY, dict, where)


def kind_of(record: Record | None) -> MaskKind:
    """Which masks a file with one mask an object holds; "visible" where it does not say."""
    return "amodal" if record is not None and record.get("kind") == "amodal" else "visible"


def assembled(
    video: VideoInfo,
    record: Record | None,
    seen: Seen,
    labels: Mapping[int, str | None],
    annotated: Container[int],
    layout: str,
) -> ClipTracks:
    """The clip of a file's masks: as it was if the file carries its record, else as annotations of others are read.

    ``labels`` lists all objects by number, ``annotated`` the frames in which an absent object is known to be hidden.
    Breach if the record is not that of these masks.
    """
    if record is not None:
        return _unpacked(record, seen)
    strange = next((number for number in labels if not 0 <= number <= MAX_TRACK_ID), None)
    if strange is not None:
        raise FieldError(f"the track id {strange} is not within 0 and {MAX_TRACK_ID}; number the tracks anew")

    def tracks(kind: str) -> Iterable[Track]:
        return tracks_from_masks(video, annotated, {n: seen.get(kind, {}).get(n, {}) for n in labels})

    found = [replace(track, label=labels[track.id]) for track in tracks("visible")]
    if "amodal" in seen:
        found = [replace(t, amodal=whole.visible) for t, whole in zip(found, tracks("amodal"), strict=True)]
    return unite_visible(ClipTracks(video, tuple(found)), layout)


def _unpacked(record: Record, seen: Seen) -> ClipTracks:
    video = parse_video(required(record, "video", dict, f"{KEY}."))
    tracks = []
    for place, entry in enumerate(required(record, "tracks", list, f"{KEY}.")):
        where = f"{KEY}.tracks[{place}]"
        track = dict(check_type(entry, dict, where))
        number = required(track, "number", int, f"{where}.")
        for name in _KINDS:
            states = optional(track, name, list, f"{where}.") or []
            masks = seen.get(name, {}).get(number, {})
            if {t for t, state in enumerate(states) if state == 1} != set(masks):
                raise FieldError(
                    f"the {name} masks of object {number} are not in the frames that {where} tells of; "
                    f'if they were changed on purpose, take all "{KEY}" out of the file'
                )
            if states:
                empty = Rle.empty(*(video.canvas_size if name == "amodal_full" else (video.height, video.width)))
                full = [masks[t] if state == 1 else empty if state == 0 else None for t, state in enumerate(states)]
                track[name] = [mask and rle_json(mask) for mask in full]
        tracks.append(track)
    return parse_tracks({**record, "format": FORMAT, "version": VERSION, "tracks": tracks})


def rle_json(mask: Rle) -> Record:
    """A mask as COCO's compressed run lengths."""
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def box_json(mask: Rle) -> list[int]:
    """The box of a mask as x, y, width, height; zeros if it is empty."""
    top, left, bottom, right = mask.box() or (0, 0, 0, 0)
    return [left, top, right - left, bottom - top]


# Writing


def masks_of(track: Track, kind: MaskKind) -> tuple[Rle | None, ...]:
    """The visible or the amodal masks of a track; none where it has no amodal ones."""
    return track.visible if kind == "visible" else track.amodal or (None,) * len(track.visible)


@dataclass
class Categories:
    """Category ids from 1 for labels, in the order in which they are asked for."""

    ids: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, label: str | None) -> int:
        return self.ids.setdefault(NAMELESS if label is None else label, len(self.ids) + 1)

    def records(self) -> list[Record]:
        return [{"id": number, "name": name} for name, number in self.ids.items()]


def picture_names(key: str, frames: int) -> list[str]:
    """The names that written files give to the pictures of a clip, which are not written."""
    return [f"{key}/{t:05d}.jpg" for t in range(frames)]


def mark(name: str) -> str:
    """The description of a written file, which tells its format even if it annotates nothing."""
    return f"{KEY}-{name}"


def write_json(path: Path, name: str, document: Record) -> None:
    """Writes JSON of the format ``name`` to a file that is not yet in its place."""
    document = {"info": {"description": mark(name)}, **document}
    path.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")


# Reading


def plain_keys(names: Sequence[str]) -> list[str]:
    """Keys for videos that are named by paths: the last part, or the whole path where two end alike."""
    ends = [PurePosixPath(name).name or "video" for name in names]
    count = Counter(ends)
    return [end if count[end] == 1 else name.replace("/", "-") for end, name in zip(ends, names, strict=True)]


def fps_of(holder: Mapping[str, Any], default: float, where: str) -> float:
    """The frame rate that a part of a file tells."""
    rate = optional(holder, "fps", (int, float), where)
    try:
        return default if rate is None else float(rate)
    except OverflowError:
        raise FieldError(f"{where}fps is too large a number") from None


def keyed(clips: Iterable[Clip], file: Path) -> dict[str, Clip]:
    """Clips by key. InputError if a key stands twice, or if there is no clip."""
    found: dict[str, Clip] = {}
    for clip in clips:
        if clip.key in found:
            raise InputError(f"{file}: two videos with the key {clip.key!r}; rename one of them")
        found[clip.key] = clip
    if not found:
        raise InputError(f"{file}: no video in it; give a file with videos")
    return found


@contextmanager
def naming(file: Path, part: str = "") -> Iterator[None]:
    """Turns a Breach into an InputError that names the file, and the part of it."""
    try:
        yield
    except FieldError as breach:
        raise InputError(f"{file}: {part}{breach}") from None


# Annotations of single frames, which tell their video and track


@dataclass(frozen=True)
class FrameVideo:
    """A video whose frames are images of their own in an annotation file."""

    key: str
    fps: float
    pictures: tuple[Picture, ...]
    """In order of time."""
    record: Record | None


MaskReader = Callable[[Record, Picture, "FrameVideo", str], Mapping[str, Rle]]
"""The masks of an annotation by kind; they may be empty."""


def frame_clips(
    annotations: Annotations, folders: Sequence[str], masks: MaskReader, fps: float, layout: str, kind_known: bool
) -> dict[str, Clip]:
    """A clip for each video of a file that annotates frames; ``fps`` where a video does not tell its rate."""
    with naming(annotations.path):
        videos = _frame_videos(annotations, fps)
    return keyed(
        (
            Clip(
                video.key,
                partial(_frame_tracks, annotations, video, masks, layout),
                partial(find_pictures, annotations.path, video.pictures, folders),
                kind_known or video.record is not None,
            )
            for video in videos
        ),
        annotations.path,
    )


def _frame_videos(annotations: Annotations, fps: float) -> list[FrameVideo]:
    frames: dict[int, list[tuple[int, Picture]]] = {}
    for place, image in enumerate(annotations.document["images"]):
        where = f"images[{place}]."
        time = next((required(image, key, int, where) for key in ("frame_index", "frame_id") if key in image), place)
        frames.setdefault(required(image, "video_id", int, where), []).append((time, annotations.pictures[image["id"]]))
    entries = required(annotations.document, "videos", list)
    videos, names = [], []
    for place, entry in enumerate(entries):
        where = f"videos[{place}]."
        number = required(check_type(entry, dict, where), "id", int, where)
        pictures = tuple(picture for _, picture in sorted(frames.pop(number, []), key=lambda pair: pair[0]))
        if not pictures:
            raise FieldError(f"{where[:-1]}: no image is of video {number}; list its frames")
        if len({(picture.height, picture.width) for picture in pictures}) > 1:
            raise FieldError(f"{where[:-1]}: images of several sizes; bring all frames to one size")
        names.append(optional(entry, "name", str, where) or str(number))
        videos.append(FrameVideo("", fps_of(entry, fps, where), pictures, record_of(entry, where)))
    if frames:
        raise FieldError(f"images are of video {min(frames)}, which videos does not list; add it there")
    return [
        replace(video, key=key if video.record is None else required(video.record, "key", str, f"{KEY}."))
        for key, video in zip(plain_keys(names), videos, strict=True)
    ]


def _frame_tracks(annotations: Annotations, video: FrameVideo, masks: MaskReader, layout: str) -> ClipTracks:
    first = video.pictures[0]
    seen: dict[str, dict[int, dict[int, Rle]]] = {}
    labels: dict[int, str | None] = {}
    with naming(annotations.path, f"video {video.key}: "):
        info = VideoInfo(video.key, first.height, first.width, len(video.pictures), video.fps)
        check_video(info)
        told: set[tuple[int, int]] = set()
        for t, picture in enumerate(video.pictures):
            for record in annotations.records.get(picture.id, ()):
                where = f"image {picture.id}: "
                number = required(record, "track_id" if "track_id" in record else "instance_id", int, where)
                if (number, t) in told:
                    raise FieldError(f"{where}two annotations of track {number}; keep one")
                told.add((number, t))
                labels[number] = annotations.labels.get(optional(record, "category_id", int, where))
                for kind, mask in masks(record, picture, video, where).items():
                    of_kind = seen.setdefault(kind, {}).setdefault(number, {})
                    if mask.area():
                        of_kind[t] = mask
        return assembled(info, video.record, seen, labels, range(info.frames), layout)

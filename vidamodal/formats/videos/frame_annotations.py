"""JSON files that annotate the frames of videos one by one: what COCO and TAO-Amodal share.

- The images of a video are its frames, in the order of ``frame_index``, ``frame_id`` or the numbers in their names.
  With a video, see ``frame_places``.
- Annotations of one object in one image are parts of its mask and are joined.
- An object that is not annotated in an image with other annotations is occluded or absent. Nothing is known of images
  without annotations, of the mask of an annotation without one, and of objects that an annotation that was left out may
  show: one without a track id (missing or -1), or a crowd of their category.
- The first category of an object counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePath, PurePosixPath
from typing import Any, TypeVar

from vidamodal.formats.annotation_files import (
    Annotations,
    ImageEntry,
    Record,
    count,
    errors_in,
    find_images,
    read_label,
)
from vidamodal.formats.base import Clip, MaskKind, VideoContext
from vidamodal.formats.build import ObjectLabels, mark_unknown
from vidamodal.formats.clip_record import KEY, build_clip, clips_by_key, find_record, make_record
from vidamodal.formats.videos.frame_places import has_gaps, numbers_in_names, place_frames, time_order
from vidamodal.formats.videos.track_ids import TrackIds, find_track_ids
from vidamodal.formats.videos.writing import frame_names
from vidamodal.media.json_records import (
    FieldError,
    Identity,
    check_type,
    integer,
    optional,
    required,
    required_identity,
)
from vidamodal.rle import union
from vidamodal.tracks.check import check_video
from vidamodal.types import Box, ClipTracks, Rle, VideoInfo

T = TypeVar("T")


@dataclass(frozen=True)
class FrameVideo:
    """A video whose frames are images of an annotation file."""

    key: str
    fps: float
    pictures: tuple[ImageEntry, ...]
    """In order of time."""
    frames: tuple[int, ...]
    """The frame of each image."""
    length: int
    """Number of frames."""
    record: Record | None = None
    """See ``clip_record``."""
    note: str | None = None
    """How the frames were found."""


ReadMasks = Callable[[Record, ImageEntry, FrameVideo, str], Mapping[str, Rle | None]]
"""Return the masks of an annotation by kind (a field of ``Track``): possibly empty ones, and None for unknown ones."""


@dataclass(frozen=True)
class FrameFormat:
    """How a format annotates frames."""

    name: str
    folders: tuple[str, ...]
    """Folders that may hold the images."""
    read_masks: ReadMasks
    fps: float
    """Frame rate of videos that do not state it."""
    read_box: Callable[[Record, str], Box | None] | None = None
    """Return the amodal box of an annotation; None if the format has none."""


@dataclass(frozen=True)
class _Listed:
    """A video as a file lists it."""

    name: str
    entry: Record
    where: str
    """Its place in the file, for messages."""
    images: list[tuple[Record, ImageEntry]]
    record: Record | None

    @property
    def names(self) -> list[str]:
        """Names of the images; Roboflow keeps the original ones separately."""
        extras = [optional(image, "extra", dict) or {} for image, _ in self.images]
        return [optional(e, "name", str) or picture.name for e, (_, picture) in zip(extras, self.images, strict=True)]

    @property
    def indices(self) -> list[int] | None:
        """The numbers of the frames, if all images state them."""
        for key in ("frame_index", "frame_id"):
            if all(image.get(key) is not None for image, _ in self.images):
                return [integer(image[key], f"image {picture.id}: {key}") for image, picture in self.images]
        return None

    def in_order(self) -> _Listed:
        """Return the video with its images in order of time."""
        return replace(self, images=[self.images[place] for place in time_order(self.names, self.indices)])


def frame_clips(
    annotations: Annotations, form: FrameFormat, kind_known: bool, video: VideoContext | None
) -> dict[str, Clip]:
    """Return a clip for each video of an annotation file.

    Args:
        annotations: The file. All its images are one video if they have no ``video_id``.
        form: The format.
        kind_known: See ``Clip``.
        video: The video of the masks. If the file lists several, the one with its name is read.

    Raises:
        InputError: The file is damaged, has no track ids, or does not fit the video.
    """
    with errors_in(annotations.path):
        videos, notes = _videos(annotations, form.fps, video)
        ids = find_track_ids(annotations.records)
        if ids is None and annotations.records:
            raise FieldError(
                "the annotations do not state which object they belong to; add a track_id (or attributes.track_id) "
                "that is the same in all frames of an object"
            )
        notes += _notes_on_ids(annotations, ids)
    annotations = annotations.note(*notes)
    return clips_by_key(
        (
            Clip(
                found.key,
                partial(_tracks, annotations, found, form, ids),
                partial(find_images, annotations.path, found.pictures, form.folders),
                kind_known or found.record is not None,
            )
            for found in videos
        ),
        annotations.path,
    )


def _notes_on_ids(annotations: Annotations, ids: TrackIds | None) -> list[str]:
    if ids is None:
        return []
    notes = []
    if ids.place not in ("track_id", "instance_id") and ids.instead_of is None:
        notes.append(f"objects are identified by {ids.place}")
    if not all(isinstance(found, int) for found in ids.numbers):
        shown = ", ".join(f"{found} is {number}" for found, number in list(ids.numbers.items())[:2])
        notes.append(f"{ids.place} values are names; objects are numbered from 1 ({shown})")
    if ids.instead_of is not None:
        notes.append(f"objects are identified by {ids.place}, because no {ids.instead_of} returns")
    numbers = [[ids.number(record, "") for record in of_image] for of_image in annotations.records.values()]
    if not ids.returns and sum(any(n is not None for n in of_image) for of_image in numbers) > 1:
        notes.append(f"no {ids.place} returns: each annotation is an object of one frame")
    without = sum(number is None for of_image in numbers for number in of_image)
    if without:
        notes.append(f"{count(without, 'annotation')} without {ids.place} left out")
    return notes


def _videos(annotations: Annotations, fps: float, video: VideoContext | None) -> tuple[list[FrameVideo], list[str]]:
    """The videos of a file, and notes on how they were found."""
    images = list(zip(annotations.document["images"], annotations.pictures.values(), strict=True))
    notes: list[str] = []
    if any(image.get("video_id") is not None for image, _ in images):
        listed = _listed_videos(annotations.document, images, notes)
    else:
        name = annotations.path.stem if video is None else PurePath(video.info.path).stem
        listed = [_Listed(name, {}, "", images, None)]
        notes.append(f"the {count(len(images), 'image')} are the frames of one video")
    keys = clip_keys([found.name for found in listed], [found.record for found in listed])
    chosen = choose_videos(keys, listed, video, notes)
    found = [_video(key, one.in_order(), fps, video) for key, one in chosen]
    if video is None and any(one.record is None and _has_gaps(one) for one in listed):
        notes.append(GAPS)
    return found, notes


GAPS = "the numbers of the listed frames have gaps; without the video, the listed ones are taken for all of its frames"
"""Note on a video that is read without its frames."""


def _has_gaps(listed: _Listed) -> bool:
    return has_gaps(listed.indices) or has_gaps(numbers_in_names(listed.names))


def _listed_videos(document: Record, images: Sequence[tuple[Record, ImageEntry]], notes: list[str]) -> list[_Listed]:
    frames: dict[Identity, list[tuple[Record, ImageEntry]]] = {}
    for place, (image, picture) in enumerate(images):
        frames.setdefault(required_identity(image, "video_id", f"images[{place}]."), []).append((image, picture))
    listed: dict[Identity, _Listed] = {}
    empty = []
    for place, entry in enumerate(optional(document, "videos", list) or [{"id": number} for number in frames]):
        where = f"videos[{place}]"
        number = required_identity(check_type(entry, dict, where), "id", f"{where}.")
        if number in listed:
            raise FieldError(f"{where}: the id {number} is used twice; give every video a different id")
        if number not in frames:
            empty.append(number)
            continue
        name = optional(entry, "name", str, f"{where}.") or str(number)
        listed[number] = _Listed(name, entry, f"{where}.", frames[number], find_record(entry, f"{where}."))
    missing = next((number for number in frames if number not in listed), None)
    if missing is not None:
        raise FieldError(f"images belong to video {missing}, which videos does not list; add it there")
    if empty:
        notes.append(f"{count(len(empty), 'video')} without images left out, such as {empty[0]}")
    return list(listed.values())


def choose_videos(
    keys: Sequence[str], listed: Sequence[T], video: VideoContext | None, notes: list[str]
) -> list[tuple[str, T]]:
    """Return the one of a file's videos that has the name of a video, with its key, and all if none has.

    Args:
        keys: Keys of the file's videos.
        listed: The file's videos.
        video: The video of the masks.
        notes: Notes, to which that on the choice is added.
    """
    pairs = list(zip(keys, listed, strict=True))
    if video is None or len(pairs) < 2:
        return pairs
    for key, found in pairs:
        if key in (video.info.path, PurePath(video.info.path).stem):
            notes.append(f"the video {key} of {len(keys)} is read")
            return [(key, found)]
    return pairs


def _video(key: str, listed: _Listed, fps: float, video: VideoContext | None) -> FrameVideo:
    pictures = tuple(picture for _, picture in listed.images)
    if len({(picture.height, picture.width) for picture in pictures}) > 1:
        raise FieldError(f"{listed.where or 'images: '}images of several sizes; resize all frames to one size")
    rate = read_fps(listed.entry, fps, listed.where)
    if video is None or listed.record is not None:
        return FrameVideo(key, rate, pictures, tuple(range(len(pictures))), len(pictures), listed.record)
    places = place_frames(listed.names, listed.indices, video)
    return FrameVideo(key, rate, pictures, places.frames, video.info.frames, None, places.note)


def _tracks(annotations: Annotations, video: FrameVideo, form: FrameFormat, ids: TrackIds | None) -> ClipTracks:
    first = video.pictures[0]
    notes = annotations.notes if video.note is None else annotations.note(video.note).notes
    with errors_in(annotations.path, f"video {video.key}: "):
        info = VideoInfo(video.key, first.height, first.width, video.length, video.fps)
        check_video(info)
        found = _Objects()
        for t, picture in zip(video.frames, video.pictures, strict=True):
            for record in annotations.records.get(picture.id, ()):
                where = f"image {picture.id}: "
                number = None if ids is None else ids.number(record, where)
                if number is None:
                    found.left_out[None].add(t)
                else:
                    found.annotated.add(t)
                    found.labels.add(number, read_label(record, annotations.labels, where))
                    found.add(number, t, form.read_masks(record, picture, video, where))
                    if form.read_box is not None:
                        found.boxes.setdefault(number, {})[t] = form.read_box(record, where)
            for crowd in annotations.crowds.get(picture.id, ()):
                found.left_out[read_label(crowd, annotations.labels, f"image {picture.id}: ")].add(t)
        found.mark_unknown()
        clip = build_clip(info, video.record, found.masks, found.labels, found.annotated, form.name)
        if video.record is None and found.boxes:
            clip = _with_boxes(clip, found.boxes)
    text = f"{annotations.path.name}: "
    if found.parts:
        notes = (*notes, f"{text}annotations of one object in one image are parts of its mask and were joined")
    if found.unknown:
        notes = (*notes, f"{text}where an annotation has no mask, the mask of the object is unknown")
    return replace(clip, notes=(*notes, *(text + note for note in found.labels.notes())))


@dataclass
class _Objects:
    """Content of the annotations of a video, collected frame by frame."""

    annotated: set[int] = field(default_factory=set)
    labels: ObjectLabels = field(default_factory=ObjectLabels)
    left_out: dict[str | None, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The frames of annotations that were left out, by the label of the objects that they may show; None for all."""
    masks: dict[str, dict[int, dict[int, Rle | None]]] = field(default_factory=dict)
    boxes: dict[int, dict[int, Box | None]] = field(default_factory=dict)
    parts: bool = False
    """True if several annotations were joined."""
    unknown: bool = False
    """True if an annotation has no mask."""

    def add(self, number: int, frame: int, masks: Mapping[str, Rle | None]) -> None:
        """Add the masks of an annotation by kind."""
        for kind, mask in masks.items():
            of_object = self.masks.setdefault(kind, {}).setdefault(number, {})
            before = of_object.get(frame)
            self.unknown = self.unknown or mask is None
            if mask is None:
                of_object.setdefault(frame, None)
            elif mask.area():
                of_object[frame] = mask if before is None else union([before, mask])
                self.parts = self.parts or before is not None

    def mark_unknown(self) -> None:
        """Make objects unknown where an annotation was left out that may be theirs."""
        for label, frames in self.left_out.items():
            numbers = [number for number, own in self.labels.items() if label is None or own in (None, label)]
            for of_kind in self.masks.values():
                mark_unknown((of_kind[number] for number in numbers if number in of_kind), frames)


def _with_boxes(clip: ClipTracks, boxes: Mapping[int, Mapping[int, Box | None]]) -> ClipTracks:
    """Return a clip with amodal boxes; a track without any is unchanged."""
    tracks = []
    for track in clip.tracks:
        of_track = tuple(boxes.get(track.id, {}).get(t) for t in range(clip.video.frames))
        tracks.append(replace(track, boxes=of_track) if any(of_track) else track)
    return replace(clip, tracks=tuple(tracks))


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
    document: dict[str, list[Record]],
    key: str,
    clip: ClipTracks,
    number: int,
    track_numbers: Sequence[int],
    names: Sequence[str] | None = None,
    kind: MaskKind | None = None,
) -> int:
    """Add a video and its frames to a document and return the id of the first frame; the others follow it.

    Args:
        document: Has the lists ``videos`` and ``images``.
        key: The key of the clip.
        clip: The clip.
        number: The id of the video.
        track_numbers: The numbers of its tracks in the file.
        names: The file names of its frames; generated by default.
        kind: The masks in a file with one mask per object.
    """
    video, first = clip.video, len(document["images"]) + 1
    size = {"width": video.width, "height": video.height}
    record = make_record(key, clip, track_numbers, kind)
    document["videos"].append({"id": number, "name": key, **size, "fps": video.fps, KEY: record})
    document["images"] += [
        {"id": first + t, "video_id": number, "frame_index": t, "file_name": name, **size}
        for t, name in enumerate(names or frame_names(key, video.frames))
    ]
    return first

"""YouTube-VIS (Yang et al., ICCV 2019): COCO's JSON with videos in the place of images. Read and written.

``videos``: id, width, height, length, file_names. ``annotations``, one per object: id (the track's id), video_id,
category_id, ``segmentations`` with run lengths, polygons or null for every frame, and ``bboxes``. See youtube-vos.org
and the description in TrackEval; UVO, OVIS and SA-Co/VEval (SAM 3) have the same layout.

- A frame is annotated for all objects, so null means occluded or absent (before the first mask: unknown). A box without
  a mask means that the mask is unknown.
- Without a video, the listed frames are all frames of a clip. With one, ``frame_places`` finds the frame of each;
  frames that are not listed are unknown. Of several videos, the one with the name of the video is read.
- Regions of many objects (iscrowd) and annotations of videos that are not listed are left out and reported.

The kind of the masks is not stated. The frame rate is assumed to be 6 frames per second, the rate of its annotations.
``result_lists`` reads lists of results, which have no videos.

Written files carry a record of each video (see ``clip_record``) and round-trip unchanged. Ids are counted over all
videos, "object" is the category of tracks without a label, and file names are generated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from vidamodal.formats.annotation_files import (
    ImageEntry,
    Record,
    checked_image,
    errors_in,
    find_images,
    has_mask,
    outside_note,
    read_document,
    read_label,
    read_labels,
    read_mask,
    split_records,
)
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.build import mark_unknown
from vidamodal.formats.clip_record import KEY, build_clip, clips_by_key, find_record, make_record, masks_of, stored_kind
from vidamodal.formats.json_layouts import Layout, match_files
from vidamodal.formats.videos.frame_annotations import GAPS, choose_videos, clip_keys, read_fps
from vidamodal.formats.videos.frame_places import FramePlaces, has_gaps, numbers_in_names, place_frames
from vidamodal.formats.videos.writing import Categories, box_record, frame_names, write_json
from vidamodal.media.json_records import (
    FieldError,
    Identity,
    check_type,
    optional,
    required,
    required_identity,
    required_integer,
)
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
    """Match a file with ``videos`` and ``segmentations`` in its annotations, or a folder with one in it."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    return certain_if("videos" in layout.keys and layout.has("annotations", "segmentations"))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video; its key is the folder of its frames, or its id."""
    file, document = read_document(path, ID, _fit)
    return read_youtube_vis(file, document, video)


def read_youtube_vis(file: Path, document: Record, video: VideoContext | None) -> Mapping[str, Clip]:
    """Return the clips of a document in the layout of YouTube-VIS.

    Args:
        file: The file of the document.
        document: The JSON object.
        video: The video of the masks.

    Raises:
        InputError: The document is damaged, or does not fit the video.
    """
    with errors_in(file):
        videos, notes = _videos(file, document)
        names = [found.folder or str(found.entry["id"]) for found in videos]
        keys = clip_keys(names, [found.record for found in videos])
        pairs = choose_videos(keys, videos, video, notes)
        if video is not None:
            pairs = [(key, found.placed(video)) for key, found in pairs]
        elif any(found.record is None and has_gaps(numbers_in_names(found.names)) for found in videos):
            notes.append(GAPS)
    lines = tuple(f"{file.name}: {note}" for note in notes)
    return clips_by_key(
        (
            Clip(
                key,
                partial(_tracks, key, found, lines),
                partial(find_images, file, found.pictures, _FOLDERS),
                kind_known=found.record is not None,
            )
            for key, found in pairs
        ),
        file,
    )


@dataclass(frozen=True)
class _Video:
    file: Path
    entry: Record
    pictures: Sequence[ImageEntry]
    places: FramePlaces
    """The frame of each image."""
    length: int
    """Number of frames."""
    record: Record | None
    objects: Sequence[Record]
    crowds: Sequence[Record]
    labels: Mapping[Identity, str]

    @property
    def folder(self) -> str:
        folder = str(PurePosixPath(self.pictures[0].name).parent)
        return "" if folder == "." else folder

    @property
    def names(self) -> list[str]:
        return [picture.name for picture in self.pictures]

    def placed(self, video: VideoContext) -> _Video:
        """Return the video with its images at the frames that they show."""
        if self.record is not None:
            return self
        return replace(self, places=place_frames(self.names, None, video), length=video.info.frames)


def _videos(file: Path, document: Record) -> tuple[list[_Video], list[str]]:
    labels = read_labels(document)
    entries: dict[Identity, tuple[Record, str]] = {}
    for k, entry in enumerate(required(document, "videos", list)):
        where = f"videos[{k}]."
        number = required_identity(check_type(entry, dict, where[:-1]), "id", where)
        if number in entries:
            raise FieldError(f"{where}id {number} is used twice; give every video a different id")
        entries[number] = entry, where
    objects, crowds, notes = split_records(document, "video", entries, labels)
    videos = []
    for number, (entry, where) in entries.items():
        pictures = _pictures(entry, where)
        places = FramePlaces(tuple(range(len(pictures))))
        record = find_record(entry, where)
        own = objects.get(number, ()), crowds.get(number, ())
        videos.append(_Video(file, entry, pictures, places, len(pictures), record, *own, labels))
    return videos, notes + outside_note(picture for found in videos for picture in found.pictures)


def _pictures(entry: Record, where: str) -> list[ImageEntry]:
    names = required(entry, "file_names", list, where)
    height, width = (required_integer(entry, side, where) for side in ("height", "width"))
    if not names:
        raise FieldError(f"{where}file_names is empty; list the frames")
    places = [f"{where}file_names[{t}]" for t in range(len(names))]
    return [
        checked_image(t, check_type(name, str, place), height, width, place)
        for t, (name, place) in enumerate(zip(names, places, strict=True))
    ]


def _tracks(key: str, video: _Video, notes: tuple[str, ...]) -> ClipTracks:
    masks: dict[int, dict[int, Rle | None]] = {}
    labels: dict[int, str | None] = {}
    with errors_in(video.file, f"video {key}: "):
        first = video.pictures[0]
        info = VideoInfo(key, first.height, first.width, video.length, read_fps(video.entry, _FPS, ""))
        check_video(info)
        for entry in video.objects:
            number = required_integer(entry, "id", "an annotation's ")
            if number in masks:
                raise FieldError(f"annotation {number} is listed twice; give every object a different id")
            labels[number] = read_label(entry, video.labels, f"annotation {number}: ")
            masks[number] = _masks(entry, video, f"annotation {number}: ")
        for crowd in video.crowds:
            label = read_label(crowd, video.labels, "a crowd's ")
            shown = optional(crowd, "segmentations", list, "a crowd's ") or []
            frames = {frame for frame, mask in zip(video.places.frames, shown, strict=False) if mask}
            alike = (found for number, found in masks.items() if label is None or labels[number] in (None, label))
            mark_unknown(alike, frames)
        kind: str = stored_kind(video.record)
        clip = build_clip(info, video.record, {kind: masks}, labels, set(video.places.frames), NAME)
    if video.places.note is not None:
        notes = (*notes, f"{video.file.name}: {video.places.note}")
    if any(mask is None for of_object in masks.values() for mask in of_object.values()):
        notes = (*notes, f"{video.file.name}: where an object has a box and no mask, its mask is unknown")
    return replace(clip, notes=notes)


def _masks(entry: Record, video: _Video, where: str) -> dict[int, Rle | None]:
    """The masks of an object by frame; None where it has a box alone."""
    entries, length = required(entry, "segmentations", list, where), len(video.pictures)
    if len(entries) != length:
        raise FieldError(f"{where}{len(entries)} segmentations for {length} frames; write one for each (null = hidden)")
    boxes = optional(entry, "bboxes", list, where) or []
    found: dict[int, Rle | None] = {}
    for place, (mask, picture) in enumerate(zip(entries, video.pictures, strict=True)):
        frame = video.places.frames[place]
        if has_mask(mask):
            rle = read_mask(mask, picture, f"{where}frame {place}")
            if rle.area() or isinstance(mask, list):  # an outline without a pixel shows that the object is seen
                found[frame] = rle if rle.area() else None
        elif place < len(boxes) and isinstance(boxes[place], list) and any(boxes[place]):
            found[frame] = None
    return found


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

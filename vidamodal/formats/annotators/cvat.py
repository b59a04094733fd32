"""CVAT's own XML, "CVAT for video 1.1" and "CVAT for images 1.1". Read and written.

A file or a folder with one, such as the unpacked export with ``annotations.xml``; an export of a project holds several
tasks, each a clip. Masks are ``polygon``, ``ellipse`` and ``mask`` (run lengths inside left, top, width, height, row by
row). A ``box`` does not say which pixels belong to the object, so its mask is unknown; objects that have only points,
lines, skeletons or cuboids are left out. The kind of the masks is not stated. Size and length are those of the task, or
of the video that is passed. Frames are numbered as in the video of the task, from 0, also where the task uses only a
part of it. The frame rate is assumed to be 24 frames per second.

*For video.* ``track`` has a shape for each frame; CVAT interpolates when it exports, so frames without one are unknown.
``outside`` states that the object is not there: its masks are empty up to the next shape. A shape that was drawn in one
frame is exported as a track of that frame, with an ``outside`` behind it that nobody drew. Such shapes are one object
if they have the same ``group_id`` and label; in the other frames that have such shapes, the object is absent.

*For images.* Shapes of several images are one object if they have the same attribute "track_id" (or "object_id",
"instance_id"), or else the same ``group_id`` and label; the images are then the frames of a clip, with their ids as
numbers, and parts of an object in one image are united. Without either, every image is a clip. A shape without the link
is an object of one frame; it may be one of the others, which are unknown in its frame where they have no mask.

The writer makes ``<key>.xml`` for each clip, which CVAT imports as "CVAT 1.1". CVAT has no tracks of masks, so each
mask is a track of one frame, and the ``group_id`` names its object. The record of the clip (see ``clip_record``) lies
in ``meta``, which CVAT ignores; with it, the file round-trips unchanged.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape, quoteattr

from vidamodal.formats.annotation_files import ImageEntry, Record, checked_image, count, errors_in, find_images
from vidamodal.formats.annotators.cvat_shapes import AREAS, integer, mask_attributes, shape_mask
from vidamodal.formats.annotators.cvat_tasks import Task, find_tasks
from vidamodal.formats.annotators.cvat_xml import Document, Holder, Node, Shape, is_cvat, parse_file
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext
from vidamodal.formats.build import add_part, build_tracks, mark_unknown
from vidamodal.formats.clip_record import KEY, build_clip, clips_by_key, make_record, masks_of, stored_kind
from vidamodal.formats.videos.frame_places import place_frames, time_order
from vidamodal.formats.videos.text_rows import MAX_ENTRIES
from vidamodal.formats.videos.writing import NAMELESS
from vidamodal.media.images import is_image
from vidamodal.media.json_records import FieldError, required
from vidamodal.media.listing import find_in_folder, list_folder
from vidamodal.media.video import FOLDER_FPS
from vidamodal.tracks.check import MAX_FRAMES, check_video
from vidamodal.tracks.parse import parse_video
from vidamodal.types import ClipTracks, Frame, Rle, Track, VideoInfo

ID = "cvat"
NAME = "CVAT"
SIGN = "an .xml with the root <annotations>, or a folder with one"
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = True, False
_LINKS = ("track_id", "object_id", "instance_id")
_EXPORTED = re.compile("frame_([0-9]{6})")
"""Names of the frames in CVAT's exports of videos, by their number."""
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def recognise(path: Path) -> Fit:
    """Match such a file, or a folder with some; exactly if it is an unpacked export."""
    files = _files(path)
    is_export = path.is_dir() and any(file.name == "annotations.xml" for file in files)
    return Fit.NONE if not files else Fit.EXACT if is_export else Fit.CERTAIN


def _files(path: Path) -> list[Path]:
    return [file for file in ([path] if path.is_file() else find_in_folder(path, "*.xml")) if is_cvat(file)]


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each task, or for each image of a task whose shapes are not linked over images."""
    return clips_by_key((clip for file in _files(path) for clip in _file_clips(file, video)), path)


def _file_clips(file: Path, video: VideoContext | None) -> Iterator[Clip]:
    with errors_in(file):
        document = parse_file(file)
        record = _find_record(document.meta)
        if record is not None:
            key = required(record, "key", str, f"{KEY}.")
            yield Clip(key, partial(_restored, file, document, record), lambda: None)
            return
        tasks = find_tasks(file, document)
    for task in tasks:
        if task.images and video is None and _link_of(task) is None:
            yield from _image_clips(task)
        else:
            pictures = partial(_pictures, task)
            yield Clip(task.key, partial(_clip, task, video), pictures, kind_known=False)


def _find_record(meta: Node) -> Record | None:
    text = meta.value(KEY)
    if text is None:
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise FieldError(f"the element {KEY} is damaged; remove it to read the masks without it")
    return record


# Objects


@dataclass
class _Objects:
    """The objects of a task."""

    labels: dict[int, str | None] = field(default_factory=dict)
    masks: dict[int, dict[int, Rle | None]] = field(default_factory=dict)
    """Masks by frame; None where only a box was drawn."""
    unlinked: set[int] = field(default_factory=set)
    """Those of a single shape that may belong to one of the others."""
    absent: dict[int, list[range]] = field(default_factory=dict)
    """Numbers of frames in which an object of a track is stated not to be there."""
    drawn: set[int] = field(default_factory=set)
    """Objects of shapes that are no tracks; where others of them are annotated, they are absent."""

    def add(self, number: int, label: str | None, frame: int, shape: Shape, size: tuple[int, int], where: str) -> None:
        """Add a shape; a second one of an object in a frame is a part of it."""
        self.labels.setdefault(number, label)
        mask = shape_mask(shape, *size, where) if shape.kind in AREAS else None
        add_part(self.masks.setdefault(number, {}), frame, mask)


def _clip(task: Task, video: VideoContext | None) -> ClipTracks:
    with errors_in(task.file):
        frames = _frame_numbers(task)
        info = _info(task, video, frames)
        named = _named_frames(task, video)
        places = {number: named.get(number, -1) if named else number for number in frames}
        beyond = next((number for number, place in places.items() if not 0 <= place < info.frames), None)
        if beyond is not None:
            raise FieldError(
                f"frame {beyond} lies outside the video ({info.frames} frames, counted from 0); pass the video of the "
                "task"
            )
        size = info.height, info.width
        objects = _from_images(task, places, size) if task.images else _from_tracks(task, places, size)
        if info.frames * len(objects.labels) > MAX_ENTRIES:
            raise FieldError(
                f"{len(objects.labels)} objects in {info.frames} frames, more than can be read at once; give the "
                "shapes of an object one group, or split the task"
            )
        tracks = _built(objects, info, named)
        return ClipTracks(
            info,
            tracks,
            provenance={"layout": NAME},
            notes=_notes(task, objects, any(n != t for n, t in named.items())),
        )


def _frame_numbers(task: Task) -> set[int]:
    if task.images:
        return {integer(image.attributes, "id", "image: ") for image in task.images}
    return {integer(shape.attributes, "frame", "track: ") for track in task.tracks for shape in track.shapes}


def _info(task: Task, video: VideoContext | None, frames: set[int]) -> VideoInfo:
    if video is not None:
        return video.info
    sizes = {tuple(integer(image.attributes, side, "image: ") for side in ("height", "width")) for image in task.images}
    if len(sizes) > 1:
        raise FieldError("the images of a clip have several sizes; resize them to one size")
    size = next(iter(sizes), None) or task.size
    if size is None:
        raise FieldError("states no image size; pass its video")
    last = max(frames, default=0) if task.stop is None else task.stop
    info = VideoInfo(task.key, size[0], size[1], last + 1, FOLDER_FPS)
    check_video(info)
    return info


def _named_frames(task: Task, video: VideoContext | None) -> Mapping[int, int]:
    """The frames by their number in the file, where names say it: of a folder, or where numbers do not fit."""
    names = () if video is None else video.frame_names or ()
    exported = [_EXPORTED.fullmatch(name) for name in names]
    if names and all(exported):
        return {int(found[1]): t for t, found in enumerate(exported) if found}
    stems = {int(image.attributes["id"]): PurePosixPath(image.attributes.get("name", "")).stem for image in task.images}
    places = {name: t for t, name in enumerate(names)}
    if set(stems.values()) <= set(names):
        return {number: places[stem] for number, stem in stems.items()}
    if video is None or all(number < video.info.frames for number in stems):
        return {}
    ordered = [list(stems.items())[place] for place in time_order(list(stems.values()), None)]
    with suppress(FieldError):
        found = place_frames([stem for _, stem in ordered], None, video).frames
        return {number: t for (number, _), t in zip(ordered, found, strict=True)}
    return {}


def _from_tracks(task: Task, places: Mapping[int, int], size: tuple[int, int]) -> _Objects:
    objects, groups = _Objects(), dict[tuple[str, str | None], int]()
    for track in task.tracks:
        number = integer(track.attributes, "id", "track: ")
        where, label = f"track {number}: ", track.attributes.get("label") or None
        shapes = sorted((integer(shape.attributes, "frame", where), k) for k, shape in enumerate(track.shapes))
        timed = [(frame, track.shapes[k]) for frame, k in shapes]
        if number in objects.labels or len({frame for frame, _ in timed}) < len(timed):
            raise FieldError(f"{where}listed twice, or two shapes in one frame; keep one")
        shown = [(frame, shape) for frame, shape in timed if shape.attributes.get("outside") != "1"]
        if not any(shape.kind in AREAS or shape.kind == "box" for _, shape in timed):
            continue
        gone = [(frame, shape) for frame, shape in timed if shape.attributes.get("outside") == "1"]
        if len(shown) == 1 and [frame for frame, _ in gone] in ([], [shown[0][0] + task.step]):
            group = track.attributes.get("group_id", "0")
            number = number if group == "0" else groups.setdefault((group, label), number)
            objects.drawn.add(number)
            objects.unlinked |= {number} if group == "0" else set()
        else:
            objects.absent[number] = list(_absent(task, timed))
        for frame, shape in shown:
            objects.add(number, label, places[frame], shape, size, f"{where}frame {frame}: ")
        objects.labels.setdefault(number, label)
    return objects


def _absent(task: Task, timed: Sequence[tuple[int, Shape]]) -> Iterator[range]:
    """The frames of the task from each shape that is outside to the next one."""
    ends = [frame for frame, _ in timed[1:]] + [MAX_FRAMES if task.stop is None else task.stop + 1]
    for (frame, shape), end in zip(timed, ends, strict=True):
        if shape.attributes.get("outside") == "1":
            yield range(frame, end, task.step)


def _link_of(task: Task) -> str | None:
    """The attribute that links the shapes of several images: an attribute of annotators, or "group_id"; or None."""
    shapes = [shape for image in task.images for shape in image.shapes]
    for name in _LINKS:
        if any(shape.values.get(name) for shape in shapes):
            return name
    images: dict[str, set[str]] = defaultdict(set)
    for image in task.images:
        for shape in image.shapes:
            images[shape.attributes.get("group_id", "0")].add(image.attributes.get("id", ""))
    return "group_id" if any(len(found) > 1 for group, found in images.items() if group != "0") else None


def _from_images(task: Task, places: Mapping[int, int], size: tuple[int, int]) -> _Objects:
    objects, link, numbers = _Objects(), _link_of(task), dict[tuple[str | None, str | None, bool], int]()
    if link is None and len(task.images) > 1:
        raise FieldError('shapes of different images are not linked; give them a group or an attribute "track_id"')
    for image in task.images:
        frame = integer(image.attributes, "id", "image: ")
        for place, shape in enumerate(image.shapes):
            if shape.kind not in AREAS and shape.kind != "box":
                continue
            value = {**shape.attributes, **shape.values}.get(link or "") or None
            label = shape.attributes.get("label") or None
            is_linked = value is not None and (value != "0" or link in _LINKS)
            name = (value if is_linked else f"{frame}/{place}", label, is_linked)
            number = numbers.setdefault(name, len(numbers) + 1)
            objects.unlinked |= set() if is_linked else {number}
            objects.drawn.add(number)
            objects.add(number, label, places[frame], shape, size, f"image {frame}: ")
    return objects


def _built(objects: _Objects, info: VideoInfo, named: Mapping[int, int]) -> tuple[Track, ...]:
    masks = {number: objects.masks.get(number, {}) for number in objects.labels}
    annotated = {t for number in objects.drawn for t in masks[number]}
    empty = Rle.empty(info.height, info.width)

    def tracked(number: int) -> Track:
        entries: list[Rle | None] = [None] * info.frames
        for gone in objects.absent[number]:
            inside = range(gone.start, min(gone.stop, info.frames), gone.step)
            for t in (t for n, t in named.items() if n in gone) if named else inside:
                entries[t] = empty
        for t, mask in masks[number].items():
            entries[t] = mask
        return Track(number, tuple(entries))

    linked = {number: masks[number] for number in objects.drawn - objects.unlinked}
    mark_unknown(linked.values(), {t for number in objects.unlinked for t in masks[number]})
    drawn = build_tracks(info, annotated, linked)
    alone = build_tracks(info, (), {number: masks[number] for number in objects.unlinked})
    tracks = sorted((*drawn, *alone, *map(tracked, objects.absent)), key=_number)
    return tuple(replace(track, label=objects.labels[track.id]) for track in tracks)


def _number(track: Track) -> int:
    return track.id


def _notes(task: Task, objects: _Objects, by_name: bool) -> tuple[str, ...]:
    notes = []
    if not task.images and (task.start or task.step > 1):
        notes.append(f"the task holds frames {task.start} to {task.stop} of its video, in steps of {task.step}")
    if task.images and (link := _link_of(task)):
        notes.append(f"images are the frames of one video; objects are linked by {link}")
    if by_name and task.images:
        notes.append("images are placed in the video by their names, not by their ids")
    alone = [number for number in objects.drawn if len(objects.masks.get(number, {})) <= 1]
    if task.images and objects.unlinked and len(task.images) > 1:
        notes.append(
            f"{count(len(objects.unlinked), 'shape')} without {_link_of(task)}; each is an object of one frame"
        )
    if not task.images and len(alone) > 1:
        notes.append(f"{len(alone)} shapes have no track or group; each is an object in one frame")
    return (*_shape_notes(task), *(f"{task.file.name}: {note}" for note in notes))


def _shape_notes(task: Task) -> tuple[str, ...]:
    kinds = Counter(
        shape.kind
        for holder in (*task.tracks, *task.images)
        for shape in holder.shapes
        if shape.attributes.get("outside") != "1"
    )
    notes = [count(sum(number for kind, number in kinds.items() if kind in AREAS), "mask")]
    if kinds["box"]:
        notes.append(f"{count(kinds['box'], 'shape')} without a mask (box); the masks are unknown")
    left_out = sorted(f"{number} {kind}" for kind, number in kinds.items() if kind not in AREAS and kind != "box")
    if left_out:
        notes.append(f"left out: {', '.join(left_out)}")
    return tuple(f"{task.file.name}: {note}" for note in notes)


# Images


def _image_clips(task: Task) -> Iterator[Clip]:
    for image in task.images:
        with errors_in(task.file):
            number = integer(image.attributes, "id", "image: ")
        alone = replace(task, images=[Holder({**image.attributes, "id": "0"}, image.shapes)], stop=0)
        subset = image.attributes.get("subset")
        key = "-".join([*([] if task.is_only else [task.key]), *([subset] if subset else []), str(number)])
        yield Clip(key, partial(_image, alone, _shape_notes(task)), partial(_pictures, alone), kind_known=False)


def _image(task: Task, notes: tuple[str, ...]) -> ClipTracks:
    """The clip of one image, with the notes of all of them."""
    return replace(_clip(task, None), notes=notes)


def _pictures(task: Task) -> Iterator[Frame] | None:
    """The frames of a clip; None if they are missing, or if only some frames have an image."""
    with errors_in(task.file):
        if task.images:
            numbered = [(integer(image.attributes, "id", "image: "), _picture(image)) for image in task.images]
            listed = dict(numbered)
            total = len(numbered) if task.stop is None else task.stop + 1
            if len(numbered) != total or listed.keys() != set(range(total)):
                return None
            return find_images(task.file, [listed[number] for number in range(total)], ("images", ""))
        folder = task.file.parent / "images"
        if task.size is None or task.stop is None or task.start or task.step > 1 or not folder.is_dir():
            return None
        images = [image for image in list_folder(folder) if is_image(image) and _EXPORTED.fullmatch(image.stem)]
        if [int(image.stem[6:]) for image in images] != list(range(min(task.stop, len(images)) + 1)):
            return None
        pictures = [ImageEntry(t, image.name, *task.size) for t, image in enumerate(images)]
        return find_images(task.file, pictures, ("images",))


def _picture(image: Holder) -> ImageEntry:
    height, width = (integer(image.attributes, side, "image: ") for side in ("height", "width"))
    name = PurePosixPath(image.attributes.get("subset", ""), image.attributes.get("name", ""))
    return checked_image(0, str(name), height, width, "image")


# Written files


def _restored(file: Path, document: Document, record: Record) -> ClipTracks:
    with errors_in(file):
        info = parse_video(required(record, "video", dict, f"{KEY}."))
        masks: dict[int, dict[int, Rle]] = {}
        for track in document.tracks:
            number = integer(track.attributes, "group_id", "track: ")
            for shape in track.shapes:
                frame = integer(shape.attributes, "frame", "track: ")
                if shape.kind not in AREAS or shape.attributes.get("outside") == "1":
                    continue
                masks.setdefault(number, {})[frame] = shape_mask(shape, info.height, info.width, f"frame {frame}: ")
        return build_clip(info, record, {stored_kind(record): masks}, {}, (), NAME)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write ``<key>.xml`` for each clip."""
    for source in clips:
        clip = source.tracks()
        record = make_record(source.key, clip, range(1, len(clip.tracks) + 1), kind)
        with (out / f"{source.key}.xml").open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_document(source.key, clip, record, kind))


def _document(key: str, clip: ClipTracks, record: Record, kind: MaskKind) -> Iterator[str]:
    video, names = clip.video, [NAMELESS if track.label is None else track.label for track in clip.tracks]
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>\n<task>\n'
    yield f"<name>{key}</name>\n<size>{video.frames}</size>\n<mode>interpolation</mode>\n"
    yield f"<start_frame>0</start_frame>\n<stop_frame>{video.frames - 1}</stop_frame>\n<labels>\n"
    yield from (f"<label><name>{escape(_printable(name))}</name></label>\n" for name in dict.fromkeys(names))
    yield f"</labels>\n<original_size><width>{video.width}</width><height>{video.height}</height></original_size>\n"
    yield f"</task>\n<source>{escape(_printable(video.path))}</source>\n"
    yield f"<{KEY}>{escape(json.dumps(record, allow_nan=False))}</{KEY}>\n</meta>\n"
    shapes = (
        (name, group, t, mask)
        for group, (name, track) in enumerate(zip(names, clip.tracks, strict=True), 1)
        for t, mask in enumerate(masks_of(track, kind))
        if mask is not None and mask.area()
    )
    for number, (name, group, t, mask) in enumerate(shapes):
        shape = {"frame": t, "keyframe": 1, "outside": 0, "occluded": 0, **mask_attributes(mask), "z_order": 0}
        track = {"id": number, "label": _printable(name), "source": "file", "group_id": group}
        yield f"<track{_attributes(track)}>\n<mask{_attributes(shape)}></mask>\n</track>\n"
    yield "</annotations>\n"


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(f" {name}={quoteattr(str(value))}" for name, value in values.items())


def _printable(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return _UNPRINTABLE.sub("\ufffd", text)

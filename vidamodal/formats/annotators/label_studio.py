"""Label Studio's JSON export of image segmentation. Read and written.

A list of tasks (or one task) with ``data`` and ``annotations``. Regions of a task are masks: brush (see ``brush_rle``),
bitmask, polygon and ellipse. A rectangle does not state the mask of its object, which is unknown then; key points are
left out. The kind of the masks is not stated. Each task is an image. Its object is known by a field of the region that
is called "track_id" (or "object_id", "instance_id"), or else by an id that the region has in several tasks, as copied
predictions have. Then the tasks are the frames of one clip, placed as ``frame_places`` describes, and regions of one
object in a task are parts of its mask. Without either, every task is a clip of one frame; with a video, objects are
identified by their labels, which is reported; a label that appears twice in a frame is refused. A task that nobody
annotated is unknown, and so are absent objects where a region without an object id was ignored. If no task is
annotated, predictions are read, which is reported. The frame rate is assumed to be 24 frames per second.

Objects in tasks of videos (``videorectangle``) have boxes only, in frames that Label Studio counts at its own frame
rate: the objects are listed, their masks are unknown. Such tasks state no size, so they need the video. Tasks with
several annotations of which none is marked as ground truth, and rotated images, are refused.

The writer makes a task for each frame, with brush regions for a configuration with ``<Image name="image">`` and
``<BrushLabels name="tag">``. Label Studio has no masks in videos. File names are generated. The ``data`` of a clip's
first task holds its record (see ``clip_record``), with which the file round-trips unchanged.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from vidamodal.formats.annotation_files import ImageEntry, Record, count, errors_in, find_images
from vidamodal.formats.annotators.brush_rle import encode_brush
from vidamodal.formats.annotators.label_studio_regions import LINKS, Region, Task, parse_tasks, region_mask
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.build import ObjectLabels, add_part, build_tracks, mark_unknown
from vidamodal.formats.clip_record import (
    KEY,
    build_clip,
    clips_by_key,
    find_record,
    make_record,
    masks_of,
    stored_kind,
)
from vidamodal.formats.json_layouts import ROOT, Layout, load_json, match_files, one_file
from vidamodal.formats.videos.frame_places import place_frames, plain_stem, time_order
from vidamodal.formats.videos.writing import NAMELESS, frame_names
from vidamodal.media.json_records import FieldError, required
from vidamodal.media.video import FOLDER_FPS
from vidamodal.tracks.check import check_video
from vidamodal.tracks.parse import parse_video
from vidamodal.types import ClipTracks, Frame, Rle, Track, VideoInfo

ID = "label-studio"
NAME = "Label Studio"
SIGN = 'a JSON list of tasks with "data" and "annotations"'
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK = IS_FILE = True
_REGION = "track-"
"""Prefix of the ids of written regions; the number of the track follows."""


# Reading


def recognise(path: Path) -> Fit:
    """Match an export, or a folder with one."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    lists = ("annotations", "predictions")
    of_tasks = any(layout.has(ROOT, "data", key) for key in lists)
    return certain_if(of_tasks or any(layout.keys >= {"data", key} and layout.has(key, "result") for key in lists))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video of a written file; else one of all tasks, or one for each."""
    file = one_file(path, match_files(path, ID, _fit)[1])
    with errors_in(file):
        tasks = parse_tasks(load_json(file))
        if any(KEY in task.data for task in tasks):
            return clips_by_key(_written_clips(file, tasks), path)
        link = _find_link(tasks)
    if video is not None and _is_of_video(tasks):
        tasks = [task for task in tasks if plain_stem(task.name) == PurePath(video.info.path).stem] or tasks
    if _is_of_video(tasks) or (link is None and (video is None or video.info.frames == 1)):
        keys = _keys(tasks)
        return clips_by_key(
            (_clip(file, key, [task], _NUMBERS, video) for key, task in zip(keys, tasks, strict=True)), path
        )
    key = file.stem if video is None else PurePath(video.info.path).stem
    ordered = [tasks[place] for place in time_order([task.name for task in tasks], None)]
    marked = sum(bool(task.regions) for task in tasks)
    return {key: _clip(file, key, ordered, link or (_LABELS if marked > 1 else _NUMBERS), video)}


def _is_of_video(tasks: Sequence[Task]) -> bool:
    return any(region.kind == "video" for task in tasks for region in task.regions or ())


def _keys(tasks: Sequence[Task]) -> list[str]:
    """The names of the tasks' images; their places where two are alike."""
    stems = [plain_stem(task.name) for task in tasks]
    return [stem if stem and stems.count(stem) == 1 else f"task-{place}" for place, stem in enumerate(stems)]


Link = Callable[[Region], str | None]
"""Return the key that identifies a region's object."""


@dataclass(frozen=True)
class _Linked:
    """How regions of several tasks are linked."""

    name: str
    of: Link


_LABELS = _Linked("their labels", lambda region: region.label)
_NUMBERS = _Linked("", lambda region: region.id)
"""Regions of one task: each is an object."""


def _find_link(tasks: Sequence[Task]) -> _Linked | None:
    regions = [(place, region) for place, task in enumerate(tasks) for region in task.regions or ()]
    if any(region.link for _, region in regions):
        return _Linked(f"a field of the region ({', '.join(LINKS)})", lambda region: region.link)
    tasks_by_id = Counter(number for number, _ in {(region.id, place) for place, region in regions})
    if any(number > 1 for number in tasks_by_id.values()):
        return _Linked("ids that several tasks share", lambda region: region.id)
    return None


def _clip(file: Path, key: str, tasks: Sequence[Task], link: _Linked, video: VideoContext | None) -> Clip:
    pictures = partial(_pictures, file, tasks)
    return Clip(key, partial(_tracks, file, key, tasks, link, video), pictures, kind_known=False)


def _tracks(file: Path, key: str, tasks: Sequence[Task], link: _Linked, video: VideoContext | None) -> ClipTracks:
    with errors_in(file):
        info = _info(key, tasks, video)
        frames, note = _frames(tasks, video)
        objects = _Objects()
        for frame, task in zip(frames, tasks, strict=True):
            if task.regions is not None:
                objects.annotated |= set() if _is_of_video(tasks) else {frame}
                for region in task.regions:
                    objects.add(region, link, frame)
        mark_unknown(objects.masks.values(), set(objects.unlinked))
        tracks = build_tracks(info, objects.annotated, objects.masks)
        named = tuple(Track(t.id, t.visible, label=objects.labels[t.id]) for t in tracks)
    notes = [f"objects are identified by {link.name}"] if link.name else []
    notes += [note] if note else []
    notes += ["nobody annotated a task; the predictions of a model are read"] if tasks[0].is_predicted else []
    notes += objects.notes()
    lines = tuple(f"{file.name}: {text}" for text in notes)
    return ClipTracks(info, named, provenance={"layout": NAME}, notes=lines)


def _info(key: str, tasks: Sequence[Task], video: VideoContext | None) -> VideoInfo:
    sizes = {task.size for task in tasks if task.size is not None}
    if video is not None:
        sizes.add((video.info.height, video.info.width))
    if not sizes:
        raise FieldError(f"{tasks[0].where}no size of the image is stated; pass its video")
    if len(sizes) > 1:
        shown = ", ".join(f"{height} x {width}" for height, width in sorted(sizes)[:3])
        raise FieldError(f"images of several sizes ({shown}) in one clip; pass the tasks of one video, or its video")
    info = VideoInfo(key, *sizes.pop(), len(tasks), FOLDER_FPS) if video is None else video.info
    check_video(info)
    return info


def _frames(tasks: Sequence[Task], video: VideoContext | None) -> tuple[Sequence[int], str | None]:
    if video is None or _is_of_video(tasks):
        return range(len(tasks)), None
    places = place_frames([task.name for task in tasks], None, video)
    return places.frames, places.note


class _Objects:
    """The objects of a clip, collected task by task."""

    def __init__(self) -> None:
        self.annotated: set[int] = set()
        self.masks: dict[int, dict[int, Rle | None]] = {}
        self.labels = ObjectLabels()
        self.numbers: dict[str, int] = {}
        self.kinds: Counter[str] = Counter()
        self.unlinked: list[int] = []
        """The frame of each region without an object."""

    def add(self, region: Region, link: _Linked, frame: int) -> None:
        """Add a region; a second one of an object in a frame is a part of it."""
        self.kinds[region.kind] += 1
        name = link.of(region)
        if not region.kind or name is None:
            self.unlinked += [frame] if region.kind else []
            return
        number = self.numbers.setdefault(name, len(self.numbers) + 1)
        masks = self.masks.setdefault(number, {})
        self.labels.add(number, region.label)
        if region.kind == "video":
            return
        if link is _LABELS and frame in masks:
            raise FieldError(
                f'{region.where}a second region with the label "{name}" in this image, so their objects cannot be '
                f"identified; add a field {LINKS[0]} to the regions"
            )
        add_part(masks, frame, region_mask(region))

    def notes(self) -> list[str]:
        """Return what was understood and left out."""
        notes = []
        if boxes := self.kinds["box"] + self.kinds["video"]:
            notes.append(f"{count(boxes, 'region')} without a mask (box); the masks are unknown")
        if self.kinds[""]:
            notes.append(f"{count(self.kinds[''], 'region')} without an area left out")
        if self.unlinked:
            notes.append(f"{count(len(self.unlinked), 'region')} without an object id ignored")
        return notes + self.labels.notes()


def _pictures(file: Path, tasks: Sequence[Task]) -> Iterator[Frame] | None:
    pictures = [ImageEntry(place, task.name, *task.size) for place, task in enumerate(tasks) if task.size and task.name]
    return find_images(file, pictures, ("images", "")) if len(pictures) == len(tasks) else None


# Written files


def _written_clips(file: Path, tasks: Sequence[Task]) -> Iterator[Clip]:
    records = [record for task in tasks if (record := find_record(task.data, task.where)) is not None]
    for record in records:
        key = required(record, "key", str, f"{KEY}.")
        own = [task for task in tasks if task.data.get("clip") == key]
        yield Clip(key, partial(_restored, file, own, record), lambda: None)


def _restored(file: Path, tasks: Sequence[Task], record: Record) -> ClipTracks:
    with errors_in(file):
        info = parse_video(required(record, "video", dict, f"{KEY}."))
        masks: dict[int, dict[int, Rle]] = {}
        for task in tasks:
            frame = required(task.data, "frame", int, task.where)
            for region in task.regions or ():
                number = region.id.removeprefix(_REGION)
                if region.size != (info.height, info.width) or not number.isdecimal() or len(number) > 9:
                    raise FieldError(f"{region.where}not a region that was written; remove the key {KEY} to read it")
                mask = region_mask(region)
                if mask is not None and mask.area():
                    masks.setdefault(int(number), {})[frame] = mask
        return build_clip(info, record, {stored_kind(record): masks}, {}, (), NAME)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write the JSON; every clip fits."""
    with out.open("w", encoding="utf-8") as file:
        file.write("[")
        for place, task in enumerate(task for source in clips for task in _written_tasks(source, kind)):
            file.write((",\n" if place else "\n") + json.dumps(task, allow_nan=False))
        file.write("\n]\n")


def _written_tasks(source: Clip, kind: MaskKind) -> Iterator[Record]:
    clip = source.tracks()
    record = make_record(source.key, clip, range(1, len(clip.tracks) + 1), kind)
    for t, name in enumerate(frame_names(source.key, clip.video.frames)):
        data: Record = {"image": name, "clip": source.key, "frame": t, **({} if t else {KEY: record})}
        masks = [(n, track, masks_of(track, kind)[t]) for n, track in enumerate(clip.tracks, 1)]
        known = [(n, track, mask) for n, track, mask in masks if mask is not None]
        results = [_result(n, track.label, mask) for n, track, mask in known if mask.area()]
        yield {"data": data, "annotations": [{"result": results}] if known else []}


def _result(number: int, label: str | None, mask: Rle) -> dict[str, Any]:
    return {
        "id": f"{_REGION}{number}",
        "type": "brushlabels",
        "from_name": "tag",
        "to_name": "image",
        "original_width": mask.width,
        "original_height": mask.height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": encode_brush(mask.decode()),
            "brushlabels": [NAMELESS if label is None else label],
        },
    }

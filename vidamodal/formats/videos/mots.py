"""MOTS (Voigtlaender et al., CVPR 2019): masks of KITTI MOTS and MOTSChallenge as text. Read and written.

Rows ``frame id class height width rle``, as in ``instances_txt/0002.txt`` and ``<sequence>/gt/gt.txt``; see TrackEval's
description. An id is 1000 x class + instance; class 1 is car, 2 is pedestrian; others have no name. Masks are visible
masks, which never overlap. Frames count from 0 in KITTI MOTS and from 1 where there is a seqinfo.ini (MOTSChallenge);
see ``text_rows``. A frame counts as annotated if it has a row. Regions to ignore (id 10000, class 10) are left out, and
a note counts them; objects without a mask in their frames are unknown there. Where nothing states the frame rate, it is
assumed to be 10 frames per second.

The writer makes ``<key>.txt`` for each clip, with frames from 0, and a meta.json with the record of each clip (see
``clip_record``), with which it round-trips unchanged. Labels other than car and pedestrian get classes from 3 on, and
ids of another form are renumbered. Overlapping masks and more than 999 objects of a class are refused.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pycocotools import mask as coco

from vidamodal.formats.annotation_files import Record, count, errors_in
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext
from vidamodal.formats.build import ObjectLabels, mark_unknown
from vidamodal.formats.clip_record import KEY, build_clip, find_record, make_record, masks_of, stored_kind
from vidamodal.formats.json_layouts import load_json
from vidamodal.formats.videos.text_rows import Row, RowFormat, find_files, fit_of, place_rows, read_rows, sequence_clips
from vidamodal.formats.videos.writing import NAMELESS, description
from vidamodal.media.json_records import FieldError, check_type, contains_strings, optional, required
from vidamodal.media.listing import find_in_folder
from vidamodal.rle import areas, pack, shared_area
from vidamodal.tracks.check import MAX_PIXELS
from vidamodal.tracks.parse import parse_rle, parse_video
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, Rle

ID = "mots"
NAME = "MOTS"
SIGN = "a .txt with rows of frame, id, class, height, width and run lengths"
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = True, False
_FIRST_LINE = re.compile(r"[0-9]+ [0-9]+ [0-9]+ [0-9]+ [0-9]+ \S")
_PLACES = ("instances_txt/*.txt", "gt/gt.txt", "*/gt/gt.txt", "*.txt")
_META = "meta.json"
CLASSES = {1: "car", 2: "pedestrian"}
IGNORED_CLASS = 10
PER_CLASS = 1000
"""Ids of a class: its number times this, plus the number of the object."""


# Reading


def recognise(path: Path) -> Fit:
    """Match a file whose first line is frame, id, class, height, width and run lengths, or a folder with one."""
    return fit_of(path, _files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each file; its key is the name of the sequence."""
    return sequence_clips(path, _files(path), _tracks, video)


def _files(path: Path) -> list[Path]:
    if path.is_dir() and _is_ours(path):
        return find_in_folder(path, "*.txt")
    if path.suffix == ".txt" and path.is_file() and not path.stat().st_size and _is_ours(path.parent):
        return [path]
    return find_files(path, _PLACES, _FIRST_LINE)


def _is_ours(folder: Path) -> bool:
    return all(contains_strings(folder / _META, description(ID)))


def _tracks(file: Path, video: VideoContext | None) -> ClipTracks:
    rows = _Rows(file)
    record = _find_record(file)
    if record is not None:
        info = parse_video(required(record, "video", dict, f"{KEY}."))
        return build_clip(info, record, {stored_kind(record): rows.masks}, {}, (), NAME)
    placed = place_rows(file, rows.annotated, len(rows.masks), RowFormat(first=0, fps=10.0), video, rows.size)
    first = placed.first
    masks: dict[int, dict[int, Rle | None]] = {
        n: {t - first: mask for t, mask in of_object.items()} for n, of_object in rows.masks.items()
    }
    annotated = {t - first for t in rows.annotated}
    mark_unknown(masks.values(), {t - first for t in rows.ignored})
    clip = build_clip(placed.video, None, {"visible": masks}, rows.labels, annotated, NAME)
    notes = [f"{count(len(rows.ignored), 'region')} to ignore left out"] if rows.ignored else []
    notes += rows.labels.notes()
    return replace(clip, notes=(*placed.notes, *(f"{file.name}: {note}" for note in notes)))


class _Rows:
    """The content of a file, by number of the frame."""

    def __init__(self, file: Path) -> None:
        self.size: tuple[int, int] | None = None
        self.annotated: set[int] = set()
        self.masks: dict[int, dict[int, Rle]] = {}
        self.labels = ObjectLabels()
        self.ignored: list[int] = []
        """The frame of each region to ignore."""
        for row in read_rows(file, None, range(6, 7)):
            frame, kind = row.integer(0, "frame"), row.integer(2, "class")
            self.annotated.add(frame)
            mask = self._mask(row)
            if kind == IGNORED_CLASS:
                self.ignored.append(frame)
            else:
                self._add(row, frame, kind, mask)

    def _mask(self, row: Row) -> Rle:
        height, width = row.integer(3, "height"), row.integer(4, "width")
        self.size = self.size or (height, width)
        if (height, width) != self.size or not 0 < height * width <= MAX_PIXELS:
            raise FieldError(f"line {row.line}: a mask of {height} x {width} pixels, where the first has {self.size}")
        size = [height, width]
        return parse_rle({"size": size, "counts": row.fields[5]}, height, width, f"line {row.line}")

    def _add(self, row: Row, frame: int, kind: int, mask: Rle) -> None:
        number = row.integer(1, "id")
        if not 0 <= number <= MAX_TRACK_ID:
            raise FieldError(f"line {row.line}: the id {number} is not between 0 and {MAX_TRACK_ID}; renumber it")
        of_object = self.masks.setdefault(number, {})
        self.labels.add(number, CLASSES.get(kind))
        if frame in of_object:
            raise FieldError(f"line {row.line}: a second mask of object {number} in frame {frame}; keep one")
        if mask.area():
            of_object[frame] = mask


def _find_record(file: Path) -> Record | None:
    meta = file.with_name(_META)
    if not _is_ours(file.parent):
        return None
    with errors_in(meta):
        document = check_type(load_json(meta), dict, "its content")
        videos = required(document, "videos", dict)
        entry = optional(videos, file.stem, dict, "videos.")
        return None if entry is None else find_record(entry, f"videos.{file.stem}.")


# Writing


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write ``<key>.txt`` for each clip, and meta.json."""
    videos: dict[str, Record] = {}
    for source in clips:
        clip = source.tracks()
        _check_overlaps(source.key, clip, kind)
        numbers, classes = _numbers(source.key, clip)
        lines = list(_lines(clip, kind, numbers, classes))
        (out / f"{source.key}.txt").write_text("".join(lines), encoding="ascii")
        videos[source.key] = {KEY: make_record(source.key, clip, numbers, kind)}
    document = {"info": {"description": description(ID)}, "videos": videos}
    (out / _META).write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")


def _numbers(key: str, clip: ClipTracks) -> tuple[list[int], list[int]]:
    """The number of each track in the file, and its class."""
    named = {label: number for number, label in CLASSES.items()}
    free = (number for number in itertools.count(max(CLASSES) + 1) if number != IGNORED_CLASS)
    classes = [
        named[label] if label in named else named.setdefault(label, next(free))
        for label in (NAMELESS if track.label is None else track.label for track in clip.tracks)
    ]
    crowded = next((c for c, count in Counter(classes).items() if count >= PER_CLASS), None)
    if crowded is not None:
        raise InputError(f"clip {key}: more than {PER_CLASS - 1} objects of a class; choose the format sav or coco")
    ids = [track.id for track in clip.tracks]
    if all(number // PER_CLASS == c and number % PER_CLASS for number, c in zip(ids, classes, strict=True)):
        return ids, classes
    return [PER_CLASS * c + classes[:k].count(c) + 1 for k, c in enumerate(classes)], classes


def _lines(clip: ClipTracks, kind: MaskKind, numbers: list[int], classes: list[int]) -> Iterator[str]:
    height, width = clip.video.height, clip.video.width
    for t in range(clip.video.frames):
        for track, number, of_class in zip(clip.tracks, numbers, classes, strict=True):
            mask = masks_of(track, kind)[t]
            if mask is not None and mask.area():
                yield f"{t} {number} {of_class} {height} {width} {mask.counts}\n"


def _check_overlaps(key: str, clip: ClipTracks, kind: MaskKind) -> None:
    for t in range(clip.video.frames):
        known = {track.id: pack(mask) for track in clip.tracks if (mask := masks_of(track, kind)[t]) is not None}
        if not known or areas([coco.merge(list(known.values()))]).sum() == areas(list(known.values())).sum():
            continue
        pairs = itertools.combinations(known, 2)
        one, other = next((a, b) for a, b in pairs if shared_area(known[a], known[b]))
        raise InputError(
            f"clip {key}: MOTS holds one object per pixel, but tracks {one} and {other} overlap in frame {t}; choose "
            "the format sav or coco"
        )

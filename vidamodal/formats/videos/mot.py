"""MOTChallenge boxes (MOT15, MOT16, MOT17, MOT20, and CVAT's MOT export): one row per object and frame. Read only.

Rows of 7 to 10 values: frame, id, left, top, width, height, a flag or score, and for ground truth of 9 values the class
and the visibility. Frames, ids and coordinates count from 1. Boxes cover the whole person, occluded parts included, so
they are read as amodal boxes; all masks are unknown. Size and length come from the video, seqinfo.ini or the frames in
``img1`` (see ``text_rows``); ``labels.txt`` beside the file replaces the official classes. A path is one file, a
sequence with ``gt/gt.txt``, or a folder of either.

Rows of ground truth whose flag is 0 (static people, reflections, vehicles in MOT17) are left out, and a note counts
them. Detections without ids (-1) are refused. Without a seqinfo.ini, the frame rate is assumed to be 30 frames per
second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from vidamodal.formats.annotation_files import count
from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.build import ObjectLabels
from vidamodal.formats.videos.text_rows import (
    Row,
    RowFormat,
    box_track,
    find_files,
    fit_of,
    place_rows,
    read_lines,
    read_rows,
    sequence_clips,
)
from vidamodal.media.json_records import FieldError
from vidamodal.types import MAX_TRACK_ID, Box, ClipTracks

ID = "mot"
NAME = "MOTChallenge"
SIGN = "a .txt with rows frame,id,left,top,width,height,score,..., or gt/gt.txt"
_NUMBER = r"\s*-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*"
_FIRST_LINE = re.compile(rf"{_NUMBER}(,{_NUMBER}){{6,9}}(\n|\r|$)")
_PLACES = ("gt/gt.txt", "*/gt/gt.txt", "*.txt")
_TRUTH = 9
"""Number of values in ground truth with classes."""
_CLASSES = (
    "pedestrian",
    "person on vehicle",
    "car",
    "bicycle",
    "motorbike",
    "non motorized vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "occluder full",
    "reflection",
)


def recognise(path: Path) -> Fit:
    """Match a file whose first line is 7 to 10 numbers with commas, or a folder with one."""
    return fit_of(path, find_files(path, _PLACES, _FIRST_LINE))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each file; its key is the name of the sequence."""
    return sequence_clips(path, find_files(path, _PLACES, _FIRST_LINE), _tracks, video)


def _tracks(file: Path, video: VideoContext | None) -> ClipTracks:
    names = read_lines(file.with_name("labels.txt")) or _CLASSES
    boxes: dict[int, dict[int, Box]] = {}
    labels = ObjectLabels()
    ignored = 0
    for row in read_rows(file, ",", range(7, 11)):
        number, frame = row.integer(1, "id"), row.integer(0, "frame")
        if not 0 <= number <= MAX_TRACK_ID:
            raise FieldError(f"line {row.line}: id {number} is not a track id (detections?). Pass tracks.")
        if len(row.fields) == _TRUTH and row.number(6, "flag") == 0:
            ignored += 1
            continue
        of_object = boxes.setdefault(number, {})
        if frame in of_object:
            raise FieldError(f"line {row.line}: a second box of object {number} in frame {frame}; keep one")
        of_object[frame] = _box(row)
        labels.add(number, _label(row, names))
    frames = {frame for of_object in boxes.values() for frame in of_object}
    placed = place_rows(file, frames, len(boxes), RowFormat(first=1, fps=30.0), video)
    notes = [
        f"{file.name}: boxes of {count(len(boxes), 'object')}, read as amodal boxes; masks are unknown",
        *placed.notes,
    ]
    if ignored:
        notes.append(f"{file.name}: {count(ignored, 'row')} with flag 0 left out, which the benchmark ignores")
    notes += [f"{file.name}: {note}" for note in labels.notes()]
    tracks = tuple(box_track(number, labels[number], boxes[number], placed) for number in sorted(boxes))
    return ClipTracks(placed.video, tracks, provenance={"layout": NAME}, notes=tuple(notes))


def _box(row: Row) -> Box:
    left, top, width, height = (row.number(k, "box") for k in range(2, 6))
    if width <= 0 or height <= 0:
        raise FieldError(f"line {row.line}: a box of {width:g} x {height:g} pixels; remove it")
    return left - 1, top - 1, left - 1 + width, top - 1 + height


def _label(row: Row, names: tuple[str, ...] | list[str]) -> str | None:
    if len(row.fields) != _TRUTH:
        return None
    place = row.integer(7, "class") - 1
    return names[place] if 0 <= place < len(names) else None

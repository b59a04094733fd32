"""KITTI's tracking labels (``label_02/0000.txt``): one row per object and frame. Read only.

Rows of 17 values, or 18 with a score: frame (from 0), id, type, truncated, occluded, alpha, then left, top, right and
bottom of the box in pixels, and the box in space, which is not read. Boxes cover the occluded parts of an object, but
end at the border of the image; they are read as amodal boxes, and a note says so. The levels of occlusion (0 to 3) are
kept, and whether an object is truncated. All masks are unknown. Size and length come from the video or from the frames
in ``image_02`` (see ``text_rows``).

Rows of regions (DontCare) and of objects that the benchmark ignores at the ends of tracks (truncated is 2) are left
out, and a note counts them. The frame rate is assumed to be 10 frames per second, the rate of the recordings. Labels of
single images (``label_2``) have no ids and are not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vidamodal.formats.annotation_files import count
from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.build import ObjectLabels
from vidamodal.formats.videos.text_rows import (
    Placement,
    Row,
    RowFormat,
    box_track,
    find_files,
    fit_of,
    place_rows,
    read_rows,
    sequence_clips,
)
from vidamodal.media.json_records import FieldError
from vidamodal.types import MAX_TRACK_ID, Box, ClipTracks, Track

ID = "kitti"
NAME = "KITTI tracking"
SIGN = "label_02/0000.txt with rows of frame, id, type, truncated, occluded, ..."
_FIRST_LINE = re.compile(r"[0-9]+ +-?[0-9]+ +[A-Za-z_]+( +-?[0-9.]+(e[-+]?[0-9]+)?){14,15} *(\n|\r|$)")
_PLACES = ("training/label_02/*.txt", "label_02/*.txt", "*.txt")
_IGNORED_TRUNCATION = 2


def recognise(path: Path) -> Fit:
    """Match a file whose first line is frame, id, type and 14 or 15 numbers, or a folder with one."""
    return fit_of(path, find_files(path, _PLACES, _FIRST_LINE))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each file; its key is the name of the file."""
    return sequence_clips(path, find_files(path, _PLACES, _FIRST_LINE), _tracks, video)


def _tracks(file: Path, video: VideoContext | None) -> ClipTracks:
    objects: dict[int, dict[int, _State]] = {}
    labels = ObjectLabels()
    left_out: Counter[str] = Counter()
    for row in read_rows(file, None, range(17, 19)):
        number, frame, kind = row.integer(1, "id"), row.integer(0, "frame"), row.fields[2]
        truncation = row.number(3, "truncation")
        if kind == "DontCare" or truncation == _IGNORED_TRUNCATION:
            left_out["DontCare" if kind == "DontCare" else "truncated is 2"] += 1
            continue
        if not 0 <= number <= MAX_TRACK_ID:
            raise FieldError(f"line {row.line}: id {number} is not a track id (detections?). Pass tracks.")
        of_object = objects.setdefault(number, {})
        if frame in of_object:
            raise FieldError(f"line {row.line}: a second box of object {number} in frame {frame}; keep one")
        level = row.integer(4, "occlusion")
        of_object[frame] = _State(_box(row), level if level in range(4) else None, truncation > 0)
        labels.add(number, kind)
    frames = {frame for of_object in objects.values() for frame in of_object}
    placed = place_rows(file, frames, len(objects), RowFormat(first=0, fps=10.0), video)
    notes = (
        f"{file.name}: boxes of {count(len(objects), 'object')}, read as amodal boxes that end at the border of the "
        "image; masks are unknown",
        *placed.notes,
        *(f"{file.name}: {count(number, 'row')} left out ({reason})" for reason, number in sorted(left_out.items())),
    )
    notes += tuple(f"{file.name}: {note}" for note in labels.notes())
    tracks = tuple(_track(number, labels[number], objects[number], placed) for number in sorted(objects))
    return ClipTracks(placed.video, tracks, provenance={"layout": NAME}, notes=notes)


@dataclass(frozen=True)
class _State:
    """An object in one frame."""

    box: Box
    occlusion: int | None
    is_truncated: bool


def _track(number: int, label: str | None, states: Mapping[int, _State], placed: Placement) -> Track:
    entries = [states.get(t) for t in placed.numbers]
    return replace(
        box_track(number, label, {t: state.box for t, state in states.items()}, placed),
        occlusion=tuple(None if state is None else state.occlusion for state in entries),
        truncated=tuple(None if state is None else state.is_truncated for state in entries),
    )


def _box(row: Row) -> Box:
    left, top, right, bottom = (row.number(k, "box") for k in range(6, 10))
    if left >= right or top >= bottom:
        raise FieldError(f"line {row.line}: an empty box; remove it")
    return left, top, right, bottom

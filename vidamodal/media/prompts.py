"""Point and box prompts: JSON files that select objects in a video.

    {"objects": [{"id": 1, "frame": 0, "points": [[x, y], ...], "labels": [1, 0, ...]}, ...]}
    {"objects": [{"id": 1, "frame": 0, "box": [x0, y0, x1, y1]}, ...]}

Coordinates are in pixels, x to the right and y down from the upper left corner of the image; frames count from 0.
A label is 1 for a point on the object and 0 for a point outside it; without labels, all points are on the object.
Each object appears once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidamodal.media.json_records import FieldError, check_type, excerpt, required
from vidamodal.types import MAX_TRACK_ID, InputError, VideoInfo

PromptKind = Literal["points", "boxes"]
_KEYS = {"points": {"id", "frame", "points", "labels"}, "boxes": {"id", "frame", "box"}}


@dataclass(frozen=True)
class Prompt:
    """Points or a box that select an object in one frame.

    Attributes:
        id: Track id of the object.
        frame: Frame number, from 0.
        points: Points (x, y) in pixels; empty for a box.
        labels: One label per point: 1 on the object, 0 outside it.
        box: (x0, y0, x1, y1) in pixels; None for points.
    """

    id: int
    frame: int
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None


def read_prompts(path: str | os.PathLike[str], kind: PromptKind, video: VideoInfo) -> tuple[Prompt, ...]:
    """Read a file of point or box prompts.

    Args:
        path: The JSON file.
        kind: The kind of prompts that the file must hold.
        video: The video that the prompts refer to.

    Raises:
        InputError: The file cannot be read, or a prompt is malformed or lies outside the video.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a JSON file of {kind}: {error}") from error
    try:
        prompts = _parse(document, kind, video)
    except FieldError as error:
        raise InputError(f"{path}: {error}") from error
    if not prompts:
        raise InputError(f"{path}: the list of objects is empty. Add at least one object.")
    return prompts


def _parse(document: Any, kind: PromptKind, video: VideoInfo) -> tuple[Prompt, ...]:
    record = check_type(document, dict, f"the file of {kind}")
    _refuse_unknown_keys(record, {"objects"}, "")
    prompts: dict[int, Prompt] = {}
    for place, entry in enumerate(required(record, "objects", list)):
        where = f"objects[{place}]"
        _refuse_unknown_keys(check_type(entry, dict, where), _KEYS[kind], f"{where}.")
        prompt = _parse_prompt(entry, kind, video, f"{where}.")
        if prompt.id in prompts:
            raise FieldError(f"{where}.id: {prompt.id} appears twice; list each object once")
        prompts[prompt.id] = prompt
    return tuple(prompts.values())


def _parse_prompt(entry: Mapping[str, Any], kind: PromptKind, video: VideoInfo, where: str) -> Prompt:
    number, frame = required(entry, "id", int, where), required(entry, "frame", int, where)
    if not 0 <= number <= MAX_TRACK_ID:
        raise FieldError(f"{where}id must be between 0 and {MAX_TRACK_ID}, not {excerpt(number)}")
    if not 0 <= frame < video.frames:
        raise FieldError(f"{where}frame is {frame}, but {video.path} has the frames 0 to {video.frames - 1}")
    if kind == "boxes":
        return Prompt(number, frame, box=_parse_box(entry, video, where))
    return Prompt(number, frame, *_parse_points(entry, video, where))


def _parse_box(entry: Mapping[str, Any], video: VideoInfo, where: str) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _parse_coordinates(required(entry, "box", list, where), 4, video, f"{where}box")
    if not (x0 < x1 and y0 < y1):
        raise FieldError(f"{where}box must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1, not {excerpt(entry['box'])}")
    return x0, y0, x1, y1


def _parse_points(
    entry: Mapping[str, Any], video: VideoInfo, where: str
) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    points = []
    for k, pair in enumerate(required(entry, "points", list, where)):
        x, y = _parse_coordinates(check_type(pair, list, f"{where}points[{k}]"), 2, video, f"{where}points[{k}]")
        points.append((x, y))
    labels = required(entry, "labels", list, where) if "labels" in entry else [1] * len(points)
    if len(labels) != len(points):
        raise FieldError(f"{where}labels has {len(labels)} entries for {len(points)} points")
    if any(type(label) is not int or label not in (0, 1) for label in labels):
        raise FieldError(f"{where}labels must be 1 (on the object) or 0 (outside it), not {excerpt(labels)}")
    if 1 not in labels:
        raise FieldError(f"{where}points needs at least one point on the object")
    return tuple(points), tuple(labels)


def _parse_coordinates(values: list[Any], count: int, video: VideoInfo, where: str) -> list[float]:
    """Return x, y, x, y, ... after checking that they lie inside the image."""
    if len(values) != count:
        raise FieldError(f"{where} must hold {count} numbers, not {len(values)}")
    numbers = [check_type(value, (int, float), where) for value in values]
    if not all(0 <= v <= (video.height if k % 2 else video.width) for k, v in enumerate(numbers)):  # refuses NaN, too
        raise FieldError(
            f"{where} must lie inside the image of {video.width} x {video.height} pixels, not {excerpt(values)}"
        )
    return list(map(float, numbers))


def _refuse_unknown_keys(record: Mapping[str, Any], keys: set[str], where: str) -> None:
    if unknown := sorted(record.keys() - keys):
        raise FieldError(f"{where}{unknown[0]} is not a known key; the keys are {', '.join(sorted(keys))}")

"""Points and boxes that say which objects of a video are meant: JSON files of a strict form.

    {"objects": [{"id": 1, "frame": 0, "points": [[x, y], ...], "labels": [1, 0, ...]}, ...]}
    {"objects": [{"id": 1, "frame": 0, "box": [x0, y0, x1, y1]}, ...]}

Pixels, x to the right and y down from the image's upper left corner; frames count from 0. A label is 1 for a point on
the object and 0 for one beside it; without labels all are on it. Each object stands there once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidamodal.formats._tracks_json import MAX_ID
from vidamodal.media.json_records import Breach, need, shown, typed
from vidamodal.types import InputError, VideoInfo

Kind = Literal["points", "boxes"]
_KEYS = {"points": {"id", "frame", "points", "labels"}, "boxes": {"id", "frame", "box"}}


@dataclass(frozen=True)
class Prompt:
    """What shows an object in one frame: a box (x0, y0, x1, y1), or points (x, y) with labels, in pixels."""

    id: int
    frame: int
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None


def read_prompts(path: str | os.PathLike[str], kind: Kind, video: VideoInfo) -> tuple[Prompt, ...]:
    """The prompts of a file of points or of boxes. InputError unless all of it fits the form and the video."""
    try:
        document = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a JSON file of {kind}: {error}") from error
    try:
        prompts = _prompts(document, kind, video)
    except Breach as error:
        raise InputError(f"{path}: {error}") from error
    if not prompts:
        raise InputError(f"{path}: names no object; give at least one")
    return prompts


def _prompts(document: Any, kind: Kind, video: VideoInfo) -> tuple[Prompt, ...]:
    record = _only(typed(document, dict, f"the file of {kind}"), {"objects"}, "")
    prompts: dict[int, Prompt] = {}
    for place, entry in enumerate(need(record, "objects", list)):
        where = f"objects[{place}]"
        prompt = _prompt(_only(typed(entry, dict, where), _KEYS[kind], f"{where}."), kind, video, f"{where}.")
        if prompt.id in prompts:
            raise Breach(f"{where}.id: {prompt.id} stands there twice; give each object once")
        prompts[prompt.id] = prompt
    return tuple(prompts.values())


def _prompt(entry: Mapping[str, Any], kind: Kind, video: VideoInfo, where: str) -> Prompt:
    number, frame = need(entry, "id", int, where), need(entry, "frame", int, where)
    if not 0 <= number <= MAX_ID:
        raise Breach(f"{where}id must lie between 0 and {MAX_ID}, not at {shown(number)}")
    if not 0 <= frame < video.frames:
        raise Breach(f"{where}frame is {frame}, but {video.path} has the frames 0 to {video.frames - 1}")
    if kind == "boxes":
        x0, y0, x1, y1 = _numbers(need(entry, "box", list, where), 4, video, f"{where}box")
        if not (x0 < x1 and y0 < y1):
            raise Breach(f"{where}box must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1, not {shown(entry['box'])}")
        return Prompt(number, frame, box=(x0, y0, x1, y1))
    points = []
    for k, pair in enumerate(need(entry, "points", list, where)):
        x, y = _numbers(typed(pair, list, f"{where}points[{k}]"), 2, video, f"{where}points[{k}]")
        points.append((x, y))
    labels = need(entry, "labels", list, where) if "labels" in entry else [1] * len(points)
    if len(labels) != len(points):
        raise Breach(f"{where}labels has {len(labels)} entries for {len(points)} points")
    if any(type(label) is not int or label not in (0, 1) for label in labels):
        raise Breach(f"{where}labels must be 1 (on the object) or 0 (beside it), not {shown(labels)}")
    if 1 not in labels:
        raise Breach(f"{where}points needs at least one point on the object")
    return Prompt(number, frame, tuple(points), tuple(labels))


def _only(record: dict[str, Any], keys: set[str], where: str) -> dict[str, Any]:
    """The record. Breach if it has other keys."""
    if unknown := sorted(record.keys() - keys):
        raise Breach(f"{where}{unknown[0]} is not known; there may be {', '.join(sorted(keys))}")
    return record


def _numbers(values: list[Any], count: int, video: VideoInfo, where: str) -> list[float]:
    """x, y, x, y and so on, inside the image."""
    if len(values) != count:
        raise Breach(f"{where} must hold {count} numbers, not {len(values)}")
    told = [typed(value, (int, float), where) for value in values]
    if not all(0 <= v <= (video.height if k % 2 else video.width) for k, v in enumerate(told)):  # which NaN is not
        raise Breach(f"{where} must lie in the image of {video.width} x {video.height} pixels, not {shown(values)}")
    return list(map(float, told))

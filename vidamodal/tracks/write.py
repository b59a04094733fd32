"""Writing of tracks.json: the same content always gives the same bytes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vidamodal.media.files import atomic_file
from vidamodal.tracks.check import DECIMALS, Masks, check_clip
from vidamodal.tracks.parse import FORMAT, VERSION
from vidamodal.types import ClipTracks, Rle, Track

_BATCH = 100
"""Masks that are written at a time."""


def write_tracks(path: str | os.PathLike[str], clip: ClipTracks) -> None:
    """Write a tracks.json atomically, a part of a track at a time; its folder is created if necessary.

    Args:
        path: The file, of any name.
        clip: The tracks of one video.

    Raises:
        ValueError: The clip breaks a rule of the format; nothing is written.
    """
    check_clip(clip)
    with atomic_file(path) as temporary, temporary.open("w", encoding="ascii", newline="") as file:
        file.writelines(_pieces(clip))


def dumps_tracks(clip: ClipTracks) -> str:
    """Return the text of a tracks.json: ASCII, one line for each track and each frame of the order.

    Numbers have four decimals.

    Raises:
        ValueError: The clip breaks a rule of the format.
    """
    check_clip(clip)
    return "".join(_pieces(clip))


def _pieces(clip: ClipTracks) -> Iterator[str]:
    """The text in pieces, so that that of a long video need not fit into memory."""
    video = clip.video
    head = {"path": video.path, "height": video.height, "width": video.width, "frames": video.frames}
    canvas = {} if video.canvas is None else {"canvas": video.canvas}
    yield f'{{"format": {_json(FORMAT)}, "version": {VERSION},\n'
    yield f' "video": {_json({**head, "fps": _rounded(video.fps), **canvas})},\n'
    yield f' "exhaustive": {_json(clip.exhaustive)},\n "tracks": '
    yield from _lines(_track_pieces(track) for track in clip.tracks)
    if clip.order is not None:
        yield ',\n "order": '
        yield from _lines((_json(pairs),) for pairs in clip.order)
    if clip.provenance:
        yield f',\n "provenance": {json.dumps(clip.provenance, sort_keys=True, allow_nan=False)}'
    yield "}\n"


def rle_record(mask: Rle) -> dict[str, Any]:
    """Return a mask as a JSON object in COCO's compressed form."""
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def _track_pieces(track: Track) -> Iterator[str]:
    yield f'{{"id":{_json(track.id)}'
    if track.label is not None:
        yield f',"label":{_json(track.label)}'
    for name in ("visible", "amodal", "amodal_full"):
        masks: Masks | None = getattr(track, name)
        if masks is not None:
            yield f',"{name}":'
            yield from _mask_pieces(masks)
    for name in ("confidence", "present"):
        values: Sequence[float | None] | None = getattr(track, name)
        if values is not None:
            yield f',"{name}":{_json([None if value is None else _rounded(value) for value in values])}'
    if track.boxes is not None:
        boxes = [None if box is None else [_rounded(value) for value in box] for box in track.boxes]
        yield f',"boxes":{_json(boxes)}'
    if track.occlusion is not None:
        yield f',"occlusion":{_json(track.occlusion)}'
    if track.truncated is not None:
        yield f',"truncated":{_json(track.truncated)}'
    if track.hypotheses:
        yield ',"hypotheses":['
        for place, hypothesis in enumerate(track.hypotheses):
            yield f'{"," if place else ""}{{"score":{_json(_rounded(hypothesis.score))},"amodal":'
            yield from _mask_pieces(hypothesis.amodal)
            yield "}"
        yield "]"
    yield "}"


def _mask_pieces(masks: Masks) -> Iterator[str]:
    yield "["
    for start in range(0, len(masks), _BATCH):
        records = [None if mask is None else rle_record(mask) for mask in masks[start : start + _BATCH]]
        # Counts can begin like a Windows path ("e:\"). The escape keeps searches for absolute paths from matching them.
        text = re.sub(r'("counts":"[A-Za-z]:)\\\\', r"\1\\u005c", _json(records))
        yield f"{',' if start else ''}{text[1:-1]}"
    yield "]"


def _lines(items: Iterable[Iterable[str]]) -> Iterator[str]:
    """The pieces of a list with an item on each line."""
    start = "[\n  "
    for item in items:
        yield start
        yield from item
        start = ",\n  "
    yield "[]" if start[0] == "[" else "]"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)

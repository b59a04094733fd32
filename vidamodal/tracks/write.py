"""Writing of tracks.json: the same content always gives the same bytes."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from vidamodal.media.files import write_text
from vidamodal.tracks.check import DECIMALS, Masks, check_clip
from vidamodal.tracks.parse import FORMAT, VERSION
from vidamodal.types import ClipTracks, Rle, Track


def write_tracks(path: str | os.PathLike[str], clip: ClipTracks) -> None:
    """Write a tracks.json atomically; its folder is created if necessary.

    Args:
        path: The file, of any name.
        clip: The tracks of one video.

    Raises:
        ValueError: The clip breaks a rule of the format; nothing is written.
    """
    write_text(path, dumps_tracks(clip))


def dumps_tracks(clip: ClipTracks) -> str:
    """Return the text of a tracks.json: ASCII, one line for each track and each frame of the order.

    Numbers have four decimals.

    Raises:
        ValueError: The clip breaks a rule of the format.
    """
    check_clip(clip)
    video = clip.video
    head = {"path": video.path, "height": video.height, "width": video.width, "frames": video.frames}
    canvas = {} if video.canvas is None else {"canvas": video.canvas}
    members = [
        f'"format": {_json(FORMAT)}, "version": {VERSION}',
        f'"video": {_json({**head, "fps": _rounded(video.fps), **canvas})}',
        f'"exhaustive": {_json(clip.exhaustive)}',
        f'"tracks": {_lines([_track_line(track) for track in clip.tracks])}',
    ]
    if clip.order is not None:
        members.append(f'"order": {_lines([_json(pairs) for pairs in clip.order])}')
    if clip.provenance:
        members.append(f'"provenance": {json.dumps(clip.provenance, sort_keys=True, allow_nan=False)}')
    return "{" + ",\n ".join(members) + "}\n"


def rle_record(mask: Rle) -> dict[str, Any]:
    """Return a mask as a JSON object in COCO's compressed form."""
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def _track_line(track: Track) -> str:
    record: dict[str, Any] = {"id": track.id}
    if track.label is not None:
        record["label"] = track.label
    record["visible"] = _records(track.visible)
    if track.amodal is not None:
        record["amodal"] = _records(track.amodal)
    if track.amodal_full is not None:
        record["amodal_full"] = _records(track.amodal_full)
    if track.confidence is not None:
        record["confidence"] = [None if value is None else _rounded(value) for value in track.confidence]
    if track.present is not None:
        record["present"] = [None if value is None else _rounded(value) for value in track.present]
    if track.boxes is not None:
        record["boxes"] = [None if box is None else [_rounded(value) for value in box] for box in track.boxes]
    if track.occlusion is not None:
        record["occlusion"] = track.occlusion
    if track.truncated is not None:
        record["truncated"] = track.truncated
    if track.hypotheses:
        record["hypotheses"] = [{"score": _rounded(h.score), "amodal": _records(h.amodal)} for h in track.hypotheses]
    # Counts can begin like a Windows path ("e:\"). The escape keeps searches for absolute paths from matching them.
    return re.sub(r'("counts":"[A-Za-z]:)\\\\', r"\1\\u005c", _json(record))


def _records(masks: Masks) -> list[dict[str, Any] | None]:
    return [None if mask is None else rle_record(mask) for mask in masks]


def _lines(items: list[str]) -> str:
    return "[\n  " + ",\n  ".join(items) + "]" if items else "[]"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)

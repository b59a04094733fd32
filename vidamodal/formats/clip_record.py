"""The record of a clip inside files of other formats, with which the clip is read back unchanged.

Most formats hold less than a clip: they do not distinguish unknown from empty masks and have no order. Written files
therefore carry the rest in an additional key (``KEY``): a tracks.json with 1, 0 (empty) and null in place of masks.
Other tools ignore it; our readers put the masks of the file back in. Without a record, ``build.build_tracks`` decides
what the absence of a mask means.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidamodal.formats.annotation_files import Record
from vidamodal.formats.base import Clip, MaskKind
from vidamodal.formats.build import MasksByFrame, build_tracks, unite_visible
from vidamodal.media.json_records import FieldError, check_type, optional, required
from vidamodal.tracks.parse import FORMAT, VERSION, parse_tracks, parse_video
from vidamodal.tracks.write import dumps_tracks, rle_record
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, Rle, Track, VideoInfo

KEY = "vidamodal"
_KINDS = ("visible", "amodal", "amodal_full")

MasksByKind = Mapping[str, Mapping[int, MasksByFrame]]
"""Masks with a pixel, by kind (a field of ``Track``), by the object's number in the file, and by frame."""


def make_record(key: str, clip: ClipTracks, numbers: Iterable[int], kind: MaskKind | None = None) -> Record:
    """Return the record of a clip.

    Args:
        key: The key of the clip.
        clip: The clip.
        numbers: The numbers of its tracks in the file.
        kind: The masks in a file with one mask per object.
    """
    document = json.loads(dumps_tracks(clip))
    del document["format"], document["version"]  # or the file would be taken for a tracks.json
    for number, record, track in zip(numbers, document["tracks"], clip.tracks, strict=True):
        record["number"] = number
        for name in _KINDS:
            if name in record:
                record[name] = [None if mask is None else int(mask.area() > 0) for mask in getattr(track, name)]
    return {"key": key, **({} if kind is None else {"kind": kind}), **document}


def find_record(holder: Mapping[str, Any], where: str) -> Record | None:
    """Return the record in a JSON object; None in files of other programs."""
    record: Record | None = optional(holder, KEY, dict, where)
    return record


def stored_kind(record: Record | None) -> MaskKind:
    """Return the kind of the masks in a file with one mask per object; "visible" if it is not stated."""
    return "amodal" if record is not None and record.get("kind") == "amodal" else "visible"


def build_clip(
    video: VideoInfo,
    record: Record | None,
    masks: MasksByKind,
    labels: Mapping[int, str | None],
    annotated: Container[int],
    format_name: str,
) -> ClipTracks:
    """Return the clip of a file's masks: as it was written if there is a record, else with unknown frames as None.

    Args:
        video: The video.
        record: The record in the file.
        masks: The masks in the file.
        labels: The labels of all objects by number, without a record.
        annotated: The frames in which an object without a mask is known to be occluded or absent, without a record.
        format_name: The format, for the provenance.

    Raises:
        FieldError: The record does not belong to these masks, or a number cannot be an id.
    """
    if record is not None:
        return _restored(record, masks)
    bad = next((number for number in labels if not 0 <= number <= MAX_TRACK_ID), None)
    if bad is not None:
        raise FieldError(f"the track id {bad} is not between 0 and {MAX_TRACK_ID}; number the tracks anew")

    def tracks(kind: str) -> Iterable[Track]:
        return build_tracks(video, annotated, {n: masks.get(kind, {}).get(n, {}) for n in labels})

    built = [replace(track, label=labels[track.id]) for track in tracks("visible")]
    if "amodal" in masks:
        built = [replace(t, amodal=whole.visible) for t, whole in zip(built, tracks("amodal"), strict=True)]
    return unite_visible(ClipTracks(video, tuple(built)), format_name)


def _restored(record: Record, masks: MasksByKind) -> ClipTracks:
    video = parse_video(required(record, "video", dict, f"{KEY}."))
    tracks, listed = [], set()
    for place, entry in enumerate(required(record, "tracks", list, f"{KEY}.")):
        where = f"{KEY}.tracks[{place}]"
        track = dict(check_type(entry, dict, where))
        number = required(track, "number", int, f"{where}.")
        listed.add(number)
        for name in _KINDS:
            states = optional(track, name, list, f"{where}.") or []
            of_object = masks.get(name, {}).get(number, {})
            if {t for t, state in enumerate(states) if state == 1} != {t for t, mask in of_object.items() if mask}:
                raise _changed(f"the {name} masks of object {number} are not in the frames that {where} lists")
            if states:
                empty = Rle.empty(*(video.canvas_size if name == "amodal_full" else (video.height, video.width)))
                full = [of_object[t] if state == 1 else empty if state == 0 else None for t, state in enumerate(states)]
                track[name] = [mask and rle_record(mask) for mask in full]
        tracks.append(track)
    added = next((n for of_kind in masks.values() for n, found in of_kind.items() if found and n not in listed), None)
    if added is not None:
        raise _changed(f"{KEY}.tracks does not list the masks of object {added}")
    return parse_tracks({**record, "format": FORMAT, "version": VERSION, "tracks": tracks})


def _changed(what: str) -> FieldError:
    return FieldError(f'{what}; if they were changed on purpose, remove all keys "{KEY}" from the file')


def masks_of(track: Track, kind: MaskKind) -> tuple[Rle | None, ...]:
    """Return the visible or the amodal masks of a track; all None if it has no amodal masks."""
    return track.visible if kind == "visible" else track.amodal or (None,) * len(track.visible)


def clips_by_key(clips: Iterable[Clip], source: Path) -> dict[str, Clip]:
    """Return clips by key.

    Raises:
        InputError: Two clips have the same key, or there is none.
    """
    found: dict[str, Clip] = {}
    for clip in clips:
        if clip.key in found:
            raise InputError(f"{source}: two videos with the key {clip.key!r}; rename one of them")
        found[clip.key] = clip
    if not found:
        raise InputError(f"{source}: no video in it; pass a file with videos")
    return found

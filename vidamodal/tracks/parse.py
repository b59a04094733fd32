"""Parsing of tracks.json.

pycocotools returns uninitialised memory for run lengths that do not fill the mask. They are therefore decoded and
summed here before pycocotools sees them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from vidamodal.media.json_records import FieldError, check_type, contains_strings, excerpt, optional, required
from vidamodal.rle import run_lengths
from vidamodal.tracks.check import Masks, check_clip, check_video
from vidamodal.types import Box, ClipTracks, FrameOrder, Hypothesis, InputError, Rle, Track, VideoInfo

FORMAT = "vidamodal-tracks"
VERSION = 1
MAX_BYTES = 2**30
"""Largest JSON file that is read."""

T = TypeVar("T")


def is_tracks(path: str | os.PathLike[str]) -> bool:
    """Return True if a file declares the format, whatever its name. Its content may still be invalid."""
    return all(contains_strings(Path(path), FORMAT))


def read_tracks(path: str | os.PathLike[str]) -> ClipTracks:
    """Read and check a tracks.json.

    Args:
        path: The file.

    Returns:
        The tracks of one video, unchanged.

    Raises:
        InputError: The file is missing or invalid; the message names the place of the first error.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: a folder; pass the path of a tracks.json")
    if not path.is_file():
        raise InputError(f"{path}: no such file; pass the path of a tracks.json")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB; split the video into shorter clips")
    return loads_tracks(path.read_bytes(), str(path))


def loads_tracks(text: str | bytes, name: str) -> ClipTracks:
    """Parse the text of a tracks.json. Unknown keys are ignored.

    Args:
        text: The content of the file; bytes are UTF-8.
        name: The name of the file, which begins every error message.

    Raises:
        InputError: The text is not a valid tracks.json.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        document = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text (byte {error.start}); pass a tracks.json") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON ({error or 'nested too deeply'}); pass a tracks.json") from None
    try:
        return parse_tracks(document)
    except FieldError as error:
        raise InputError(f"{name}: {error}") from None


def parse_tracks(document: Any) -> ClipTracks:
    """Return the clip in the parsed JSON of a tracks.json.

    Raises:
        FieldError: The document is invalid; the message names the first place.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FieldError(
            f'not a tracks.json (its "format" is not "{FORMAT}"); pass one, or masks in another known format'
        )
    if document.get("version") != VERSION or isinstance(document["version"], bool):
        raise FieldError(
            f"version {excerpt(document.get('version'))} of {FORMAT}; this program reads version {VERSION}"
        )
    video = parse_video(required(document, "video", dict))
    order = optional(document, "order", list)
    clip = ClipTracks(
        video=video,
        tracks=tuple(_track(track, place, video) for place, track in enumerate(required(document, "tracks", list))),
        exhaustive=bool(optional(document, "exhaustive", bool)),
        order=None if order is None else tuple(_frame_order(pairs, t) for t, pairs in enumerate(order)),
        provenance=optional(document, "provenance", dict) or {},
    )
    check_clip(clip)
    return clip


def parse_video(record: dict[str, Any]) -> VideoInfo:
    """Return the ``video`` of a tracks.json.

    Raises:
        FieldError: A value is missing or outside the accepted range.
    """
    video = VideoInfo(
        path=required(record, "path", str, "video."),
        height=required(record, "height", int, "video."),
        width=required(record, "width", int, "video."),
        frames=required(record, "frames", int, "video."),
        fps=_number(required(record, "fps", (int, float), "video."), "video.fps"),
        canvas=_canvas(optional(record, "canvas", list, "video.")),
    )
    check_video(video)
    return video


def parse_rle(entry: Any, height: int, width: int, where: str) -> Rle:
    """Return a compressed RLE of a known size, checked and in the normal form that pycocotools writes.

    Args:
        entry: The parsed JSON of the mask.
        height: Expected height in pixels.
        width: Expected width in pixels.
        where: The place in the file, which begins every error message.

    Raises:
        FieldError: The entry is not such a mask.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("counts"), str):
        raise FieldError(f'{where} must be null or {{"size": [h, w], "counts": "..."}}, not {excerpt(entry)}')
    if entry.get("size") != [height, width]:
        raise FieldError(f"{where}: size {excerpt(entry.get('size'))}, but the video is [{height}, {width}]")
    try:
        runs = run_lengths(entry["counts"])
    except ValueError as error:
        raise FieldError(f"{where}: {error}; write the mask again as COCO's compressed RLE") from None
    if runs.sum() != height * width:
        raise FieldError(
            f"{where}: the counts sum to {runs.sum()}, not to {height} x {width} = {height * width} pixels"
        )
    rle = Rle(height, width, entry["counts"])
    return Rle.encode(rle.decode()) if (runs[1:] == 0).any() else rle  # pycocotools' boxes go wrong on empty runs


def parse_box(entry: Any, where: str) -> Box:
    """Return a box (x0, y0, x1, y1) in pixels from a list of four numbers.

    Args:
        entry: The parsed JSON of the box.
        where: The place in the file, which begins every error message.

    Raises:
        FieldError: The entry is not such a list.
    """
    if len(check_type(entry, list, where)) != 4:
        raise FieldError(f"{where} must be [x0, y0, x1, y1], not {excerpt(entry)}")
    x0, y0, x1, y1 = (_number(value, where) for value in entry)
    return x0, y0, x1, y1


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _canvas(margins: list[Any] | None) -> tuple[int, int, int, int] | None:
    if margins is None:
        return None
    if len(margins) != 4 or any(type(margin) is not int for margin in margins):
        raise FieldError(f"video.canvas is {excerpt(margins)}; it must be [top, left, bottom, right] in pixels")
    top, left, bottom, right = margins
    return top, left, bottom, right


def _track(record: Any, place: int, video: VideoInfo) -> Track:
    if not isinstance(record, dict):
        raise FieldError(f"tracks[{place}] must be an object, not {excerpt(record)}")
    number = required(record, "id", int, f"tracks[{place}].")
    where = f"track {number}: "
    size = video.height, video.width
    hypotheses = optional(record, "hypotheses", list, where) or ()
    return Track(
        id=number,
        visible=_masks(required(record, "visible", list, where), video, size, f"{where}visible"),
        amodal=_optional_masks(record, "amodal", video, size, where),
        confidence=_optional_entries(record, "confidence", video, where, _number),
        hypotheses=tuple(_hypothesis(entry, video, f"{where}hypotheses[{k}]") for k, entry in enumerate(hypotheses)),
        label=optional(record, "label", str, where),
        amodal_full=_optional_masks(record, "amodal_full", video, video.canvas_size, where),
        boxes=_optional_entries(record, "boxes", video, where, parse_box),
        present=_optional_entries(record, "present", video, where, _number),
        occlusion=_optional_entries(record, "occlusion", video, where, lambda v, at: check_type(v, int, at)),
        truncated=_optional_entries(record, "truncated", video, where, lambda v, at: check_type(v, bool, at)),
    )


def _hypothesis(entry: Any, video: VideoInfo, where: str) -> Hypothesis:
    check_type(entry, dict, where)
    score = _number(required(entry, "score", (int, float), f"{where}."), f"{where}.score")
    masks = required(entry, "amodal", list, f"{where}.")
    return Hypothesis(score, _masks(masks, video, (video.height, video.width), f"{where}.amodal"))


def _optional_masks(
    record: dict[str, Any], key: str, video: VideoInfo, size: tuple[int, int], where: str
) -> Masks | None:
    entries = optional(record, key, list, where)
    return None if entries is None else _masks(entries, video, size, f"{where}{key}")


def _optional_entries(
    record: dict[str, Any], key: str, video: VideoInfo, where: str, parse: Callable[[Any, str], T]
) -> tuple[T | None, ...] | None:
    entries = optional(record, key, list, where)
    return None if entries is None else _entries(entries, video.frames, f"{where}{key}", parse)


def _masks(entries: list[Any], video: VideoInfo, size: tuple[int, int], where: str) -> Masks:
    return _entries(entries, video.frames, where, lambda entry, at: parse_rle(entry, *size, at))


def _entries(entries: list[Any], frames: int, where: str, parse: Callable[[Any, str], T]) -> tuple[T | None, ...]:
    if len(entries) != frames:
        raise FieldError(f"{where} has {len(entries)} entries for {frames} frames; write one for each (null = unknown)")
    return tuple(None if e is None else parse(e, f"{where}, frame {t}") for t, e in enumerate(entries))


def _number(entry: Any, where: str) -> float:
    try:
        return float(check_type(entry, (int, float), where))
    except OverflowError:
        raise FieldError(f"{where} is too large a number") from None


def _frame_order(pairs: Any, frame: int) -> FrameOrder:
    where = f"order, frame {frame}"
    for pair in check_type(pairs, list, where):
        if not isinstance(pair, list) or len(pair) != 2 or any(type(number) is not int for number in pair):
            raise FieldError(f"{where}: a pair is [front id, back id], not {excerpt(pair)}")
    return tuple((front, back) for front, back in pairs)

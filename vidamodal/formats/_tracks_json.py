"""tracks.json: one format for truth and for predictions, checked word for word.

Masks are COCO's compressed run lengths. pycocotools returns uninitialised memory for run lengths that do not fill the
mask, so they are decoded here, and their sum compared, before it sees them.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NoReturn, TypeVar

import numpy as np
from jaxtyping import Int
from pycocotools import mask as coco

from vidamodal.media.files import write_text
from vidamodal.media.json_records import FieldError, check_type, contains_strings, excerpt, optional, required
from vidamodal.types import MAX_TRACK_ID, ClipTracks, FrameOrder, Hypothesis, InputError, Rle, Track, VideoInfo

FORMAT = "vidamodal-tracks"
VERSION = 1
MAX_PIXELS = 2**27
"""Pixels of a frame; more is taken for damage. Run lengths below it fit COCO's 6 characters."""
MAX_FRAMES = 10**7
MAX_BYTES = 2**30
_DECIMALS = 4
_DIGITS_A_RUN = 6

Masks = tuple[Rle | None, ...]
T = TypeVar("T")


# Reading


def is_tracks(path: str | os.PathLike[str]) -> bool:
    """Whether a file says that it is a tracks.json, whatever its name; its content may still be wrong."""
    return all(contains_strings(Path(path), FORMAT))


def read_tracks(path: str | os.PathLike[str]) -> ClipTracks:
    """Reads and checks a tracks.json. InputError, with the place of the first breach, if it is not one."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a tracks.json")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB; split the video into shorter clips")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); give a tracks.json") from None
    return loads_tracks(text, str(path))


def loads_tracks(text: str, name: str) -> ClipTracks:
    """Parses the text of a tracks.json; ``name`` stands in front of every InputError. Unknown keys are ignored."""
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON ({error or 'nested too deeply'}); give a tracks.json") from None
    try:
        return parse_tracks(document)
    except FieldError as breach:
        raise InputError(f"{name}: {breach}") from None


def parse_tracks(document: Any) -> ClipTracks:
    """The clip that the parsed JSON of a tracks.json holds. Breach at the first place where it holds none."""
    clip = _clip(document)
    _check(clip)
    return clip


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _clip(document: Any) -> ClipTracks:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FieldError(f'no tracks.json (its "format" is not "{FORMAT}"); give one, or masks in another known form')
    if document.get("version") != VERSION or isinstance(document["version"], bool):
        raise FieldError(
            f"version {excerpt(document.get('version'))} of {FORMAT}; this program reads version {VERSION}"
        )
    video = parse_video(required(document, "video", dict))
    order = optional(document, "order", list)
    return ClipTracks(
        video=video,
        tracks=tuple(_track(track, place, video) for place, track in enumerate(required(document, "tracks", list))),
        exhaustive=bool(optional(document, "exhaustive", bool)),
        order=None if order is None else tuple(_frame_order(pairs, t) for t, pairs in enumerate(order)),
        provenance=optional(document, "provenance", dict) or {},
    )


def parse_video(record: dict[str, Any]) -> VideoInfo:
    """The ``video`` of a tracks.json. Breach if it is none that this program takes."""
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


def _canvas(margins: list[Any] | None) -> tuple[int, int, int, int] | None:
    if margins is None:
        return None
    if len(margins) != 4 or any(type(margin) is not int for margin in margins):
        raise FieldError(f"video.canvas is {excerpt(margins)}; give [top, left, bottom, right] in pixels")
    top, left, bottom, right = margins
    return top, left, bottom, right


def _track(record: Any, place: int, video: VideoInfo) -> Track:
    if not isinstance(record, dict):
        raise FieldError(f"tracks[{place}] must be an object, not {excerpt(record)}")
    number = required(record, "id", int, f"tracks[{place}].")
    where = f"track {number}: "

    def masks(
        holder: dict[str, Any], key: str, what: str, size: tuple[int, int] = (video.height, video.width)
    ) -> Masks:
        def parse(entry: Any, at: str) -> Rle:
            return read_rle(entry, *size, at)

        return _entries(required(holder, key, list, where), video.frames, f"{where}{what}", parse)

    def hypothesis(entry: Any, rank: int) -> Hypothesis:
        if not isinstance(entry, dict):
            raise FieldError(f"{where}hypotheses[{rank}] must be an object, not {excerpt(entry)}")
        score = _number(required(entry, "score", (int, float), f"{where}hypotheses[{rank}]."), f"{where}score")
        return Hypothesis(score, masks(entry, "amodal", f"hypotheses[{rank}].amodal"))

    confidence = optional(record, "confidence", list, where)
    return Track(
        id=number,
        visible=masks(record, "visible", "visible"),
        amodal=None if record.get("amodal") is None else masks(record, "amodal", "amodal"),
        confidence=None if confidence is None else _entries(confidence, video.frames, f"{where}confidence", _number),
        hypotheses=tuple(
            hypothesis(e, rank) for rank, e in enumerate(optional(record, "hypotheses", list, where) or ())
        ),
        label=optional(record, "label", str, where),
        amodal_full=(
            None
            if record.get("amodal_full") is None
            else masks(record, "amodal_full", "amodal_full", video.canvas_size)
        ),
    )


def _entries(entries: list[Any], frames: int, where: str, parse: Callable[[Any, str], T]) -> tuple[T | None, ...]:
    if len(entries) != frames:
        raise FieldError(f"{where} has {len(entries)} entries for {frames} frames; give one a frame (null = not known)")
    return tuple(None if e is None else parse(e, f"{where}, frame {t}") for t, e in enumerate(entries))


def _number(entry: Any, where: str) -> float:
    try:
        return float(check_type(entry, (int, float), where))
    except OverflowError:
        raise FieldError(f"{where} is too large a number") from None


def read_rle(entry: Any, height: int, width: int, where: str) -> Rle:
    """A compressed RLE of a known size, safe to hand to pycocotools, in the one form that it writes itself.

    Breach (a ValueError), beginning with ``where``, if it is none.
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
    return Rle.encode(rle.decode()) if (runs[1:] == 0).any() else rle  # pycocotools' boxes stumble over empty runs


def run_lengths(counts: str) -> Int[np.ndarray, " r"]:
    """The run lengths (background first) in COCO's compressed text; ValueError if it is damaged.

    Each number is written in digits of five bits, lowest first, as a character from "0" on; bit 32 says that another
    digit follows, bit 16 of the last digit is the sign. From the fourth number on they are differences to the last but
    one. See rleToString in pycocotools' maskApi.c.
    """
    try:
        code = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - ord("0")
    except UnicodeEncodeError:
        raise ValueError("the counts hold a character that is not ASCII") from None
    if not code.size:
        return code
    if code.min() < 0 or code.max() > 63:
        raise ValueError("the counts hold a character outside '0' to 'o'")
    last = code & 32 == 0
    if not last[-1]:
        raise ValueError("the counts are cut off")
    starts, ends = np.flatnonzero(np.r_[True, last[:-1]]), np.flatnonzero(last)
    digits = ends - starts + 1
    if digits.max() > _DIGITS_A_RUN:
        raise ValueError("the counts hold a number too large for a mask")
    place = np.arange(code.size) - np.repeat(starts, digits)
    runs = np.add.reduceat((code & 31) << 5 * place, starts)
    runs -= np.where(code[ends] & 16, 1 << 5 * digits, 0)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    if runs.min() < 0:
        raise ValueError("the counts hold a negative run")
    return runs


def _frame_order(pairs: Any, frame: int) -> FrameOrder:
    where = f"order, frame {frame}"
    for pair in check_type(pairs, list, where):
        if not isinstance(pair, list) or len(pair) != 2 or any(type(number) is not int for number in pair):
            raise FieldError(f"{where}: a pair is [front id, back id], not {excerpt(pair)}")
    return tuple((front, back) for front, back in pairs)


# What every clip must keep, read or written


def _check(clip: ClipTracks) -> None:
    """Raises Breach at the first place where a clip breaks the format's promises."""
    check_video(clip.video)
    seen: set[int] = set()
    for track in clip.tracks:
        if not 0 <= track.id <= MAX_TRACK_ID:
            raise FieldError(f"track {track.id}: ids are integers from 0 to {MAX_TRACK_ID}")
        if track.id in seen:
            raise FieldError(f"track {track.id} stands twice; give every object an id of its own")
        seen.add(track.id)
        _check_track(track, clip.video)
    if clip.order is not None:
        _check_order(clip.order, seen, clip.video.frames)


def check_video(video: VideoInfo) -> None:
    """Breach (a ValueError) if a video's size, length, rate or name is none that this program takes."""
    if min(video.height, video.width, video.frames) < 1:
        raise FieldError(f"video of {video.height} x {video.width} pixels, {video.frames} frames; each is at least 1")
    if video.height * video.width > MAX_PIXELS or video.frames > MAX_FRAMES:
        raise FieldError(
            f"video of {video.height} x {video.width} pixels, {video.frames} frames; "
            f"at most {MAX_PIXELS} pixels and {MAX_FRAMES} frames are read"
        )
    if video.canvas is not None:
        tall, wide = video.canvas_size
        if min(video.canvas) < 0 or tall * wide > MAX_PIXELS:
            raise FieldError(
                f"video.canvas is {list(video.canvas)}; margins are 0 or more, {MAX_PIXELS} pixels at most"
            )
    if not math.isfinite(video.fps) or round(video.fps, _DECIMALS) <= 0:
        raise FieldError(f"video.fps is {video.fps}; give a number above 0 (1 for a single image)")
    if PurePosixPath(video.path).is_absolute() or PureWindowsPath(video.path).is_absolute():
        raise FieldError("video.path is an absolute path; give the file's name")


def _check_track(track: Track, video: VideoInfo) -> None:
    where = f"track {track.id}: "
    shapes = [("visible", track.visible)]
    if track.amodal is not None:
        shapes.append(("amodal", track.amodal))
    elif track.confidence is not None or track.hypotheses:
        raise FieldError(f"{where}confidence or hypotheses without amodal; give the masks that they belong to")
    for rank, hypothesis in enumerate(track.hypotheses):
        shapes.append((f"hypotheses[{rank}].amodal", hypothesis.amodal))
        if not 0 <= hypothesis.score <= 1:
            raise FieldError(f"{where}hypotheses[{rank}].score is {hypothesis.score}; a score lies within 0 and 1")
    for key, masks in shapes:
        if len(masks) != video.frames:
            raise FieldError(f"{where}{key} has {len(masks)} entries for {video.frames} frames")
        for t, mask in enumerate(masks):
            if mask is not None and (mask.height, mask.width) != (video.height, video.width):
                raise FieldError(f"{where}{key}, frame {t}: a mask of {mask.height} x {mask.width}")
    for key, masks in shapes[1:]:
        for t, (inner, outer) in enumerate(zip(track.visible, masks, strict=True)):
            if inner is not None and outer is not None and not _inside(inner, outer):
                raise FieldError(
                    f"{where}{key}, frame {t}: visible pixels lie outside it; unite it with the visible mask"
                )
    if track.amodal_full is not None:
        _check_full(track.amodal_full, track.amodal, video, where)
    if track.confidence is not None and track.amodal is not None:
        _check_confidence(track.confidence, track.amodal, where)


def _check_full(full: Masks, amodal: Masks | None, video: VideoInfo, where: str) -> None:
    if video.canvas is None or amodal is None or len(full) != video.frames:
        raise FieldError(
            f"{where}amodal_full needs video.canvas, amodal, and an entry for each of {video.frames} frames"
        )
    top, left, _, _ = video.canvas
    for t, (padded, cut) in enumerate(zip(full, amodal, strict=True)):
        if (padded is None) != (cut is None):
            raise FieldError(f"{where}amodal_full, frame {t}: it must be null where amodal is, and only there")
        if padded is None or cut is None:
            continue
        if (padded.height, padded.width) != video.canvas_size:
            raise FieldError(f"{where}amodal_full, frame {t}: a mask of {padded.height} x {padded.width}")
        inner = padded.decode()[top : top + video.height, left : left + video.width]
        if not np.array_equal(inner, cut.decode()):
            raise FieldError(f"{where}amodal_full, frame {t}: cut to the image, it is not amodal")


def _check_confidence(confidence: Sequence[float | None], amodal: Masks, where: str) -> None:
    if len(confidence) != len(amodal):
        raise FieldError(f"{where}confidence has {len(confidence)} entries for {len(amodal)} frames")
    for t, (value, mask) in enumerate(zip(confidence, amodal, strict=True)):
        if (value is None) != (mask is None):
            raise FieldError(f"{where}confidence, frame {t}: it must be null where amodal is, and only there")
        if value is not None and not 0 <= value <= 1:
            raise FieldError(f"{where}confidence, frame {t} is {value}; a confidence lies within 0 and 1")


def _check_order(order: Sequence[FrameOrder], ids: set[int], frames: int) -> None:
    if len(order) != frames:
        raise FieldError(f"order has {len(order)} entries for {frames} frames; give one list a frame")
    for t, pairs in enumerate(order):
        known = set(pairs)
        for front, back in pairs:
            if front not in ids or back not in ids or front == back:
                raise FieldError(f"order, frame {t}: [{front}, {back}] does not name two tracks of this file")
            if (back, front) in known:
                raise FieldError(f"order, frame {t}: [{front}, {back}] stands both ways; keep one")


def _inside(inner: Rle, outer: Rle) -> bool:
    if inner.counts == outer.counts:
        return True
    size = [inner.height, inner.width]
    pair = [{"size": size, "counts": mask.counts.encode("ascii")} for mask in (inner, outer)]
    return int(coco.area(coco.merge(pair, intersect=True))) == inner.area()


# Writing


def write_tracks(path: str | os.PathLike[str], clip: ClipTracks) -> None:
    """Writes a tracks.json, whole or not at all. ValueError if the clip breaks the format's promises."""
    write_text(path, dumps_tracks(clip))


def dumps_tracks(clip: ClipTracks) -> str:
    """The text of a tracks.json: ASCII, a line for each track and each frame's order, numbers to four decimals.

    Same content, same bytes. ValueError if the clip breaks the format's promises.
    """
    _check(clip)
    video = clip.video
    head = {"path": video.path, "height": video.height, "width": video.width, "frames": video.frames}
    canvas = {} if video.canvas is None else {"canvas": video.canvas}
    members = [
        f'"format": {_json(FORMAT)}, "version": {VERSION}',
        f'"video": {_json({**head, "fps": _rounded(video.fps), **canvas})}',
        f'"exhaustive": {_json(clip.exhaustive)}',
        f'"tracks": {_lines([_line(track) for track in clip.tracks])}',
    ]
    if clip.order is not None:
        members.append(f'"order": {_lines([_json(pairs) for pairs in clip.order])}')
    if clip.provenance:
        members.append(f'"provenance": {json.dumps(clip.provenance, sort_keys=True, allow_nan=False)}')
    return "{" + ",\n ".join(members) + "}\n"


def _line(track: Track) -> str:
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
    if track.hypotheses:
        record["hypotheses"] = [{"score": _rounded(h.score), "amodal": _records(h.amodal)} for h in track.hypotheses]
    # Counts may begin like a Windows path ("e:\"): escape the stroke, so that no search for absolute paths finds one.
    return re.sub(r'("counts":"[A-Za-z]:)\\\\', r"\1\\u005c", _json(record))


def _records(masks: Masks) -> list[dict[str, Any] | None]:
    return [None if mask is None else {"size": [mask.height, mask.width], "counts": mask.counts} for mask in masks]


def _lines(items: list[str]) -> str:
    return "[\n  " + ",\n  ".join(items) + "]" if items else "[]"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _rounded(value: float) -> float:
    return round(float(value), _DECIMALS)

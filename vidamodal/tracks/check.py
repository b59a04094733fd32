"""Checks that every clip of tracks has to pass, whether it was read or is to be written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np

from vidamodal.media.json_records import FieldError
from vidamodal.rle import pack, shared_area
from vidamodal.types import MAX_TRACK_ID, Box, ClipTracks, FrameOrder, Rle, Track, VideoInfo

MAX_PIXELS = 2**27
"""Largest accepted frame, in pixels. Run lengths below it fit into 6 characters of COCO's text."""
MAX_FRAMES = 10**7
"""Largest accepted number of frames."""
DECIMALS = 4
"""Decimals of the numbers in a tracks.json."""

Masks = tuple[Rle | None, ...]
"""One mask per frame; None where the mask is unknown."""


def check_clip(clip: ClipTracks) -> None:
    """Check a clip against the rules of tracks.json.

    Raises:
        FieldError: The clip breaks a rule; the message names the first place.
    """
    check_video(clip.video)
    seen: set[int] = set()
    for track in clip.tracks:
        if not 0 <= track.id <= MAX_TRACK_ID:
            raise FieldError(f"track {track.id}: ids are integers from 0 to {MAX_TRACK_ID}")
        if track.id in seen:
            raise FieldError(f"track {track.id} is listed twice; give every object a different id")
        seen.add(track.id)
        _check_track(track, clip.video)
    if clip.order is not None:
        _check_order(clip.order, seen, clip.video.frames)


def check_video(video: VideoInfo) -> None:
    """Check the size, length, frame rate and name of a video.

    Raises:
        FieldError: One of them is outside the accepted range.
    """
    if min(video.height, video.width, video.frames) < 1:
        raise FieldError(
            f"video of {video.height} x {video.width} pixels, {video.frames} frames; each must be at least 1"
        )
    if video.height * video.width > MAX_PIXELS or video.frames > MAX_FRAMES:
        raise FieldError(
            f"video of {video.height} x {video.width} pixels, {video.frames} frames; "
            f"the limits are {MAX_PIXELS} pixels and {MAX_FRAMES} frames at most"
        )
    if video.canvas is not None:
        tall, wide = video.canvas_size
        if min(video.canvas) < 0 or tall * wide > MAX_PIXELS:
            raise FieldError(
                f"video.canvas is {list(video.canvas)}; margins are 0 or more, and the canvas has at most {MAX_PIXELS} "
                "pixels"
            )
    if not math.isfinite(video.fps) or round(video.fps, DECIMALS) <= 0:
        raise FieldError(f"video.fps is {video.fps}; it must be above 0 (1 for a single image)")
    if PurePosixPath(video.path).is_absolute() or PureWindowsPath(video.path).is_absolute():
        raise FieldError("video.path is an absolute path; use the name of the file")


def _check_track(track: Track, video: VideoInfo) -> None:
    where = f"track {track.id}: "
    if track.amodal is None and (track.confidence is not None or track.hypotheses):
        raise FieldError(f"{where}confidence or hypotheses without amodal; add the amodal masks that they belong to")
    wholes = [] if track.amodal is None else [("amodal", track.amodal)]
    for rank, hypothesis in enumerate(track.hypotheses):
        wholes.append((f"hypotheses[{rank}].amodal", hypothesis.amodal))
        if not 0 <= hypothesis.score <= 1:
            raise FieldError(f"{where}hypotheses[{rank}].score is {hypothesis.score}; a score lies between 0 and 1")
    for key, masks in (("visible", track.visible), *wholes):
        _check_sizes(masks, video, f"{where}{key}")
    for key, masks in wholes:
        for t, (inner, outer) in enumerate(zip(track.visible, masks, strict=True)):
            if inner is not None and outer is not None and not _is_inside(inner, outer):
                raise FieldError(
                    f"{where}{key}, frame {t}: visible pixels lie outside it; add the visible mask to the amodal one"
                )
    if track.amodal_full is not None:
        _check_full(track.amodal_full, track.amodal, video, where)
    if track.confidence is not None and track.amodal is not None:
        _check_confidence(track.confidence, track.amodal, where)
    _check_numbers(track, video, where)


def _check_sizes(masks: Masks, video: VideoInfo, where: str) -> None:
    if len(masks) != video.frames:
        raise FieldError(f"{where} has {len(masks)} entries for {video.frames} frames")
    for t, mask in enumerate(masks):
        if mask is not None and (mask.height, mask.width) != (video.height, video.width):
            raise FieldError(f"{where}, frame {t}: a mask of {mask.height} x {mask.width}")


def _check_full(full: Masks, amodal: Masks | None, video: VideoInfo, where: str) -> None:
    if video.canvas is None or amodal is None or len(full) != video.frames:
        raise FieldError(
            f"{where}amodal_full needs video.canvas, amodal, and an entry for each of {video.frames} frames"
        )
    top, left, _, _ = video.canvas
    for t, (padded, cut) in enumerate(zip(full, amodal, strict=True)):
        if (padded is None) != (cut is None):
            raise FieldError(f"{where}amodal_full, frame {t}: it must be null where amodal is null, and only there")
        if padded is None or cut is None:
            continue
        if (padded.height, padded.width) != video.canvas_size:
            raise FieldError(f"{where}amodal_full, frame {t}: a mask of {padded.height} x {padded.width}")
        inner = padded.decode()[top : top + video.height, left : left + video.width]
        if not np.array_equal(inner, cut.decode()):
            raise FieldError(f"{where}amodal_full, frame {t}: cut to the image, it differs from amodal")


def _check_confidence(confidence: Sequence[float | None], amodal: Masks, where: str) -> None:
    if len(confidence) != len(amodal):
        raise FieldError(f"{where}confidence has {len(confidence)} entries for {len(amodal)} frames")
    for t, (value, mask) in enumerate(zip(confidence, amodal, strict=True)):
        if (value is None) != (mask is None):
            raise FieldError(f"{where}confidence, frame {t}: it must be null where amodal is null, and only there")
        if value is not None and not 0 <= value <= 1:
            raise FieldError(f"{where}confidence, frame {t} is {value}; a confidence lies between 0 and 1")


def _check_numbers(track: Track, video: VideoInfo, where: str) -> None:
    """Check the values of every frame that are not masks."""
    entries: dict[str, Sequence[object] | None] = {
        name: getattr(track, name) for name in ("boxes", "present", "occlusion", "truncated")
    }
    for name, values in entries.items():
        if values is not None and len(values) != video.frames:
            raise FieldError(f"{where}{name} has {len(values)} entries for {video.frames} frames")
    for t, box in enumerate(track.boxes or ()):
        _check_box(box, f"{where}boxes, frame {t}")
    for t, value in enumerate(track.present or ()):
        if value is not None and not 0 <= value <= 1:
            raise FieldError(f"{where}present, frame {t} is {value}; a probability lies between 0 and 1")
    for t, level in enumerate(track.occlusion or ()):
        if level is not None and level not in range(4):
            raise FieldError(
                f"{where}occlusion, frame {t} is {level}; it is 0 (none), 1 (partial), 2 (large) or 3 (unknown)"
            )


def _check_box(box: Box | None, where: str) -> None:
    if box is None:
        return
    x0, y0, x1, y1 = (round(value, DECIMALS) if math.isfinite(value) else math.nan for value in box)
    if not (x0 < x1 and y0 < y1):
        raise FieldError(f"{where} is {list(box)}; a box is [x0, y0, x1, y1], x0 < x1 and y0 < y1")


def _check_order(order: Sequence[FrameOrder], ids: set[int], frames: int) -> None:
    if len(order) != frames:
        raise FieldError(f"order has {len(order)} entries for {frames} frames; write one list for each frame")
    for t, pairs in enumerate(order):
        known = set(pairs)
        for front, back in pairs:
            if front not in ids or back not in ids or front == back:
                raise FieldError(f"order, frame {t}: [{front}, {back}] does not name two tracks of this file")
            if (back, front) in known:
                raise FieldError(f"order, frame {t}: [{front}, {back}] is listed both ways; keep one of them")


def _is_inside(inner: Rle, outer: Rle) -> bool:
    return inner.counts == outer.counts or shared_area(pack(inner), pack(outer)) == inner.area()

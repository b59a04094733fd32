"""Data sets and predictions from one format into another: what `vidamodal convert` does."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vidamodal.formats.base import Clip, MaskKind, WritableFormat
from vidamodal.formats.registry import all_formats, find_dataset, writable_formats
from vidamodal.media.files import atomic_file, atomic_folder
from vidamodal.media.video import open_video
from vidamodal.types import ClipTracks, InputError

KEY = "[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
"""Keys that may become part of a path."""
_NAMES = {
    "visible": "visible masks",
    "amodal": "amodal masks",
    "amodal_full": "masks on a padded canvas",
    "confidence": "confidences",
    "hypotheses": "hypotheses",
}


@dataclass(frozen=True)
class Conversion:
    """What was written: the number of clips, the layout they came from, and what the format had no room for."""

    clips: int
    format: str
    left_out: tuple[str, ...]


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: str,
    *,
    kind: MaskKind = "visible",
    layout: str | None = None,
    video: str | os.PathLike[str] | None = None,
    quiet: bool = True,
) -> Conversion:
    """Writes the clips of a data set in another format, to a place where nothing is yet, whole or not at all.

    ``to``: a name of ``formats()``; ``layout``: that of the source, where it does not show. ``kind``: the masks that a
    format with one mask an object holds, read or written. ``video``: a video or a folder of frames, for a source that
    holds the masks of one clip; it gives their number of frames, rate and pictures.

    InputError on what cannot be read, or what the format cannot hold; memory holds the masks of all clips where the
    format is one file, else those of one.
    """
    source, out = Path(source), Path(out)
    known = writable_formats()
    for name, choices in ((to, known), (layout, all_formats())):
        if name is not None and name not in choices:
            raise InputError(f"unknown format {name!r}; choose one of {', '.join(sorted(choices))}")
    if os.path.lexists(out):
        raise InputError(f"{out}: is already there; give another --out, or remove it")
    form = known[to]
    dataset = find_dataset(source, layout)
    clips = list(dataset.clips.values())
    if video is not None:
        clips = [_with_video(source, clips, video)]
    left_out: set[str] = set()
    bar = tqdm(clips, desc="convert", unit="video", disable=quiet)
    prepared = (_prepared(clip, form, kind, left_out) for clip in bar)
    if form.IS_FILE:
        with atomic_file(out) as beside:
            form.write(beside, prepared, kind)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(out) as beside:
            form.write(beside, prepared, kind)
            if hasattr(os, "sync"):  # once for thousands of small files, before they get their names; not on Windows
                os.sync()
    return Conversion(len(clips), dataset.format, tuple(name for field, name in _NAMES.items() if field in left_out))


def _with_video(source: Path, clips: list[Clip], video: str | os.PathLike[str]) -> Clip:
    """The only clip of a source, with the frames of a video."""
    if len(clips) > 1:
        raise InputError(f"{source}: {len(clips)} clips, --video is for one; convert them one by one")
    (clip,) = clips
    reader = open_video(video)

    def tracks() -> ClipTracks:
        found, info = clip.tracks(), reader.info
        missing = info.frames - found.video.frames
        sizes = {(video.height, video.width) for video in (info, found.video)}
        if len(sizes) > 1 or missing < 0 or (missing and clip.kind_known):
            raise InputError(
                f"{source}: is for {found.video.frames} frames of {found.video.height} x {found.video.width} pixels, "
                f"the video has {info.frames} of {info.height} x {info.width}; give the video of these masks"
            )
        unknown = (None,) * missing  # masks by others may cover fewer frames than the video
        longer = tuple(replace(t, visible=t.visible + unknown) for t in found.tracks) if missing else found.tracks
        return replace(found, video=replace(info, canvas=found.video.canvas), tracks=longer)

    return replace(clip, tracks=tracks, frames=reader.frames)


def _prepared(clip: Clip, form: WritableFormat, kind: MaskKind, left_out: set[str]) -> Clip:
    """A clip with what a format has room for; adds the names of what it has not to ``left_out``."""
    if not re.fullmatch(KEY, clip.key):
        raise InputError(f"clip {clip.key!r}: the key is not a plain name; rename the clip")
    tracks = clip.tracks_as(kind)
    if form.SINGLE_MASK and kind == "amodal":
        lacking = [track.id for track in tracks.tracks if track.amodal is None]
        if lacking:
            raise InputError(f"clip {clip.key}: track {lacking[0]} has no amodal masks; write --what visible")
    return replace(clip, tracks=partial(_held, tracks, form, kind, left_out))


def _held(clip: ClipTracks, form: WritableFormat, kind: MaskKind, left_out: set[str]) -> ClipTracks:
    """The part of a clip that a format holds."""
    holds = form.HOLDS
    if form.SINGLE_MASK:
        holds = holds - {"amodal" if kind == "visible" else "visible"}
    if "amodal" not in holds:
        holds = holds - {"confidence"}
    blank = (None,) * clip.video.frames
    tracks = []
    for track in clip.tracks:
        left_out |= {name for name in _NAMES if name not in holds and any(getattr(track, name) or ())}
        tracks.append(
            replace(
                track,
                visible=track.visible if "visible" in holds else blank,
                amodal=track.amodal if "amodal" in holds else None,
                confidence=track.confidence if "confidence" in holds else None,
                hypotheses=track.hypotheses if "hypotheses" in holds else (),
                amodal_full=track.amodal_full if "amodal_full" in holds else None,
            )
        )
    canvas = clip.video.canvas if "amodal_full" in holds else None
    return replace(clip, video=replace(clip.video, canvas=canvas), tracks=tuple(tracks))

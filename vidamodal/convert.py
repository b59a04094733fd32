"""Conversion of data sets and predictions from one format into another: the implementation of ``vidamodal convert``."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vidamodal.formats.base import FRAME_VALUES, PLAIN_KEY, Clip, MaskKind, VideoContext, WritableFormat
from vidamodal.formats.registry import all_formats, find_dataset, writable_formats
from vidamodal.media.files import atomic_file, atomic_folder, check_target
from vidamodal.media.video import open_video
from vidamodal.types import ClipTracks, InputError

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names of devices on Windows, where no file can have them."""
_FIELD_NAMES = {
    "visible": "visible masks",
    "amodal": "amodal masks",
    "amodal_full": "masks on a padded canvas",
    "confidence": "confidences",
    "hypotheses": "hypotheses",
    "boxes": "boxes",
    "present": "presence probabilities",
    "occlusion": "occlusion levels",
    "truncated": "truncation",
}


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion."""

    clips: int
    """Number of clips."""
    format: str
    """Name of the source's format."""
    dropped: tuple[str, ...]
    """Names of what the written format cannot hold."""
    not_chosen: tuple[str, ...]
    """Names of what it could hold if the other kind of masks were written."""
    notes: tuple[str, ...]
    """How the masks were understood, one line each; see `ClipTracks.notes`."""


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: str,
    *,
    kind: MaskKind = "visible",
    source_format: str | None = None,
    video: str | os.PathLike[str] | None = None,
    quiet: bool = True,
) -> Conversion:
    """Write the clips of a data set in another format, atomically.

    If the written format is one file, the masks of all clips are held in memory, else those of one.

    Args:
        source: A file or folder in any format.
        out: A path where nothing exists yet.
        to: The id of the format to write.
        kind: The masks to read or write, for formats with one mask per object.
        source_format: The id of the source's format; by default it is recognised.
        video: A video or a folder of frames, for a source with the masks of one clip; it gives the number of frames,
            the frame rate and the pictures.
        quiet: Show no progress bar.

    Raises:
        InputError: The source cannot be read, the format cannot hold it, or ``out`` exists.
    """
    source, out = Path(source), Path(out)
    form = _checked_format(to, source_format)
    if os.path.lexists(out):
        raise InputError(f"{out}: already exists; choose another path, or remove it")
    check_target(out)
    reader = None if video is None else open_video(video)
    context = None if reader is None else VideoContext(reader.info, reader.stems)
    dataset = find_dataset(source, source_format, context)
    keys = safe_keys(list(dataset.clips))
    clips = [replace(clip, key=keys[key]) for key, clip in dataset.clips.items()]
    if reader is not None:
        clips = [replace(clip, frames=reader.frames) for clip in clips]
    dropped: set[str] = set()
    notes = dict.fromkeys(_renamed(source, keys))  # an ordered set
    bar = tqdm(clips, desc="convert", unit="video", disable=quiet)
    _write(out, form, (_prepared(clip, form, kind, dropped, notes) for clip in bar), kind)
    all_notes = ((*reader.notes,) if reader else ()) + tuple(notes)
    return Conversion(len(clips), dataset.format, _names(dropped - form.HOLDS), _names(dropped & form.HOLDS), all_notes)


def safe_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return a different name for each key that may become part of a path; plain names stay as they are.

    Accents are dropped, and all other characters but letters, digits, dots, hyphens and underscores become underscores.
    Names that Windows reserves get the prefix "clip_".
    """
    safe = {key: key for key in keys if PLAIN_KEY.fullmatch(key) and not _is_refused(key)}
    taken = {key.lower() for key in safe}
    for key in keys:
        if key not in safe:
            plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode()
            name = re.sub("[^A-Za-z0-9.-]+", "_", plain).strip("._-")[:190] or "clip"
            name = f"clip_{name}" if _is_refused(name) else name
            numbered = (f"{name}-{number}" for number in itertools.count(2))
            safe[key] = next(option for option in itertools.chain([name], numbered) if option.lower() not in taken)
            taken.add(safe[key].lower())
    return safe


def _is_refused(name: str) -> bool:
    """Return True for a name that Windows refuses: that of a device, or one with a dot at its end."""
    return name.endswith(".") or _RESERVED.fullmatch(name) is not None


def _names(fields: Set[str]) -> tuple[str, ...]:
    return tuple(name for field, name in _FIELD_NAMES.items() if field in fields)


def _renamed(source: Path, keys: Mapping[str, str]) -> list[str]:
    """The note on keys that were replaced."""
    renamed = [f"{key!r} is {safe}" for key, safe in keys.items() if key != safe]
    if not renamed:
        return []
    more = f" and {len(renamed) - 5} more" if len(renamed) > 5 else ""
    return [f"{source.name}: clips are renamed to plain names: {', '.join(renamed[:5])}{more}"]


def _checked_format(to: str, source_format: str | None) -> WritableFormat:
    """The format to write; the id of the source's format is checked, too."""
    writable = writable_formats()
    for name, choices in ((to, writable), (source_format, all_formats())):
        if name is not None and name not in choices:
            raise InputError(f"unknown format {name!r}; choose one of {', '.join(sorted(choices))}")
    return writable[to]


def _write(out: Path, form: WritableFormat, clips: Iterator[Clip], kind: MaskKind) -> None:
    if form.IS_FILE:
        with atomic_file(out) as temporary:
            form.write(temporary, clips, kind)
        return
    with atomic_folder(out) as temporary:
        form.write(temporary, clips, kind)
        if hasattr(os, "sync"):  # once for thousands of small files, before they get their names; not on Windows
            os.sync()


def _prepared(clip: Clip, form: WritableFormat, kind: MaskKind, dropped: set[str], notes: dict[str, None]) -> Clip:
    """A clip with what a format can hold; the names of other fields are added to ``dropped`` when it is read."""
    tracks = clip.tracks_as(kind)
    notes.update(dict.fromkeys(tracks.notes))
    if form.SINGLE_MASK and kind == "amodal":
        without = [track.id for track in tracks.tracks if track.amodal is None]
        if without:
            raise InputError(f"clip {clip.key}: track {without[0]} has no amodal masks; convert the visible ones")
    return replace(clip, tracks=partial(_reduced, tracks, form, kind, dropped))


def _reduced(clip: ClipTracks, form: WritableFormat, kind: MaskKind, dropped: set[str]) -> ClipTracks:
    holds = form.HOLDS
    if form.SINGLE_MASK:
        holds = holds - {"amodal" if kind == "visible" else "visible"}
    if "amodal" not in holds:
        holds = holds - FRAME_VALUES
    blank = (None,) * clip.video.frames
    tracks = []
    for track in clip.tracks:
        dropped |= {name for name in _FIELD_NAMES if name not in holds and any(getattr(track, name) or ())}
        lost: dict[str, Any] = {name: None for name in _FIELD_NAMES if name not in holds}
        if "visible" in lost:
            lost["visible"] = blank
        if "hypotheses" in lost:
            lost["hypotheses"] = ()
        tracks.append(replace(track, **lost))
    canvas = clip.video.canvas if "amodal_full" in holds else None
    return replace(clip, video=replace(clip.video, canvas=canvas), tracks=tuple(tracks))

"""PNGs of one video: which files they are, and which frame each belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vidamodal.formats.base import VideoContext
from vidamodal.media.images import natural_key
from vidamodal.types import InputError

NUMBER = re.compile("[0-9]{1,18}")
"""Names that are a frame number alone."""
PREFIXED_NUMBER = re.compile("[^0-9]*([0-9]{1,18})")
"""Names that end in a frame number, as in frame_00012."""


def visible_folders(path: Path) -> list[Path]:
    """Return the folders in a folder that are not hidden, in the natural order of their names."""
    entries = (entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return sorted(entries, key=lambda entry: natural_key(entry.name))


def png_files(folder: Path, pattern: re.Pattern[str] | None = None) -> list[Path]:
    """Return the PNGs in a folder that are not hidden, in natural order; with a pattern, those whose names match it."""
    pngs = (
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() == ".png"
        and not entry.name.startswith(".")
        and (pattern is None or pattern.fullmatch(entry.stem))
        and entry.is_file()
    )
    return sorted(pngs, key=lambda entry: natural_key(entry.stem))


def by_frame(folder: Path, pngs: Iterable[Path], video: VideoContext) -> dict[int, Path]:
    """Return the PNG of each annotated frame of a video.

    If the names of the video's frames are known, a PNG belongs to the frame of its name; else its number is the
    0-based frame.

    Raises:
        InputError: A PNG belongs to no frame, or two belong to the same.
    """
    names = None if video.frame_names is None else {name: frame for frame, name in enumerate(video.frame_names)}
    found: dict[int, Path] = {}
    for png in pngs:
        if names is not None and png.stem not in names:
            raise InputError(f"{png}: no frame of the video has this name; name each mask like its frame")
        frame = frame_number(png) if names is None else names[png.stem]
        if frame >= video.info.frames:
            raise InputError(
                f"{png}: frame {frame} is beyond the end of the video ({video.info.frames} frames); remove it, or pass "
                "the masks of this video"
            )
        if frame in found:
            raise InputError(f"{folder}: {found[frame].name} and {png.name} are for the same frame; keep one")
        found[frame] = png
    return found


def frame_number(png: Path) -> int:
    """Return the number at the end of a PNG's name.

    Raises:
        InputError: The name does not end in a number, or has digits before it.
    """
    number = PREFIXED_NUMBER.fullmatch(png.stem)
    if number is None:
        raise InputError(f"{png}: the name is not a frame number; name masks 00000.png, 00001.png, ...")
    return int(number[1])

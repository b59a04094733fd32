"""The frames of a video that the images of an annotation file show.

With a video, each image belongs to one of its frames:

- by name, if the video is a folder of frames with the same names;
- in order, if there are as many images as frames;
- else by ``frame_index`` or ``frame_id``, or by the number that varies in the file names, which ``frame_files`` reads:
  from 0, and from 1 only where that is the only fit. Numbers that skip frames win over a mere count 0, 1, 2, and
  names over frame numbers that are one higher.

How images were placed is noted where the video has more frames. Without a video, the images are the frames, in order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vidamodal.formats.base import VideoContext
from vidamodal.formats.masks.frame_files import pair_with_frames
from vidamodal.media.image_kinds import split_numbers
from vidamodal.media.json_records import FieldError
from vidamodal.types import InputError

_ROBOFLOW = re.compile(r"(_(?:jpe?g|png|bmp|webp))?\.rf\.[0-9A-Za-z_-]+$")
"""Roboflow's addition to the name of an image: frame_01_png.rf.8f3a...jpg."""
_UPLOAD = re.compile("^[0-9a-f]{8}-")
"""Label Studio's prefix of the name of an uploaded image."""
_DIGITS = 18
"""Most digits of a number in a name."""
_LONGEST = 250
"""Most characters of a file's name."""


@dataclass(frozen=True)
class FramePlaces:
    """The frame of each image, and a note on how it was found."""

    frames: tuple[int, ...]
    note: str | None = None


def plain_stem(name: str) -> str:
    """Return the name of an image without folders, suffix, and the additions of Roboflow and Label Studio."""
    return _UPLOAD.sub("", _ROBOFLOW.sub("", _stem(name)))


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem


def numbers_in_names(names: Sequence[str]) -> list[int] | None:
    """Return the number that varies between the names; None if other text varies too, or numbers repeat.

    Args:
        names: File names of images. The last number of a single name counts.
    """
    parts = [split_numbers(plain_stem(name)) for name in names]
    if len({texts for texts, _ in parts}) != 1 or any(len(digit) > _DIGITS for _, digits in parts for digit in digits):
        return None
    columns = [[int(number) for number in column] for column in zip(*(digits for _, digits in parts), strict=True)]
    return next((column for column in reversed(columns) if len(set(column)) == len(names)), None)


def has_gaps(numbers: Sequence[int] | None) -> bool:
    """Return True if numbers are known and skip some."""
    return numbers is not None and max(numbers) - min(numbers) + 1 > len(set(numbers))


def time_order(names: Sequence[str], indices: Sequence[int] | None) -> list[int]:
    """Return the places of images in order of time: by their indices, else by the numbers in their names, else as is.

    Args:
        names: File names.
        indices: The ``frame_index`` or ``frame_id`` of each image.
    """
    times = indices or numbers_in_names(names) or range(len(names))
    return sorted(range(len(names)), key=lambda place: times[place])


def place_frames(names: Sequence[str], indices: Sequence[int] | None, video: VideoContext) -> FramePlaces:
    """Return the frame of each image.

    Args:
        names: File names of the images, in order of time.
        indices: Their ``frame_index`` or ``frame_id``.
        video: The video.

    Raises:
        FieldError: The images do not fit the video, or nothing says which frames they are.
    """
    total = video.info.frames
    for stems in ([_stem(name) for name in names], [plain_stem(name) for name in names]):
        named = _pair(stems, video) if video.frame_names is not None else None
        if named is not None and named.note is None:
            return named
    if len(names) > total:
        raise FieldError(f"lists {len(names)} images, but the video has {total} frames; pass the video of these images")
    if len(names) == total:
        return FramePlaces(tuple(range(total)))
    return _by_numbers(names, indices, video)


def _by_numbers(names: Sequence[str], indices: Sequence[int] | None, video: VideoContext) -> FramePlaces:
    total, in_names = video.info.frames, numbers_in_names(names)
    lag = {a - b for a, b in zip(indices, in_names, strict=True)} if indices and in_names else set()
    if lag == {1}:
        indices = None  # the names are counted from 0, and the frame numbers from 1
    elif len(lag) == 1:
        in_names = None  # the names count from another frame
    known = []
    if indices:
        known.append(("frame numbers", list(indices), list(map(str, indices)), VideoContext(video.info)))
    if in_names:
        known.append(("the numbers in file names", in_names, [plain_stem(name) for name in names], video))
    if not known:
        raise FieldError(
            f"lists {len(names)} images for a video of {total} frames, and nothing says which frames they are; add "
            "frame_index to the images, or pass a video of these frames alone"
        )
    count = list(range(len(names)))
    known = [one for one in known if one[1] != count] or known  # a mere count of the images says little
    for clue, numbers, stems, context in known:
        found = _pair(stems, context) if min(numbers) >= 0 else None
        if found is not None:
            shown = ", ".join(map(str, found.frames[:3])) + (", ..." if len(found.frames) > 3 else "")
            counted = " (frame numbers are one higher)" if lag == {1} else f" ({found.note})" if found.note else ""
            return FramePlaces(found.frames, f"annotates frames {shown} of {total}, by {clue}{counted}")
    clue, numbers, _, _ = known[0]
    raise FieldError(
        f"{clue} go from {min(numbers)} to {max(numbers)}, but the video has {total} frames; pass the video of these "
        "images"
    )


def _pair(stems: Sequence[str], video: VideoContext) -> FramePlaces | None:
    """The frames of images with such names, by the rules for files of masks; None if they do not fit."""
    files = [Path(f"{stem}.png") for stem in stems if 0 < len(stem) <= _LONGEST]
    if len(set(files)) < len(stems):
        return None
    try:
        pairs = pair_with_frames(files, video)
    except InputError:
        return None
    return FramePlaces(tuple(pairs.frames[file] for file in files), pairs.note)

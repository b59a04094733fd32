"""The frames of a video that the images of an annotation file show.

With a video, each image belongs to one of its frames:

- by name, if the video is a folder of frames with the same names;
- in order, if there are as many images as frames;
- else by ``frame_index`` or ``frame_id``, or by the number that varies in the file names. Numbers count from 0; they
  count from 1 only where that is the only fit. Of two that fit, one that skips frames wins over a mere count 0, 1, 2.

How images were placed is noted where the video has more frames. Without a video, the images are the frames, in order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from vidamodal.formats.base import VideoContext
from vidamodal.media.json_records import FieldError

_ROBOFLOW = re.compile(r"(_(?:jpe?g|png|bmp|webp))?\.rf\.[0-9A-Za-z_-]+$")
"""What Roboflow adds to the name of a picture: frame_01_png.rf.8f3a...jpg."""
_UPLOAD = re.compile("^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded picture."""
_NUMBER = re.compile("[0-9]{1,18}")


@dataclass(frozen=True)
class FramePlaces:
    """The frame of each image, and a note on how it was found."""

    frames: tuple[int, ...]
    note: str | None = None


def plain_stem(name: str) -> str:
    """Return the name of a picture without folders, suffix, and what Roboflow and Label Studio add to it."""
    stem = _ROBOFLOW.sub("", PurePosixPath(name.replace("\\", "/")).stem)
    return _UPLOAD.sub("", stem)


def numbers_in_names(names: Sequence[str]) -> list[int] | None:
    """Return the number that tells names apart; None if there is none, or it is not different in each.

    Args:
        names: File names of pictures. The last number of a single name counts.
    """
    stems = [plain_stem(name) for name in names]
    runs = [_NUMBER.findall(stem) for stem in stems]
    if not runs or not all(runs):
        return None
    if len({_NUMBER.sub("0", stem) for stem in stems}) > 1:  # not the frames of one video
        return None
    columns = [[int(number) for number in column] for column in zip(*runs, strict=True)][::-1]
    return next((column for column in columns if len(set(column)) == len(names)), None)


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
    by_name = _by_name(names, video.frame_names)
    if by_name is not None:
        return by_name
    if len(names) > total:
        raise FieldError(f"lists {len(names)} images, but the video has {total} frames; pass the video of these images")
    if len(names) == total:
        return FramePlaces(tuple(range(total)))
    return _by_number(names, indices, total)


def _by_name(names: Sequence[str], frame_names: Sequence[str] | None) -> FramePlaces | None:
    if frame_names is None:
        return None
    frames = {name: frame for frame, name in enumerate(frame_names)}
    plain = {plain_stem(name): frame for name, frame in frames.items()}
    for stems, known in (([PurePosixPath(n).stem for n in names], frames), ([plain_stem(n) for n in names], plain)):
        if len(set(stems)) == len(stems) and all(stem in known for stem in stems):
            return FramePlaces(tuple(known[stem] for stem in stems))
    return None


def _by_number(names: Sequence[str], indices: Sequence[int] | None, total: int) -> FramePlaces:
    in_names = numbers_in_names(names)
    if indices and in_names and len({a - b for a, b in zip(indices, in_names, strict=True)}) == 1:
        in_names = None  # the names count from another frame
    clues = [("frame numbers", indices), ("the numbers in file names", in_names)]
    known = [(clue, list(numbers)) for clue, numbers in clues if numbers]
    if not known:
        raise FieldError(
            f"lists {len(names)} images for a video of {total} frames, and nothing says which frames they are; add "
            "frame_index to the images, or pass a video of these frames alone"
        )
    count = list(range(len(names)))
    known = [pair for pair in known if pair[1] != count] or known  # a mere count of the images says little
    for clue, numbers in known:
        for start in (0, 1):
            if min(numbers) >= start and max(numbers) < total + start and len(set(numbers)) == len(numbers):
                frames = tuple(number - start for number in numbers)
                shown = ", ".join(map(str, frames[:3])) + (", ..." if len(frames) > 3 else "")
                counted = ", which count from 1" if start else ""
                return FramePlaces(frames, f"annotates frames {shown} of {total}, by {clue}{counted}")
    clue, numbers = known[0]
    raise FieldError(
        f"{clue} go from {min(numbers)} to {max(numbers)}, but the video has {total} frames; pass the video of these "
        "images"
    )

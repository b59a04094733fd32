"""The frame that each mask file belongs to, from the names of the files.

Files are paired with frames by a rule that fits all of them:

0. The only image of a video of one frame belongs to it.
1. The frames' own names are known (a folder of frames): equal names; else names that contain those of the frames, or
   the other way round, with the same text around them; else equal numbers. If only some names are those of frames,
   the others are refused.
2. The number in the names that counts from file to file is the 0-based frame. Text around it, padding and numbers that
   stay the same do not matter.
3. Numbers that do not fit so, but are evenly spaced and end at the number of frames, are counted from 1. Numbers
   without a gap, as many as there are frames, are counted from the first of them.
4. Decimal numbers are times in seconds of a video file, if they are those of frames.

All but plain numbers from 0 and names is reported. Names that fit in two ways or in none are refused.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidamodal.formats.base import VideoContext
from vidamodal.media.image_kinds import embedded_names, masks_among, split_numbers
from vidamodal.media.images import is_image
from vidamodal.media.listing import list_folder
from vidamodal.types import InputError


@dataclass(frozen=True)
class FramePairs:
    """The frames of mask files, which may lie in several folders."""

    frames: Mapping[Path, int]
    note: str | None = None
    """How the frames were recognised; None if it is self-evident."""

    @property
    def length(self) -> int:
        """One more than the last frame."""
        return max(self.frames.values()) + 1

    def in_folder(self, folder: Path) -> dict[int, Path]:
        """Return the files in one folder by frame, in order."""
        inside = ((frame, path) for path, frame in self.frames.items() if path.parent == folder)
        return dict(sorted(inside))


def mask_files(folder: Path, video: VideoContext | None = None) -> tuple[list[Path], str | None]:
    """Return the images of masks in a folder, in natural order, and a note on files left out (or None).

    PNGs are preferred to JPEGs beside them, because frames are often JPEGs.
    """
    images = [entry for entry in list_folder(folder) if is_image(entry)]
    return masks_among(images, video.frame_names if video else None)


def pair_with_frames(files: Sequence[Path], video: VideoContext | None) -> FramePairs:
    """Return the frame of each mask file; see the module for the rules.

    Args:
        files: Mask files of one or more objects of a video; those of an object are in one folder.
        video: The video; None if it is unknown, in which case the numbers are the frames.

    Raises:
        InputError: A file belongs to no frame, or to several, or two in one folder belong to the same.
    """
    names = video.frame_names if video is not None else None
    if video is not None and video.info.frames == 1 and len({path.parent for path in files}) == len(files):
        return FramePairs(dict.fromkeys(files, 0))
    pairs = _by_names(files, names) if names else None
    if pairs is None:
        pairs = _by_numbers(files, video)
    _check_different(pairs.frames)
    return pairs


def single_frame_note(frame: int, length: int) -> str:
    """Return the note on masks of one frame of a longer video."""
    others = f"those of the other {length - 1} frames are" if length > 2 else "those of the other frame are"
    return f"the masks of frame {frame}; {others} unknown"


def frame_of_single_file(path: Path, video: VideoContext) -> int:
    """Return the frame of the only mask file of a video: that of its name, or 0 if the name holds no number."""
    has_number = bool(split_numbers(path.stem)[1])
    is_named = path.stem in (video.frame_names or ())
    if not (has_number or is_named):
        return 0
    return pair_with_frames([path], video).frames[path]


# By names


def _by_names(files: Sequence[Path], names: Sequence[str]) -> FramePairs | None:
    """The frames of files that are named like the frames of a video; None if they are not."""
    frames = {name: frame for frame, name in enumerate(names)}
    stems = sorted({path.stem for path in files})
    found: Mapping[str, str] | None = {stem: stem for stem in stems}
    if not frames.keys() >= set(stems):
        found = embedded_names(stems, frames.keys()) or _names_around(stems, frames.keys())
    return None if found is None else FramePairs({path: frames[found[path.stem]] for path in files})


def _names_around(stems: Sequence[str], names: Iterable[str]) -> dict[str, str] | None:
    """The name that contains each stem, with the same text around all of them."""
    known = set(names)
    for name in sorted(known, key=lambda name: (len(name), name)):
        if embedded_names([name], {stems[0]}):
            before, _, after = name.partition(stems[0])
            found = {stem: before + stem + after for stem in stems}
            if known.issuperset(found.values()):
                return found
    return None


# By numbers


@dataclass(frozen=True)
class _Column:
    """One number in the names of the files, or a decimal number of two of them."""

    place: tuple[int, ...]
    values: Mapping[Path, Fraction]


def _by_numbers(files: Sequence[Path], video: VideoContext | None) -> FramePairs:
    columns = _columns(files)
    whole = [column for column in columns if len(column.place) == 1]
    decimal = [column for column in columns if len(column.place) == 2]
    fits = _different([_fit_numbers(column, video) for column in whole] + [_fit_times(c, video) for c in decimal])
    if len(fits) > 1:
        raise InputError(
            f"{files[0]}: the names hold several numbers that may be the frame; name them 00000.png, 00001.png, ..."
        )
    if not fits:
        raise _no_fit(files, whole, video)
    return fits[0]


def _different(fits: Iterable[FramePairs | None]) -> list[FramePairs]:
    """The fits that are not the same as another one."""
    found: list[FramePairs] = []
    for fit in fits:
        if fit is not None and all(fit.frames != other.frames for other in found):
            found.append(fit)
    return found


def _columns(files: Sequence[Path]) -> list[_Column]:
    """The numbers that are different for all files of a folder, in every folder with several files."""
    folders: dict[Path, list[Path]] = {}
    for path in files:
        folders.setdefault(path.parent, []).append(path)
    places: set[tuple[int, ...]] | None = None
    for inside in folders.values():
        _check_alike(inside)
        if len(inside) > 1 or len(folders) == 1:
            found = _counting_places(inside)
            places = found if places is None else places & found
    if places is None:  # one file in each folder
        places = set.intersection(*(_counting_places(inside) for inside in folders.values()))
    columns = [_Column(place, {path: _value(path, place) for path in files}) for place in sorted(places)]
    if not columns:
        raise InputError(
            f"{files[0]}: the file names contain no number that differs in every file; move the masks of each object "
            "into a separate folder, and name them 00000.png, 00001.png, ..."
        )
    return columns


def _check_alike(files: Sequence[Path]) -> None:
    """Refuse a file whose name differs from the others of its folder in more than numbers."""
    texts = [split_numbers(path.stem)[0] for path in files]
    (usual, _), *_ = Counter(texts).most_common(1)
    for path, text in zip(files, texts, strict=True):
        if text != usual or len(text) == 1:
            raise InputError(
                f"{path}: the name is not a frame number like those of the other files; name them 00000.png, "
                "00001.png, ..."
            )


def _counting_places(files: Sequence[Path]) -> set[tuple[int, ...]]:
    """The places of numbers, and of decimal numbers, whose values are different in all names."""
    texts, digits = split_numbers(files[0].stem)
    whole = [(place,) for place in range(len(digits))]
    if len(files) == 1:
        padded = [place for place in whole if len(digits[place[0]]) > 1 and digits[place[0]].startswith("0")]
        return set(padded if len(padded) == 1 else whole)
    decimal = [(place, place + 1) for place in range(len(digits) - 1) if texts[place + 1] == "."]
    _check_different_numbers(files)
    return {place for place in [*whole, *decimal] if len({_value(path, place) for path in files}) == len(files)}


def _check_different_numbers(files: Sequence[Path]) -> None:
    found: dict[tuple[int, ...], Path] = {}
    for path in files:
        first = found.setdefault(tuple(map(int, split_numbers(path.stem)[1])), path)
        if first is not path:
            raise _same_frame(first, path)


def _value(path: Path, place: tuple[int, ...]) -> Fraction:
    digits = split_numbers(path.stem)[1]
    if place[-1] >= len(digits):
        raise InputError(f"{path}: the name is not a frame number; name the files 00000.png, 00001.png, ...")
    whole = Fraction(int(digits[place[0]]))
    return whole if len(place) == 1 else whole + Fraction(int(digits[place[1]]), 10 ** len(digits[place[1]]))


def _fit_numbers(column: _Column, video: VideoContext | None) -> FramePairs | None:
    """The frames of whole numbers; None if they are beyond the video however they are counted."""
    values = {path: int(value) for path, value in column.values.items()}
    if video is None:
        return FramePairs(values)
    length, names = video.info.frames, video.frame_names
    if names is not None and (by_number := _numbers_of(names)) is not None and by_number.keys() >= set(values.values()):
        return FramePairs({path: by_number[value] for path, value in values.items()})
    numbers = sorted(set(values.values()))
    first, last = numbers[0], numbers[-1]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    is_complete = steps == {1} and len(numbers) == length
    if names is not None and any(path.stem in names for path in values) and not is_complete:
        return None
    example = min(values, key=lambda path: values[path]).name
    if last < length:
        return FramePairs(values, _note_from_zero(numbers, example, names))
    is_even = len(steps) == 1 and (first == 1 or steps == {1})
    if first >= 1 and last == length and is_even:
        note = f"file names count from 1: {example} is frame {first - 1}"
        return FramePairs({path: value - 1 for path, value in values.items()}, note)
    if is_complete:
        note = f"file names count from {first}: {example} is frame 0"
        return FramePairs({path: value - first for path, value in values.items()}, note)
    return None


def _note_from_zero(numbers: Sequence[int], example: str, names: Sequence[str] | None) -> str | None:
    if names is not None:
        return f"the frames have other names ({names[0]}); numbers are 0-based frames: {example} is frame {numbers[0]}"
    is_run_from_one = numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 1
    return f"{example} is read as frame 1 (0-based); frame 0 has no file" if is_run_from_one else None


def _numbers_of(names: Sequence[str]) -> Mapping[int, int] | None:
    """The frame of each number in the names of frames; None if it is not clear which number counts them."""
    try:
        columns = [column for column in _columns([Path(name + ".png") for name in names]) if len(column.place) == 1]
    except InputError:
        return None
    if len(columns) != 1:
        return None
    return {int(value): frame for frame, value in enumerate(columns[0].values.values())}


def _fit_times(column: _Column, video: VideoContext | None) -> FramePairs | None:
    """The frames of times in seconds; None if the times are not those of frames."""
    if video is None or video.frame_names is not None:
        return None
    fps = Fraction(video.info.fps)
    frames = {path: round(value * fps) for path, value in column.values.items()}
    digits = max(len(split_numbers(path.stem)[1][column.place[1]]) for path in frames)
    cut = fps / 10**digits  # times may be cut after their last digit
    tolerance = (cut if cut < Fraction(2, 5) else 0) + Fraction(1, 100)
    is_close = all(abs(column.values[path] * fps - frame) <= tolerance for path, frame in frames.items())
    different = len(set(frames.values())) == len(set(column.values.values()))
    if not is_close or not different or max(frames.values()) >= video.info.frames:
        return None
    last = max(frames, key=lambda path: frames[path])
    return FramePairs(
        frames, f"named by time at {video.info.fps:g} frames per second: {last.name} is frame {frames[last]}"
    )


def _no_fit(files: Sequence[Path], columns: Sequence[_Column], video: VideoContext | None) -> InputError:
    """The error for numbers that are no frames of the video."""
    if video is None or not columns:
        return InputError(f"{files[0]}: the name is not a frame number; name the files 00000.png, 00001.png, ...")
    if video.frame_names is not None:
        strange = next((path for path in files if path.stem not in video.frame_names), files[0])
        return InputError(f"{strange}: no frame of the video has this name; name each file like its frame")
    length = video.info.frames
    path, value = next(item for item in columns[0].values.items() if item[1] >= length)
    return InputError(
        f"{path}: frame {value} is beyond the end of the video ({length} frames); remove it, or pass the files of this "
        "video"
    )


def _check_different(frames: Mapping[Path, int]) -> None:
    found: dict[tuple[Path, int], Path] = {}
    for path, frame in frames.items():
        first = found.setdefault((path.parent, frame), path)
        if first is not path:
            raise _same_frame(first, path)


def _same_frame(first: Path, second: Path) -> InputError:
    return InputError(f"{first.parent}: {first.name} and {second.name} are for the same frame; keep one")

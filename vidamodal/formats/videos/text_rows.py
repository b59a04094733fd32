"""Text files with one row per object and frame: what MOT, MOTS and KITTI share.

A file belongs to a sequence. Its size and length come from the video that is passed, else from ``seqinfo.ini``
(MOTChallenge), else from the frames of the sequence: ``<sequence>/img1`` beside ``<sequence>/gt/gt.txt``, or
``image_02/<sequence>`` beside the folder of ``<sequence>.txt`` (KITTI).
"""

from __future__ import annotations

import configparser
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vidamodal.formats.annotation_files import errors_in
from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.clip_record import clips_by_key
from vidamodal.media.images import is_image
from vidamodal.media.json_records import FieldError, excerpt
from vidamodal.media.listing import find_in_folder
from vidamodal.media.video import open_video
from vidamodal.tracks.check import check_video
from vidamodal.types import Box, ClipTracks, Frame, InputError, Rle, Track, VideoInfo

MAX_TEXT = 2**26
"""Largest text file that is read, in bytes."""
MAX_ENTRIES = 2**22
"""Largest product of frames and objects that is read from a file whose frame numbers are free."""
_FIRST = 2**13
_FOLDERS = ("gt", "det")


@dataclass(frozen=True)
class Row:
    """One line of a file that is not blank."""

    line: int
    """Number of the line, from 1."""
    fields: tuple[str, ...]

    def integer(self, place: int, name: str) -> int:
        """Return a field as an integer; a whole number with decimals, such as 3.00, is one.

        Raises:
            FieldError: It is not.
        """
        value = self.number(place, name)
        if not value.is_integer() or abs(value) >= 2**53:
            raise FieldError(f"line {self.line}: the {name} must be an integer, not {excerpt(self.fields[place])}")
        return int(value)

    def number(self, place: int, name: str) -> float:
        """Return a field as a finite number.

        Raises:
            FieldError: It is not.
        """
        try:
            value = float(self.fields[place])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FieldError(f"line {self.line}: the {name} must be a number, not {excerpt(self.fields[place])}")
        return value


def find_files(path: Path, places: Sequence[str], first_line: re.Pattern[str]) -> list[Path]:
    """Return the files at a path whose first line matches a pattern.

    Args:
        path: A file, or a folder.
        places: Patterns of files below a folder; the first one under which there is such a file counts.
        first_line: Matches the beginning of the first line that is not blank.
    """
    groups = [[path]] if path.is_file() else [find_in_folder(path, place) for place in places]
    matching = ([file for file in group if _matches(file, first_line)] for group in groups)
    return next((found for found in matching if found), [])


def fit_of(path: Path, files: Sequence[Path]) -> Fit:
    """Return how well a path with such files matches: exactly if they lie in folders that the format names."""
    return Fit.NONE if not files else Fit.CERTAIN if files[0].parent == path or path.is_file() else Fit.EXACT


def _matches(file: Path, first_line: re.Pattern[str]) -> bool:
    if file.suffix.lower() != ".txt" or not file.is_file():
        return False
    with file.open("rb") as handle:
        start = handle.read(_FIRST).decode("utf-8", errors="replace")
    return first_line.match(start.lstrip("\ufeff \t\r\n")) is not None


def read_rows(file: Path, separator: str | None, columns: range) -> Iterator[Row]:
    """Read the rows of a file.

    Args:
        file: The file.
        separator: The text between fields; None is any white space.
        columns: Accepted numbers of fields.

    Raises:
        InputError: The file is too large, or not text.
        FieldError: A row has another number of fields.
    """
    if file.stat().st_size > MAX_TEXT:
        raise InputError(f"{file}: larger than {MAX_TEXT >> 20} MiB; split it into shorter sequences")
    with file.open(encoding="utf-8-sig", errors="replace") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            fields = tuple(field.strip() for field in line.strip().split(separator))
            if len(fields) not in columns:
                raise FieldError(
                    f"line {number}: {len(fields)} values, but a row has {columns[0]} to {columns[-1]}; write it again"
                )
            yield Row(number, fields)


# The sequence of a file


@dataclass(frozen=True)
class SequenceInfo:
    """The sequence that a file annotates, as far as it is known without the file."""

    name: str
    is_described: bool
    """True if it has a seqinfo.ini, as in MOTChallenge."""
    fps: float | None
    frames: int | None
    size: tuple[int, int] | None
    """Height and width."""
    pictures: Path | None
    """Folder of its frames."""


@dataclass(frozen=True)
class RowFormat:
    """Assumptions of a format about its sequences."""

    first: int
    """Number of the first frame."""
    fps: float
    """Frame rate where nothing states it."""
    first_in_challenge: int = 1
    """Number of the first frame of sequences with a seqinfo.ini."""


@dataclass(frozen=True)
class Placement:
    """The video of a file, and how its frames are numbered."""

    video: VideoInfo
    first: int
    """Number of the first frame."""
    notes: tuple[str, ...]

    @property
    def numbers(self) -> range:
        """The numbers of all frames."""
        return range(self.first, self.first + self.video.frames)


def find_sequence(file: Path) -> SequenceInfo:
    """Return the sequence of a file.

    Raises:
        InputError: Its seqinfo.ini or its first frame is damaged.
    """
    base = file.absolute().parent.parent
    in_folder = file.parent.name in _FOLDERS
    ini = next((ini for folder in (file.parent, base) if (ini := folder / "seqinfo.ini").is_file()), None)
    info = {} if ini is None else _read_ini(ini)
    name = info.get("imdir", "")
    plain = name if re.fullmatch("[A-Za-z0-9_-]{1,64}", name) else "img1"
    folders = (base / "image_02" / file.stem, *([base / plain] if in_folder else []), file.parent / plain)
    pictures = next((folder for folder in folders if folder.is_dir() and any(map(is_image, folder.iterdir()))), None)
    first = None if pictures is None else open_video(pictures).info
    size = None if first is None else (first.height, first.width)
    if "imheight" in info and "imwidth" in info:
        size = int(info["imheight"]), int(info["imwidth"])
    return SequenceInfo(
        name=base.name if in_folder else file.stem,
        is_described=ini is not None,
        fps=float(info["framerate"]) if "framerate" in info else None,
        frames=int(info["seqlength"]) if "seqlength" in info else None if first is None else first.frames,
        size=size,
        pictures=pictures,
    )


def _read_ini(path: Path) -> Mapping[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        if path.stat().st_size > _FIRST:
            raise ValueError("too long")
        parser.read_string(path.read_text(encoding="utf-8-sig"))
        info = dict(parser["Sequence"])
        for key in ("seqlength", "imheight", "imwidth"):
            int(info.get(key, "1"))
        if not 0 < float(info.get("framerate", "1")) < 1e6:
            raise ValueError(f"the frame rate is {info['framerate']}")
    except (ValueError, KeyError, configparser.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: invalid seqinfo.ini ({reason}); write it again") from None
    return info


def place_rows(
    file: Path,
    numbers: Collection[int],
    objects: int,
    form: RowFormat,
    video: VideoContext | None,
    size: tuple[int, int] | None = None,
) -> Placement:
    """Return the video and the mapping from frame numbers to frames.

    The first frame has the number in its file name if the video is a folder of numbered frames, else the one that the
    format documents. If the numbers then do not fit the video, but do when counted from the other of 0 and 1, they are
    counted so, and this is reported. Numbers that are counted from 0, but begin with 1, are reported too.

    Args:
        file: The file.
        numbers: The numbers of its frames.
        objects: The number of its objects.
        form: What the format assumes.
        video: The video that was passed.
        size: The height and width that the file states.

    Raises:
        InputError: The size is unknown, or a number lies outside the video.
    """
    sequence = find_sequence(file)
    length = sequence.frames if video is None else video.info.frames
    names = None if video is None else video.frame_names
    usual = form.first_in_challenge if sequence.is_described else form.first
    expected = (usual, _number(names[0]) if names else None)
    first = _first_number(numbers, length, *expected)
    notes: tuple[str, ...] = () if first in expected else (f"{file.name}: frames are counted from {first}",)
    if first == 0 and expected[1] is None and len(numbers) > 1 and min(numbers) == 1:
        notes = (f"{file.name}: numbers from 1 are read as 0-based frames; frame 0 has no row",)
    info = None if video is None else video.info
    if info is None:
        size = size or sequence.size
        if size is None:
            raise InputError(f"{file}: states no image size, and there are no frames beside it; pass its video")
        if length is None:
            length = max(numbers, default=first) - first + 1
            notes = (*notes, f"{file.name}: the length of the video is not stated; the last annotated frame ends it")
        info = VideoInfo(sequence.name, *size, length, sequence.fps or form.fps)
    with errors_in(file):
        check_video(info)
    beyond = next((number for number in numbers if not 0 <= number - first < info.frames), None)
    if beyond is not None:
        raise InputError(
            f"{file}: frame {beyond} lies outside the video ({info.frames} frames, counted from {first}); pass the "
            "video of these annotations"
        )
    if info.frames * objects > MAX_ENTRIES:
        raise InputError(
            f"{file}: {objects} objects in {info.frames} frames, more than can be read at once; split the sequence"
        )
    return Placement(info, first, notes)


def _first_number(numbers: Collection[int], length: int | None, usual: int, named: int | None) -> int:
    def fits(first: int) -> bool:
        return all(number >= first and (length is None or number - first < length) for number in numbers)

    choices = (usual, 1 - usual) if named is None else (named, usual, 1 - usual)
    return next(filter(fits, choices), usual)


def _number(name: str) -> int | None:
    """The number that a name of at most 9 digits is; None for other names."""
    return int(name) if re.fullmatch("[0-9]{1,9}", name) else None


# Clips


ReadFile = Callable[[Path, VideoContext | None], ClipTracks]


def sequence_clips(path: Path, files: Sequence[Path], read: ReadFile, video: VideoContext | None) -> dict[str, Clip]:
    """Return a clip for each file; its key is the name of the sequence."""

    def clip(file: Path) -> Clip:
        name = file.absolute().parent.parent.name if file.parent.name in _FOLDERS else file.stem
        return Clip(name, partial(_tracks, file, read, video), partial(_frames, file))

    return clips_by_key(map(clip, files), path)


def _tracks(file: Path, read: ReadFile, video: VideoContext | None) -> ClipTracks:
    with errors_in(file):
        return read(file, video)


def _frames(file: Path) -> Iterator[Frame] | None:
    pictures = find_sequence(file).pictures
    return None if pictures is None else open_video(pictures).frames()


def box_track(number: int, label: str | None, boxes: Mapping[int, Box], placed: Placement) -> Track:
    """Return a track with amodal boxes and unknown masks.

    Args:
        number: Its id.
        label: Its label.
        boxes: The boxes by number of the frame.
        placed: The video, and the numbers of its frames.
    """
    unknown: tuple[Rle | None, ...] = (None,) * placed.video.frames
    return Track(number, unknown, label=label, boxes=tuple(boxes.get(t) for t in placed.numbers))


def read_lines(file: Path) -> list[str]:
    """Return the lines of a short text file without surrounding space; none if it does not exist or is too long."""
    if not file.is_file() or file.stat().st_size > _FIRST:
        return []
    return [line.strip() for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines()]

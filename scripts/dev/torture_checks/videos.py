"""Damaged videos, images, masks and annotations, and files built to exhaust memory, for every reader.

Each file is read in a child process with a limit of time and memory. It must be read completely, or refused in one
line.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import av
from PIL import Image

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.bombs import BOMBS, Reader
from scripts.dev.torture_checks.processes import run_child
from tests.formats.mask_data import VIDEO
from tests.formats.samples import ANNOTATIONS, FOLDERS, damage, damage_text
from tests.media.helpers import mutate, picture, sample_videos
from vidamodal.errors import InputError
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.media.video import VideoReader, open_bytes, open_video

NAME = "videos"
TRIED = "damaged or oversized videos, images, masks and annotations, each in one reader"
PROMISE = (
    "read completely or refused in one line within 30 s and 2 GB; frames that the container lists are not left out "
    "without a note"
)
COUNT = 1000

Read = Callable[[Path], None]


@dataclass(frozen=True)
class _Sample:
    """An undamaged file or folder, a way to read it, and a way to damage one of its files."""

    name: str
    path: Path
    read: Read
    damage: Callable[[bytes, random.Random], bytes]


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Read the oversized files first, then damaged copies of the samples in turn; see `base.Check`."""
    (folder / "samples").mkdir()
    samples = _samples(folder / "samples")
    files = itertools.chain(_bombs(folder / "file"), _damaged_copies(samples, folder / "file", seed))
    for case, path, read in itertools.islice(files, count):
        yield Attempt(case, _judge(partial(_read_or_refuse, read, path), folder / "log"))


def _bombs(place: Path) -> Iterator[tuple[str, Path, Read]]:
    for write, kind in BOMBS:
        _empty(place)
        yield f"{kind}: {write.__name__}", write(place), READERS[kind]


def _empty(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()


def _judge(read: Callable[[], int], log: Path) -> str | None:
    ended = run_child(read, log)
    if ended.fault is not None:
        return ended.fault
    if ended.status == 3 or len(ended.lines) > 1:
        return f"silent loss or several lines: {' / '.join(ended.lines)[:300]}"
    return None


def _read_or_refuse(read: Read, path: Path) -> int:
    """Return 0 for a file that was read, 2 for one that was refused, and 3 for one of which a part is missing."""
    try:
        read(path)
    except InputError as error:
        print(error)
        return 2
    except _MissingFramesError as error:
        print(error)
        return 3
    return 0


class _MissingFramesError(Exception):
    """Fewer frames than listed were read, without a note."""


def _check_length(reader: VideoReader, listed: int) -> None:
    """Read all frames and compare their number with the one that the container lists."""
    count = sum(1 for _ in reader.frames())
    if count != reader.info.frames or (count < listed and not reader.notes):
        raise _MissingFramesError(
            f"{count} frames were read, {reader.info.frames} were promised and {listed} are listed"
        )


def read_video(path: Path) -> None:
    """Read a video, an animation, an image or a folder of frames."""
    _check_length(open_video(path), _listed(path))


def read_content(path: Path) -> None:
    """Read a video from memory, as from a shard."""
    _check_length(open_bytes(path.read_bytes(), path.name), _listed(path))


def pick_frames(path: Path) -> None:
    """Read single frames, as training does."""
    reader = open_video(path)
    reader.pick([0, reader.info.frames - 1])


def read_masks(path: Path, video: VideoContext | None = None) -> None:
    """Read all clips of a data set, or the masks of a video, with their pictures."""
    for clip in find_dataset(path, video=video).clips.values():
        tracks = clip.tracks()
        if video is not None and tracks.video.frames != video.info.frames:
            raise _MissingFramesError(f"masks for {tracks.video.frames} of {video.info.frames} frames")
        for _ in clip.frames() or ():
            pass


READERS: dict[Reader, Read] = {
    "video": read_video,
    "masks": read_masks,
    "masks of a video": partial(read_masks, video=VideoContext(VIDEO)),
}


def _listed(path: Path) -> int:
    """Return the number of frames that a container lists, or that an animation or a folder holds; 0 if unknown."""
    if path.is_dir():
        return len(list(path.iterdir()))
    try:
        with Image.open(path) as image:
            # Pillow counts the image that programs without animations show, which is not part of the animation.
            return int(getattr(image, "n_frames", 1)) - bool(getattr(image, "default_image", False))
    except Exception:  # not an image, or one that the reader refuses
        pass
    try:
        with av.open(str(path)) as container:
            return max((stream.frames for stream in container.streams.video), default=0)
    except (av.error.FFmpegError, ValueError):
        return 0


def _samples(folder: Path) -> list[_Sample]:
    found = []
    for path in sample_videos(folder):
        found.append(_Sample(f"open_video {path.name}", path, read_video, mutate))
        if path.suffix in (".mp4", ".mkv", ".webm", ".avi", ".ts"):
            found.append(_Sample(f"open_bytes {path.name}", path, read_content, mutate))
            found.append(_Sample(f"pick {path.name}", path, pick_frames, mutate))
    frames = folder / "frames"
    frames.mkdir()
    for number, suffix in enumerate((".png", ".jpg", ".webp", ".bmp", ".tif")):
        (frames / suffix).mkdir()
        for k in range(3):
            Image.fromarray(picture(number + k)).save(frames / suffix / f"{k:05d}{suffix}")
        found.append(_Sample(f"folder of {suffix}", frames / suffix, read_video, mutate))
    for name, write in FOLDERS.items():
        inner = folder / "masks" / name
        inner.mkdir(parents=True)
        path = write(inner)
        found.append(_Sample(f"masks, {name}", path, READERS["masks"], damage))
        found.append(_Sample(f"masks of a video, {name}", path, READERS["masks of a video"], damage))
    for name, (file, content) in ANNOTATIONS.items():
        inner = folder / "annotations" / name
        inner.mkdir(parents=True)
        path = inner / "damaged" / file
        path.parent.mkdir()
        path.write_bytes(content(inner))
        found.append(_Sample(f"annotations, {name}", path, read_masks, damage_text))
    return found


def _damaged_copies(samples: list[_Sample], place: Path, seed: int) -> Iterator[tuple[str, Path, Read]]:
    headers = [file.read_bytes()[:64] for sample in samples for file in _files(sample.path)]
    for number in itertools.count():
        sample = samples[number % len(samples)]
        choose = random.Random(f"{seed} {number}")
        _empty(place)
        copy = place / sample.path.name
        if sample.path.is_dir():
            shutil.copytree(sample.path, copy)
        else:
            shutil.copy(sample.path, copy)
        file = choose.choice(_files(copy))
        content = file.read_bytes()
        for _ in range(choose.choice((1, 1, 1, 2, 4))):
            content = _damage(content, sample, choose, headers) or b"\0"
        file.write_bytes(content)
        yield f"{sample.name}, copy {number}", copy, sample.read


def _damage(content: bytes, sample: _Sample, choose: random.Random, headers: list[bytes]) -> bytes:
    """Damage a file in the way of its kind, swap its header, or write a wrong size over a number in it."""
    match choose.randrange(8):
        case 0:
            header = choose.choice(headers)[: choose.choice((4, 12, 64))]
            return header + content[len(header) :]
        case 1:
            return _with_wrong_size(content, choose)
        case _:
            return sample.damage(content, choose)


def _with_wrong_size(content: bytes, choose: random.Random) -> bytes:
    """Overwrite two or four bytes of the header with a large, zero or negative number in either byte order."""
    data, length = bytearray(content), choose.choice((2, 4))
    order: Literal["little", "big"] = choose.choice(("little", "big"))
    number = choose.choice((0, 1, 2**15, 2 ** (8 * length - 1) - 1, 2 ** (8 * length) - 1, 100_000 % 2 ** (8 * length)))
    place = choose.randrange(max(1, min(len(data), 1024) - length))
    data[place : place + length] = number.to_bytes(length, order)
    return bytes(data)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())

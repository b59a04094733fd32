"""Long videos and many objects: the memory that a prediction uses does not grow with the length of the video.

The video is 720p, at 12 frames a second, with discs that pass in front of each other; its frames repeat every second,
so that any length is written quickly. A full run is an hour with 8 objects and a minute with 100.
"""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import av
import numpy as np

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import kill, start, wait
from scripts.dev.torture_checks.sandbox import renew, write_inputs
from vidamodal.cli import main as command
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

NAME = "long"
TRIED = (
    "pieces of 10 s of a 720p video with 8 objects, which is predicted at once (an hour in a full run of 361 "
    "attempts), and a video with 100 objects, the last attempt (a sixth of a second for each piece)"
)
PROMISE = (
    "the prediction ends, and its memory stays within that for a video of one piece, a kilobyte for each frame and "
    "object, the size of the masks that are read and written, and 100 MB"
)
COUNT = 361
HEIGHT, WIDTH, FPS, CYCLE = 720, 1280, 12, 12
PIECE = 10 * FPS
"""Frames of an attempt."""
FEW, MANY = 8, 100
"""Objects."""
SLACK = 100
"""MB beside the masks and the promised kilobyte for each frame and object."""
MASKS, RESULT = "tracks.json", "out/tracks.json"
"""Files of the visible masks and of the prediction. The outlines of an untrained model are long: 7 kB for each mask."""
_PAUSE = 0.1
"""Seconds between two measurements."""
_LIMIT = 36_000.0
"""Seconds that a prediction may take."""


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Predict a video of ``count - 1`` pieces with few objects, and a short one with many; see `base.Check`."""
    model = write_inputs(folder / "inputs").model
    pieces = max(count - 1, 1)
    alone = _measure(renew(folder / "video"), model, seed, FEW, PIECE)
    few = _measure(renew(folder / "video"), model, seed, FEW, pieces * PIECE)
    curve, most = _peaks(few, pieces), _most(alone, folder / "video", FEW, pieces * PIECE)
    print(f"{NAME}: MB of {pieces} pieces with {FEW} objects, beside {max(alone):.0f} of one: {_line(curve)}")
    for number, peak in enumerate(curve):
        lost = f"{peak:.0f} MB are more than {most:.0f}" if peak > most else None
        yield Attempt(f"piece {number + 1} of {pieces}", lost)
    if count > 1:
        frames = max(CYCLE, pieces * FPS // 6)
        first = _measure(renew(folder / "video"), model, seed, MANY, CYCLE)
        many = _measure(renew(folder / "video"), model, seed, MANY, frames)
        most = _most(first, folder / "video", MANY, frames)
        print(f"{NAME}: MB of {frames} frames with {MANY} objects, beside {max(first):.0f} of {CYCLE}: {max(many):.0f}")
        lost = f"{max(many):.0f} MB are more than {most:.0f}" if max(many) > most else None
        yield Attempt(f"{frames} frames with {MANY} objects", lost)


def _measure(folder: Path, model: Path, seed: int, objects: int, frames: int) -> list[float]:
    """Predict a video and return the memory in MB at regular times. Raises RuntimeError if it fails."""
    log = folder / "log"
    writer = start(partial(_write_video, folder, seed, objects, frames), log)
    if wait(writer, _LIMIT):
        raise RuntimeError(f"the video was not written: {log.read_text()[-300:]}")
    words = ["predict", folder / "video.mp4", "--masks", folder / MASKS, "--model", model, "--exhaustive"]
    words += ["--out", folder / "out", "--formats", "tracks", "--device", "cpu"]
    child, used, end = start(partial(command, list(map(str, words))), log), [0.0], time.monotonic() + _LIMIT
    while (status := wait(child, _PAUSE)) is None:
        used.append(_resident(child))
        if time.monotonic() > end:
            kill(child)
            raise RuntimeError(f"no end after {_LIMIT:.0f} s")
    if status:
        raise RuntimeError(f"predict exits with {status}: {log.read_text()[-300:]}")
    return used


def _most(short: Sequence[float], folder: Path, objects: int, frames: int) -> float:
    """The memory in MB that a prediction may take, given that of a short video."""
    files = sum((folder / name).stat().st_size for name in (MASKS, RESULT)) / 1e6
    return max(short) + SLACK + frames * objects / 1000 + files


def _resident(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has just ended
        return 0.0
    return pages * resource.getpagesize() / 1e6


def _peaks(used: Sequence[float], pieces: int) -> list[float]:
    """Return the largest measurement of each of several equal parts of the time."""
    edges = [len(used) * k // pieces for k in range(pieces + 1)]
    return [max(used[a : max(b, a + 1)] or used[-1:]) for a, b in itertools.pairwise(edges)]


def _line(curve: Sequence[float]) -> str:
    """Return a curve in at most twenty numbers."""
    step = -(-len(curve) // 20)
    return " ".join(f"{max(curve[k : k + step]):.0f}" for k in range(0, len(curve), step))


def _write_video(folder: Path, seed: int, objects: int, frames: int) -> None:
    """Write a video and the visible masks in it."""
    masks, images = _cycle(np.random.default_rng(seed), objects)
    _repeat(folder / "video.mp4", images, frames)
    tracks = tuple(
        Track(number + 1, tuple(cycle[t % CYCLE] for t in range(frames))) for number, cycle in enumerate(masks)
    )
    info = VideoInfo("video.mp4", HEIGHT, WIDTH, frames, float(FPS))
    write_tracks(folder / MASKS, ClipTracks(info, tracks, exhaustive=True))


def _cycle(rng: np.random.Generator, objects: int) -> tuple[list[list[Rle]], list[np.ndarray]]:
    """Return the visible masks of discs on circles, the first of which is nearest, and the images of a cycle."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius = 400 / objects**0.5
    centres = rng.uniform((radius, radius), (HEIGHT - radius, WIDTH - radius), (objects, 2))
    phases, colours = rng.uniform(0, 2 * np.pi, objects), rng.integers(40, 255, (objects, 3), dtype=np.uint8)
    masks: list[list[Rle]] = [[] for _ in range(objects)]
    images = []
    for t in range(CYCLE):
        free, image = np.ones((HEIGHT, WIDTH), dtype=bool), np.full((HEIGHT, WIDTH, 3), 20, dtype=np.uint8)
        for k in range(objects):
            angle = phases[k] + 2 * np.pi * t / CYCLE
            y, x = centres[k] + radius / 2 * np.array([np.sin(angle), np.cos(angle)])
            disc = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2) & free
            masks[k].append(Rle.encode(disc))
            image[disc] = colours[k]
            free &= ~disc
        images.append(image)
    return masks, images


def _repeat(path: Path, images: Sequence[np.ndarray], frames: int) -> None:
    """Write a video that repeats some images, by repeating the packets of one encoded cycle."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"bf": "0", "preset": "superfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        pictures = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in images]
        packets = [*(packet for picture in pictures for packet in stream.encode(picture)), *stream.encode()]
        contents = [(bytes(packet), packet.is_keyframe) for packet in packets]
        base = packets[0].time_base
        for number in range(frames):
            data, is_key = contents[number % len(contents)]
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, base
            packet.pts = packet.dts = round(number / FPS / base)
            packet.is_keyframe = is_key
            container.mux(packet)

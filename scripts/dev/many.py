"""Time the prediction of many short videos: one worker, two workers, two commands at once, and a shell loop.

    python -m scripts.dev.many [--videos 20]

Prints seconds and ratios of one run. All must write the same files. Two commands with half of the videos each
(``--shard``) share nothing, and so show what two cores can gain. The shell loop predicts the videos one by one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.experiments.common import child_seconds
from vidamodal.commandline import Parser, run_command
from vidamodal.media.video_writer import write_video
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo


def main() -> None:
    """Parse the command line, predict in all ways and print the ratios."""
    parser = Parser(prog="python -m scripts.dev.many", description=__doc__)
    parser.add_argument("--videos", type=int, default=20, help="number of videos")
    parser.add_argument("--frames", type=int, default=24, help="frames of each video")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    options = parser.parse_args()

    def run() -> int:
        with tempfile.TemporaryDirectory() as name:
            return show(compare(Path(name), options.videos, options.frames, options.model))

    raise SystemExit(run_command(run, "many"))


@dataclass(frozen=True)
class Many:
    """Times of all ways.

    Attributes:
        videos: Number of videos.
        frames: Number of frames of each.
        seconds: Seconds and CPU-seconds by way.
        same: True if all wrote the same files.
    """

    videos: int
    frames: int
    seconds: Mapping[str, tuple[float, float]]
    same: bool


def compare(folder: Path, count: int, frames: int, model: str) -> Many:
    """Predict the videos in all ways, below a folder."""
    for number in range(count):
        write_example(folder, f"v{number:04d}", number, frames)
    common = ["--model", model, "--quiet", "--out"]
    many = ["predict", str(folder / "videos"), "--masks", str(folder / "masks"), *common]
    timed = {
        f"{n} worker{'s' * (n > 1)}": measure([[*many, str(folder / f"{n}"), "--workers", f"{n}"]]) for n in (1, 2)
    }
    halves = [[*many, str(folder / "halves"), "--shard", f"{k}/2"] for k in (0, 1)]
    timed["2 commands"] = measure(halves, at_once=2)
    keys = [path.stem for path in sorted((folder / "videos").iterdir())]
    timed["shell loop"] = measure([
        ["predict", str(folder / "videos" / f"{key}.mp4"), "--masks", str(folder / "masks" / f"{key}.tracks.json")]
        + [*common, str(folder / "loop" / key)]
        for key in keys
    ])  # fmt: skip
    first, *others = (contents(folder / name, keys) for name in ("1", "2", "halves", "loop"))
    return Many(count, frames, timed, all(other == first for other in others))


def show(many: Many) -> int:
    """Print the times; return 1 if the files differ."""
    first = many.seconds["1 worker"][0]
    for name, (wall, cpu) in many.seconds.items():
        print(f"{name:10}  {wall:7.1f} s  {cpu:7.1f} CPU-s  {wall / first:5.2f} of one worker")
    print(f"{many.videos} videos of {many.frames} frames; {'the same files' if many.same else 'DIFFERENT FILES'}")
    return 0 if many.same else 1


def write_example(folder: Path, key: str, seed: int, frames: int) -> None:
    """Write a video of two discs, of which one passes in front of the other, and its masks."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:96, :96] + 0.5
    near, far, step = generator.uniform(20, 40, 2), generator.uniform(45, 70, 2), generator.uniform(0.5, 2, 2)
    front = np.stack(
        [np.hypot(columns - near[0] - t * step[0], rows - near[1] - t * step[1]) < 14 for t in range(frames)]
    )
    back = np.broadcast_to(np.hypot(columns - far[0], rows - far[1]) < 18, front.shape) & ~front
    video = np.where(front[..., None], (200, 60, 60), np.where(back[..., None], (60, 60, 200), (90, 90, 90)))
    for name in ("videos", "masks"):
        (folder / name).mkdir(exist_ok=True)
    write_video(folder / "videos" / f"{key}.mp4", video.astype(np.uint8), 12.0)
    tracks = tuple(Track(k, tuple(map(Rle.encode, masks))) for k, masks in ((1, front), (2, back)))
    clip = ClipTracks(VideoInfo(f"{key}.mp4", 96, 96, frames, 12.0), tracks, exhaustive=True)
    write_tracks(folder / "masks" / f"{key}.tracks.json", clip)


def measure(commands: list[list[str]], at_once: int = 1) -> tuple[float, float]:
    """Run commands, some at once, on one thread each; return seconds and CPU-seconds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(words: list[str]) -> None:
        command = [sys.executable, "-m", "vidamodal.cli", *words]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    began, before = time.monotonic(), child_seconds()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, commands))
    return time.monotonic() - began, child_seconds() - before


def contents(out: Path, keys: list[str]) -> dict[str, bytes]:
    """Return the files of all results; of run.json, everything but the time of the steps."""
    files = {str(p.relative_to(out)): p.read_bytes() for key in keys for p in (out / key).rglob("*") if p.is_file()}
    for name in [name for name in files if name.endswith("run.json")]:
        files[name] = json.dumps({**json.loads(files[name]), "seconds": None}).encode()
    return files


if __name__ == "__main__":
    main()

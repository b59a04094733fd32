"""Folders of small videos with masks, and workers that run in the process of the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers import clip_tracks, disc_scene
from vidamodal.batch.workers import Call, Worker, WorkerDiedError
from vidamodal.media.video_writer import write_video
from vidamodal.tracks import write_tracks


def write_videos(folder: Path, keys: list[str], frames: int = 3) -> tuple[Path, Path]:
    """Write a folder of videos and a folder of their masks."""
    videos, masks = folder / "videos", folder / "masks"
    videos.mkdir(parents=True)
    for seed, key in enumerate(keys):
        clip = disc_scene(seed, frames)
        assert clip.image is not None
        write_video(videos / f"{key}.mp4", clip.image, 12.0)
        write_tracks(masks / f"{key}.tracks.json", clip_tracks(clip))
    return videos, masks


class LocalWorker(Worker):
    """A worker in the process of the test. It dies in the calls whose numbers are given."""

    calls = 0
    dies_in: frozenset[int] = frozenset()

    def call(self, function: Call) -> Any:
        LocalWorker.calls += 1
        if LocalWorker.calls in LocalWorker.dies_in:
            raise WorkerDiedError("a worker process died (exit status -9)")
        return function()

    def close(self) -> None:
        pass


def results(out: Path) -> dict[str, bytes]:
    """Return the content of all files; of run.json, everything but the time that the steps took."""
    files = {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
    for name, content in files.items():
        if name.endswith("run.json"):
            files[name] = json.dumps({**json.loads(content), "seconds": None}).encode()
    return files

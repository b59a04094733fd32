"""Small inputs of the commands, and a record of what lies in a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.helpers import small_model, write_toy_clip
from vidamodal.demo import sample_clip
from vidamodal.media.images import save_png
from vidamodal.media.video import open_video
from vidamodal.models.folder import save_model
from vidamodal.tracks import read_tracks, write_tracks
from vidamodal.types import ClipTracks, Track


@dataclass(frozen=True)
class Inputs:
    """A clip with its masks, and an untrained model."""

    video: Path
    masks: Path
    model: Path

    def predict(self, out: Path, *options: object) -> list[object]:
        """Return the arguments of a prediction; options may repeat those given here and replace them."""
        return ["predict", self.video, "--masks", self.masks, "--out", out, "--model", self.model, *options]


class Payload:
    """A pickle of this creates the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.canary}'",)


def write_inputs(folder: Path) -> Inputs:
    """Write the inputs to a folder, which is created."""
    folder.mkdir(parents=True)
    clip = write_toy_clip(folder)
    save_model(folder / "model", small_model(), {}, "# small\n")
    return Inputs(clip.video, clip.truth, folder / "model")


def write_part_of_sample(frames: range, video: Path, masks: Path) -> None:
    """Write some frames of the bundled clip to a folder of PNGs, and their tracks.json to a file."""
    source, truth = sample_clip()
    video.mkdir(parents=True)
    for number, frame in enumerate(open_video(source).frames(frames.start, frames.stop)):
        save_png(video / f"{number:05d}.png", frame)
    clip = read_tracks(truth)
    part = slice(frames.start, frames.stop)

    def cut(values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return None if values is None else values[part]

    tracks = tuple(
        Track(track.id, track.visible[part], amodal=cut(track.amodal), label=track.label) for track in clip.tracks
    )
    info = replace(clip.video, path=video.name, frames=len(frames))
    write_tracks(masks, ClipTracks(info, tracks, exhaustive=clip.exhaustive))


def listing(folder: Path, without: Path | None = None) -> dict[str, str]:
    """Return the kind and content of everything below a folder, by relative path.

    Args:
        folder: The folder. Links are not followed.
        without: A folder or file below it to skip.
    """
    found = {}
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if Path(root, name) != without)
        for name in (*folders, *sorted(files)):
            path = Path(root, name)
            if path != without:
                found[str(path.relative_to(folder))] = _content(path)
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the paths that differ between two listings."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def renew(folder: Path) -> Path:
    """Make an empty folder in the place of an earlier one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _content(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"link to {path.readlink()}"
    if stat.S_ISREG(mode):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "folder" if stat.S_ISDIR(mode) else "other"

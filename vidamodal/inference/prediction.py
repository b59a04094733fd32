"""The result of a prediction, and the folder of files that it is written to."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from vidamodal.inference.cutouts import write_layers, write_prores, write_rgba
from vidamodal.inference.runtime import Timings
from vidamodal.media.ahead import made_ahead
from vidamodal.media.files import check_target, made_folder, temporary_folder, write_text
from vidamodal.media.mask_images import write_object_masks
from vidamodal.media.video import VideoReader
from vidamodal.media.video_writer import write_mask_video, write_video
from vidamodal.report.overlay import overlay_frames
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, FrameOrder, InputError, Rle, Track, VideoInfo

Format = Literal["tracks", "png", "overlay", "masks", "rgba", "prores", "layers"]
DEFAULT_FORMATS: tuple[Format, ...] = ("tracks", "png", "overlay")
_FILES: dict[str, str] = {
    "png": "amodal",
    "masks": "masks",
    "rgba": "rgba",
    "prores": "prores",
    "layers": "layers",
    "overlay": "overlay.mp4",
    "tracks": "tracks.json",
}
"""File or folder of each format, in the order in which they are moved to their final names."""
_RUN = "run.json"


@dataclass(frozen=True)
class Prediction:
    """Amodal tracks of a video.

    Example:
        >>> prediction = vidamodal.predict("video.mp4", "masks/")
        >>> for track in prediction.tracks:
        ...     mask = track.amodal[0].decode()  # boolean, (height, width)
        >>> prediction.save("out")
    """

    clip: ClipTracks
    """All tracks, the order of every frame and their provenance, as tracks.json holds them."""
    run: Mapping[str, Any] = field(compare=False)
    """How the prediction was made: hashes of model and config, seed, versions, mask source and timings."""
    timings: Timings = field(compare=False)
    """Seconds spent in each step."""
    reader: VideoReader = field(compare=False, repr=False)
    """The frames of the video."""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks, each with a visible and an amodal mask and a confidence for every frame."""
        return self.clip.tracks

    @property
    def video(self) -> VideoInfo:
        """Size, length and frame rate of the video."""
        return self.clip.video

    @property
    def order(self) -> tuple[FrameOrder, ...]:
        """Pairs (front id, back id) of every frame."""
        return self.clip.order or ()

    @property
    def notes(self) -> tuple[str, ...]:
        """How the video and its masks were understood, one line each."""
        return self.clip.notes

    @property
    def exhaustive(self) -> bool:
        """True if every object that may occlude another was listed."""
        return self.clip.exhaustive

    def save(self, out: str | os.PathLike[str], formats: Sequence[str] = DEFAULT_FORMATS) -> None:
        """Write the prediction to a folder; an earlier prediction in it is replaced.

        Everything is written to a temporary folder first and moved to its final names at the end, tracks.json last.
        Other files in the folder are kept.

        Args:
            out: The folder.
            formats: What to write: "tracks" (tracks.json), "png" (amodal/<id>/00000.png), "overlay" (overlay.mp4),
                "masks" (masks/<id>.mkv), "rgba" (rgba/<id>/00000.png: the pixels inside the amodal mask), "prores"
                (prores/<id>.mov: the same as ProRes 4444) and "layers" (layers/<k>/00000.png: the amodal masks of the
                objects in occlusion layer k, from 1 in front). run.json is always written.

        Raises:
            InputError: If a format is unknown, or if ``out`` is a file or holds other data under these names.
        """
        check_output(Path(out), formats)
        began = time.perf_counter()
        with made_folder(Path(out)), temporary_folder(out) as temporary:
            self._write(temporary, formats)
            self.timings.seconds["write"] = time.perf_counter() - began
            record = {
                **self.run,
                "formats": list(formats),
                "files": sorted({_RUN, *os.listdir(temporary)}),
                "seconds": {**self.run["seconds"], "write": round(self.timings.seconds["write"], 4)},
            }
            write_text(temporary / _RUN, json.dumps(record, indent=2, sort_keys=True) + "\n")
            _publish(temporary, Path(out))

    def _write(self, folder: Path, formats: Sequence[str]) -> None:
        """Write the formats, two at a time: encoders leave Python to the others."""
        writers: dict[str, Callable[[Path], None]] = {
            "overlay": self._write_overlay,
            "tracks": lambda path: write_tracks(path, self.clip),
            "png": self._write_pngs,
            "masks": self._write_mask_videos,
            "rgba": lambda path: write_rgba(path, self.reader.frames(), self.clip),
            "prores": lambda path: write_prores(path, self.reader.frames(), self.clip),
            "layers": lambda path: write_layers(path, self.clip),
        }
        with ThreadPoolExecutor(2) as threads:
            for task in [
                threads.submit(write, folder / _FILES[kind]) for kind, write in writers.items() if kind in formats
            ]:
                task.result()

    def _write_overlay(self, path: Path) -> None:
        frames = overlay_frames(made_ahead(self.reader.frames()), self.clip)
        write_video(path, made_ahead(frames), self.video.fps, crf=22, preset="ultrafast")

    def _write_pngs(self, folder: Path) -> None:
        for track in self.tracks:
            write_object_masks(folder, track.id, track.amodal or ())

    def _write_mask_videos(self, folder: Path) -> None:
        empty = Rle.empty(self.video.height, self.video.width)
        for track in self.tracks:
            masks = ((mask or empty).decode() for mask in track.amodal or ())
            write_mask_video(folder / f"{track.id}.mkv", masks, self.video.fps)


def check_output(out: Path, formats: Sequence[str], inputs: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Check that a prediction can be written to a folder.

    Args:
        out: The folder.
        formats: The formats to write.
        inputs: Files and folders that must not be replaced.

    Raises:
        InputError: If a format is unknown, if ``out`` is a file, or if other data would be replaced.
    """
    check_formats(formats)
    check_target(out, folder=True)
    replaced = {(out / name).resolve() for name in (_RUN, *_FILES.values())}
    for path in map(Path, inputs):
        if replaced & {path.resolve(), *path.resolve().parents}:
            raise InputError(f"{path}: the results in {out} would replace this input. Pass another out=.")
    for name in sorted({_FILES[kind] for kind in formats} - _earlier_files(out)):
        if (out / name).exists():
            raise InputError(f"{out / name} exists and is not an earlier result. Move it, or pass another out=.")


def check_formats(formats: Sequence[str]) -> None:
    """Raise InputError if a format is unknown, or if there is none."""
    unknown = [name for name in formats if name not in get_args(Format)]
    if unknown or not formats:
        raise InputError(f"unknown format {(unknown or [''])[0]!r}. Choose among {', '.join(get_args(Format))}.")


def _earlier_files(out: Path) -> set[str]:
    """Files and folders that an earlier prediction wrote, according to its run.json. All others are the user's."""
    try:
        listed = json.loads((out / _RUN).read_bytes())["files"]
        return {name for name in (_RUN, *_FILES.values()) if name in listed}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return set()


def _publish(temporary: Path, out: Path) -> None:
    """Move everything to its final name, and remove earlier files that were not written again.

    run.json comes first, because it lists the files of this prediction, and tracks.json last, when all is complete.
    """
    if hasattr(os, "sync"):  # once for hundreds of small files; not on Windows
        os.sync()
    for name in _earlier_files(out) - set(os.listdir(temporary)):
        if (out / name).exists():
            os.replace(out / name, temporary / f".old-{name}")  # removed with the temporary folder
    for name in (_RUN, *_FILES.values()):
        new, old = temporary / name, out / name
        if not new.exists():
            continue
        if old.is_dir() or (old.exists() and not new.is_file()):
            os.replace(old, temporary / f".old-{name}")
        os.replace(new, old)

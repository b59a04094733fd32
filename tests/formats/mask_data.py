"""The same masks in every form that is read, for the tests of formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vidamodal.formats import VideoContext
from vidamodal.formats import read_masks as read_masks_of
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo


def read_masks(path: Path, video: VideoInfo, names: list[str] | None = None) -> ClipTracks:
    """Return the masks of a video, or of a folder of frames with these names."""
    return read_masks_of(path, VideoContext(video, None if names is None else tuple(names)))


H, W, T = 9, 7, 6
VIDEO = VideoInfo("v.mp4", H, W, T, 12.0)


FRAMES = [0, 1, 3, 4]
"""The annotated frames: 2 and 5 are not."""


def id_maps() -> np.ndarray:
    """(4, h, w): object 1 in all annotated frames but the third, object 5 from the second on, nothing in the last."""
    maps = np.zeros((len(FRAMES), H, W), dtype=np.uint8)
    maps[[0, 1], 1:4, 1:3] = 1
    maps[[1, 2], 5:, 2:] = 5
    return maps


def expected() -> ClipTracks:
    maps, nothing = id_maps(), Rle.empty(H, W)
    one = (Rle.encode(maps[0] == 1), Rle.encode(maps[1] == 1), None, nothing, nothing, None)
    five = (None, Rle.encode(maps[1] == 5), None, Rle.encode(maps[2] == 5), nothing, None)
    return ClipTracks(VIDEO, (Track(1, one), Track(5, five)))


def save_palette(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette([17 * i % 256 for i in range(768)])
    image.save(path)


def save_grey(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def as_palette(path: Path) -> Path:
    for frame, values in zip(FRAMES, id_maps(), strict=True):
        save_palette(path / f"{frame:05d}.png", values)
    return path


def as_grey(path: Path) -> Path:
    for frame, values in zip(FRAMES, id_maps(), strict=True):
        save_grey(path / f"frame_{frame}.png", values.astype(np.uint16))
    return path


def as_object_folders(path: Path) -> Path:
    for number, name in ((1, "001"), (5, "005")):
        for frame, values in zip(FRAMES, id_maps() == number, strict=True):
            save_grey(path / name / f"{frame:05d}.png", values.astype(np.uint8) * 255)
    return path


def as_id_npz(path: Path) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), masks=id_maps().astype(np.int64), frames=FRAMES)
    return path.with_suffix(".npz")


def as_bool_npz(path: Path) -> Path:
    stack = np.stack([id_maps() == 5, id_maps() == 1])
    np.savez(path.with_suffix(".npz"), masks=stack, ids=[5, 1], frames=np.array(FRAMES))
    return path.with_suffix(".npz")


def as_tracks(path: Path) -> Path:
    write_tracks(path, expected())
    return path

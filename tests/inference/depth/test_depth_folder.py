"""Depth maps from files: formats, numbering, sizes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidamodal.formats import VideoContext
from vidamodal.inference.depth.depth_folder import open_depth_folder
from vidamodal.inference.depth.depth_source import DepthSource
from vidamodal.types import InputError, VideoInfo

VIDEO = VideoContext(VideoInfo("v.mp4", 12, 16, 5, 24.0))
VALUES = np.arange(192, dtype=np.float64).reshape(12, 16) * 100


def open_folder(folder: Path, video: VideoContext = VIDEO) -> DepthSource:
    return open_depth_folder(folder, video, "auto")


def save_png(path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(path)


WRITERS: dict[str, Callable[[Path], None]] = {
    ".png": lambda path: save_png(path, VALUES.astype(np.uint16)),
    ".tif": lambda path: save_png(path, VALUES.astype(np.float32)),
    "16.npy": lambda path: np.save(path, VALUES.astype(np.float16)),
    "32.npy": lambda path: np.save(path, VALUES.astype(np.float32)[None]),
    "64.npy": lambda path: np.save(path, VALUES[..., None]),
    ".npz": lambda path: np.savez(path, depth=VALUES),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_all_kinds_of_files_are_read(kind: str, tmp_path: Path) -> None:
    for frame in (0, 1, 4):
        WRITERS[kind](tmp_path / f"{frame:05d}.{kind.rpartition('.')[2]}")
    (tmp_path / "notes.txt").write_text("made by hand")
    source = open_folder(tmp_path)
    assert source.frames == (0, 1, 4) and source.read(2) is None
    values = source.read(4)
    assert values is not None and np.allclose(values, VALUES, rtol=1e-3)
    assert source.notes == (f"{tmp_path.name}: depth for 3 of 5 frames; the others have none",)


def test_other_sizes_and_numberings_are_reported(tmp_path: Path) -> None:
    for frame in range(1, 6):
        np.save(tmp_path / f"depth_{frame}.npy", VALUES[::2, :12])
    source = open_folder(tmp_path)
    assert source.frames == (0, 1, 2, 3, 4)
    first, second = source.notes
    assert "count from 1" in first
    assert second.endswith("depth maps of 6 x 12 are resized to 12 x 16, which changes their aspect ratio")


def test_grey_of_8_bits_is_read_and_reported(tmp_path: Path) -> None:
    grey = VALUES.astype(np.uint8)
    for frame in range(5):
        save_png(tmp_path / f"{frame}.png", np.stack([grey] * 3, axis=-1) if frame else grey)
    source = open_folder(tmp_path)
    values = source.read(1)
    assert values is not None and np.array_equal(values, grey)
    assert source.notes == (f"{tmp_path.name}: depth maps of 8 bits are coarse; 16 bits are better",)


def _beyond(folder: Path) -> None:
    for frame in (0, 1, 7):
        np.save(folder / f"{frame:05d}.npy", VALUES)


def _mixed_sizes(folder: Path) -> None:
    np.save(folder / "0.npy", VALUES)
    np.save(folder / "1.npy", VALUES[:6])


def _mixed_kinds(folder: Path) -> None:
    np.save(folder / "0.npy", VALUES)
    save_png(folder / "1.png", VALUES.astype(np.uint16))


def _palette(folder: Path) -> None:
    Image.fromarray(VALUES.astype(np.uint8)).convert("P").save(folder / "0.png")


def _damaged(folder: Path) -> None:
    (folder / "0.npy").write_bytes(b"\x93NUMPY\x01\x00v")


def _objects(folder: Path) -> None:
    # NumPy stores such an array as a pickle, which the reader must refuse without opening it.
    np.save(folder / "0.npy", np.array([[object()]]))


def _several_arrays(folder: Path) -> None:
    np.savez(folder / "0.npz", depth=VALUES, mask=VALUES)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "beyond the end": (_beyond, r"frame 7 is beyond the end of the video \(5 frames\)"),
    "several sizes": (_mixed_sizes, "a depth map of 6 x 16, but 0.npy has 12 x 16. Save all maps in one size"),
    "several kinds": (_mixed_kinds, r"depth maps of several kinds \(.npy, .png\). Keep one"),
    "palette": (_palette, "0.png: an image of mode P, which is no depth map. Pass one grey 16-bit PNG"),
    "damaged": (_damaged, "0.npy: cannot be read"),
    "pickled": (_objects, "holds pickled objects, which are never opened"),
    "several arrays": (_several_arrays, "0.npz: 2 arrays. Save an .npz with the depth map alone"),
    "no maps": (lambda folder: (folder / "a.txt").write_text(""), "no depth maps"),
    "no map": (lambda folder: np.save(folder / "0.npy", np.zeros((3, 4, 5))), r"shape \(3, 4, 5\).*is no depth map"),
    "complex": (lambda folder: np.save(folder / "0.npy", VALUES * 1j), "dtype complex128 is no depth map"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_depth_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    write, message = REFUSED[case]
    write(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        open_folder(tmp_path)
    assert "\n" not in str(error.value)


def test_colours_are_refused_when_they_are_read(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    save_png(tmp_path / "0.png", colours)
    with pytest.raises(InputError, match=r"0.png: a picture in colours, from which no depth can be read"):
        open_folder(tmp_path).read(0)


def test_an_array_that_is_cut_off_is_refused_when_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", VALUES)
    content = (tmp_path / "0.npy").read_bytes()
    (tmp_path / "0.npy").write_bytes(content[:-10])
    with pytest.raises(InputError, match="the file ends within the array"):
        open_folder(tmp_path).read(0)

"""A .npy of all frames, and folders of .npy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.mask_data import FRAMES, VIDEO, H, T, W, expected, id_maps, read_masks
from vidamodal.formats import find_dataset
from vidamodal.types import InputError

SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "(h, w)": lambda ids: ids,
    "(h, w, 1)": lambda ids: ids[..., None],
    "(1, h, w)": lambda ids: ids[None],
    "Fortran's order": np.asfortranarray,
}


def save(folder: Path, maps: np.ndarray) -> Path:
    folder.mkdir()
    for frame, ids in zip(FRAMES, maps, strict=True):
        np.save(folder / f"{frame:05d}.npy", ids)
    return folder


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_a_folder_has_a_map_for_each_frame(tmp_path: Path, shape: str, dtype: type) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for frame, ids in zip(FRAMES, id_maps().astype(dtype), strict=True):
        np.save(folder / f"{frame:05d}.npy", SHAPES[shape](ids))
    assert read_masks(folder, VIDEO) == expected()
    (clip,) = find_dataset(folder).clips.values()
    assert clip.tracks().video.frames == 5


def test_booleans_are_one_object(tmp_path: Path) -> None:
    clip = read_masks(save(tmp_path / "masks", id_maps() == 5), VIDEO)
    assert [track.id for track in clip.tracks] == [1]
    assert clip.tracks[0].visible == expected().tracks[1].visible


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.uint64, ">i4", np.float16])
def test_one_file_of_all_frames(tmp_path: Path, dtype: Any) -> None:
    maps: np.ndarray = np.zeros((T, H, W), dtype)
    maps[FRAMES] = id_maps()
    np.save(tmp_path / "all.npy", maps)
    np.savez(tmp_path / "all.npz", masks=maps)
    assert read_masks(tmp_path / "all.npy", VIDEO) == read_masks(tmp_path / "all.npz", VIDEO)
    (clip,) = find_dataset(tmp_path / "all.npy").clips.values()
    assert clip.key == "all" and clip.tracks().video.frames == T


BAD = {
    "a pickle": (np.array([{}], dtype=object), "pickled objects"),
    "logits": (np.full((H, W), -3.5), "non-integer values"),
    "another size": (np.zeros((W, H), np.uint8), r"shape \(7, 9\), which does not fit"),
    "objects": (np.zeros((3, H, W), bool), "3 masks for one frame"),
    "an id below 0": (np.full((H, W), -1), "contains the id -1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    values, message = BAD[name]
    np.save(tmp_path / "00000.npy", values)
    with pytest.raises(InputError, match=message) as error:
        read_masks(tmp_path, VIDEO)
    assert "00000.npy" in str(error.value) and "\n" not in str(error.value)


def test_damaged_arrays_end_in_masks_or_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", id_maps())
    content, generator = (tmp_path / "m.npy").read_bytes(), np.random.default_rng(8)
    for _ in range(300):
        damaged = bytearray(content)
        for place in generator.integers(6, 160, generator.integers(1, 4)):
            damaged[place] = generator.integers(256)
        (tmp_path / "m.npy").write_bytes(damaged[: generator.integers(100, len(content) + 1)])
        try:
            read_masks(tmp_path / "m.npy", VIDEO)
        except InputError:
            continue

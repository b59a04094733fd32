"""Folders of PNGs for each object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from tests.formats.mask_data import VIDEO, H, T, W, read_masks
from tests.formats.video_data import BACK, FRONT, SCENE, only, png, rles, save
from vidamodal.convert import convert
from vidamodal.formats import find_dataset
from vidamodal.media.mask_images import write_object_masks
from vidamodal.types import Rle, Track


def test_written_sav_has_a_folder_for_each_object(tmp_path: Path) -> None:
    convert(save(tmp_path / "source", SCENE), tmp_path / "out", "sav", kind="amodal")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/Annotations/clip-0/7/00001.png")), BACK * 255)


def test_sav_of_other_programs(tmp_path: Path) -> None:
    for number, t, mask in (("000", 0, FRONT), ("000", 4, FRONT), ("001", 4, BACK)):
        png(tmp_path / f"Annotations_6fps/sav_1/{number}/{t:05d}.png", mask)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "SA-V" and list(dataset.clips) == ["sav_1"]
    zero, one = dataset.clips["sav_1"].tracks().tracks
    assert zero == Track(0, rles(FRONT, None, None, None, FRONT)) and one.visible[4] == Rle.encode(BACK)
    for path in (tmp_path / "Annotations_6fps", tmp_path / "Annotations_6fps/sav_1"):
        assert find_dataset(path).format == "SA-V" and only(path).tracks == (zero, one)


@given(npst.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, T), st.just(H), st.just(W))))
@settings(max_examples=25, deadline=None)
def test_overlapping_masks_are_kept(tmp_path_factory: pytest.TempPathFactory, stack: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("masks")
    np.savez(folder / "m.npz", masks=stack)
    for number, masks in enumerate(stack, 1):
        write_object_masks(folder / "out", number, map(Rle.encode, masks))
    clip = read_masks(folder / "m.npz", VIDEO)
    assert read_masks(folder / "out", VIDEO) == clip
    for track, masks in zip(clip.tracks, stack, strict=True):
        for rle, mask in zip(track.visible, masks, strict=False):
            np.testing.assert_array_equal(np.zeros((H, W), dtype=bool) if rle is None else rle.decode(), mask)

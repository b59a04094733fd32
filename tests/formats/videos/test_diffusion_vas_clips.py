"""Clips of Diffusion-VAS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.mask_data import read_masks
from tests.formats.video_data import BACK, FRONT, SCENE, picture, png, rles
from vidamodal.formats import find_dataset
from vidamodal.types import Track


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_frames_and_masks_of_a_clip(suffix: str, tmp_path: Path) -> None:
    for t, mask in enumerate((FRONT, BACK, FRONT)):
        png(tmp_path / f"demo/horse/masks/frame_{t:03d}.png", mask)
        picture(tmp_path / f"demo/horse/rgbs/frame_{t:03d}.{suffix}")
    for path in (tmp_path / "demo", tmp_path / "demo/horse"):
        dataset = find_dataset(path)
        assert dataset.format == "Diffusion-VAS" and list(dataset.clips) == ["horse"]
        clip = dataset.clips["horse"]
        assert clip.tracks().tracks == (Track(1, rles(FRONT, BACK, FRONT)),)
        assert len(list(clip.frames() or ())) == 3
    names = [f"frame_{t:03d}" for t in range(3)]
    for path in (tmp_path / "demo/horse", tmp_path / "demo/horse/masks"):
        assert read_masks(path, SCENE.video, names).tracks == (Track(1, rles(FRONT, BACK, FRONT)),)

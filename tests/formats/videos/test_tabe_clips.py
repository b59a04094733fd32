"""Clips of TABE-51."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.video_data import BACK, FRONT, picture, png, rles
from vidamodal.formats import find_dataset
from vidamodal.types import Track


@pytest.mark.parametrize("known", [1, 3])
def test_visible_and_amodal_masks_of_a_clip(known: int, tmp_path: Path) -> None:
    for t in range(3):
        picture(tmp_path / f"bus_1/frames/{t:05d}.jpg")
        png(tmp_path / f"bus_1/gt_masks/{t:05d}.png", (FRONT | BACK) * 255)
        if t < known:
            png(tmp_path / f"bus_1/visible_masks/{t:05d}.png", FRONT * 255)
    (tmp_path / "bus_1/annos.json").write_text('{"occlusion": []}')
    for path in (tmp_path, tmp_path / "bus_1"):
        dataset = find_dataset(path)
        assert dataset.format == "TABE-51" and list(dataset.clips) == ["bus_1"]
        clip = dataset.clips["bus_1"].tracks()
        seen = [FRONT if t < known else None for t in range(3)]
        assert clip.tracks == (Track(1, rles(*seen), rles(*[FRONT | BACK] * 3)),) and not clip.exhaustive


def test_clips_without_amodal_masks(tmp_path: Path) -> None:
    picture(tmp_path / "frames/00000.jpg")
    png(tmp_path / "visible_masks/00000.png", FRONT * 255)
    (clip,) = find_dataset(tmp_path).clips.values()
    (track,) = clip.tracks().tracks
    assert track.visible == rles(FRONT) and track.amodal is None

"""Pairs of pix2gestalt are read, and refused if they are incomplete."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.formats.image_data import BACK, FRONT, SEEN, checked, frames, gestalt, masks, only, picture, refusal, same


def test_pix2gestalt(tmp_path: Path) -> None:
    clip = only(gestalt(tmp_path))
    tracks = checked(clip)
    assert clip.key == "10000015" and same(masks(tracks), (SEEN, BACK))
    assert tracks.tracks[0].label is None and tracks.order is None and not tracks.exhaustive
    assert np.array_equal(frames(clip)[0][..., 1], FRONT * 255)


def test_half_a_pair_and_masks_of_two_sizes_are_refused(tmp_path: Path) -> None:
    gestalt(tmp_path)
    picture(tmp_path / "whole_mask/10000015_whole_mask.png", height=5)
    assert "make them equal" in refusal(tmp_path)
    (tmp_path / "whole_mask/10000015_whole_mask.png").unlink()
    assert "10000015 has only one of its two masks" in refusal(tmp_path)
    (tmp_path / "visible_object_mask/10000015_visible_mask.png").unlink()
    assert "no <id>_whole_mask.png" in refusal(tmp_path)

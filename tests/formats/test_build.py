"""Visible pixels outside the amodal mask are added to it."""

from __future__ import annotations

from pathlib import Path

from tests.formats.image_data import FRONT, box, checked, kins, masks, only, packed, same, save


def test_a_visible_mask_that_sticks_out_is_added_and_counted(tmp_path: Path) -> None:
    document = kins()
    document["annotations"][2]["i_segm"] = packed(FRONT | box(0, 2, 2, 5))
    clip = checked(only(save(tmp_path / "update_test_2020.json", document)))
    assert same(masks(clip)[2:], (FRONT | box(0, 2, 2, 5), FRONT | box(0, 2, 2, 5)))
    assert clip.provenance["united"] == {"masks": 1, "pixels": 6}

"""D2SA and COCOA-cls are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.image_data import BACK, SEEN, checked, d2sa, frames, masks, picture, same, save
from vidamodal.formats import find_dataset


@pytest.mark.parametrize("name", ["D2S_amodal_validation.json", "COCO_amodal_val2014_with_classes.json"])
def test_d2sa_and_cocoa_cls(tmp_path: Path, name: str) -> None:
    save(tmp_path / "d2s_amodal_annotations_v1" / name, d2sa())
    picture(tmp_path / "d2s_amodal_images_v1/images/D2S_000001.jpg", 77)
    dataset = find_dataset(tmp_path)
    clip = checked(dataset.clips["7"])
    assert dataset.format == "D2SA or COCOA-cls"
    assert same(masks(clip), (SEEN, BACK)) and clip.tracks[0].label == "cyclist"
    assert clip.order is None and not clip.exhaustive
    assert (frames(dataset.clips["7"])[0] == 77).all()

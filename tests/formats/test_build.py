"""Visible pixels outside the amodal mask are added to it."""

from __future__ import annotations

from pathlib import Path

from tests.formats.image_data import FRONT, box, checked, kins, masks, only, packed, same, save
from vidamodal.formats.build import ObjectLabels, mark_unknown
from vidamodal.types import Rle


def test_a_visible_mask_that_sticks_out_is_added_and_counted(tmp_path: Path) -> None:
    document = kins()
    document["annotations"][2]["i_segm"] = packed(FRONT | box(0, 2, 2, 5))
    clip = checked(only(save(tmp_path / "update_test_2020.json", document)))
    assert same(masks(clip)[2:], (FRONT | box(0, 2, 2, 5), FRONT | box(0, 2, 2, 5)))
    assert clip.provenance["united"] == {"masks": 1, "pixels": 6}


def test_an_object_is_unknown_only_after_it_was_seen() -> None:
    masks: list[dict[int, Rle | None]] = [{0: None}, {3: None}, {}, {2: Rle.empty(1, 1)}]
    mark_unknown(masks, {2})
    assert masks == [{0: None, 2: None}, {3: None}, {}, {2: Rle.empty(1, 1)}]


def test_the_first_label_of_an_object_is_kept() -> None:
    labels = ObjectLabels()
    for number, label in ((1, None), (1, "cup"), (2, "mug"), (1, "box"), (2, None), (1, "tin")):
        labels.add(number, label)
    assert labels == {1: "cup", 2: "mug"}
    assert labels.notes() == ["object 1 is labelled cup and box; the first label is kept"]

"""KINS is read with labels, order and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.formats.image_data import (
    BACK,
    FRONT,
    HEIGHT,
    SEEN,
    WIDTH,
    box,
    checked,
    corners,
    edges,
    frames,
    kins,
    masks,
    only,
    packed,
    picture,
    same,
    save,
)
from vidamodal.formats import find_dataset
from vidamodal.types import VideoInfo


def test_kins_of_2020(tmp_path: Path) -> None:
    save(tmp_path / "update_train_2020.json", kins())
    picture(tmp_path / "training/image_2/000003.png", 50)
    picture(tmp_path / "testing/image_2/000003.png", 200)  # another image of the same name
    dataset = find_dataset(tmp_path)
    clip = checked(dataset.clips["7"])
    assert dataset.format == "KINS" and list(dataset.clips) == ["7"]
    assert same(masks(clip), (SEEN, BACK), (box(0, 14, 2, 16), box(0, 14, 2, 16)), (FRONT, FRONT))
    assert [(t.id, t.label) for t in clip.tracks] == [(1, "car"), (2, "cyclist"), (3, "car")]
    assert clip.order == (((3, 1),),) and not clip.exhaustive
    assert clip.video == VideoInfo("000003.png", HEIGHT, WIDTH, 1, 1.0)
    assert clip.provenance == {"layout": "KINS"}
    (frame,) = frames(dataset.clips["7"])
    assert frame.shape == (HEIGHT, WIDTH, 3) and (frame == 50).all()


def test_kins_of_2019_has_no_order(tmp_path: Path) -> None:
    annotation = {"image_id": 7, "category_id": 4, "segmentation": [corners(*edges(BACK))], "inmodal_seg": packed(SEEN)}
    path = save(tmp_path / "instances_val.json", {**kins(), "annotations": [annotation]})
    clip = only(path)
    assert same(masks(checked(clip)), (SEEN, BACK)) and clip.tracks().order is None
    assert clip.frames() is None


@pytest.mark.parametrize(("other", "notes"), [(SEEN, 0), (FRONT, 1), (None, 0)])
def test_a_second_visible_mask(tmp_path: Path, other: np.ndarray | None, notes: int) -> None:
    for number, keys in enumerate((("a_segm", "i_segm"), ("segmentation", "inmodal_seg"))):
        annotation = {"image_id": 7, "category_id": 4, keys[0]: packed(BACK), keys[1]: packed(SEEN)}
        annotation["visible_mask"] = None if other is None else packed(other)
        path = save(tmp_path / f"{number}.json", {**kins(), "annotations": [annotation]})
        clip = only(path).tracks()
        assert same(masks(clip), (SEEN, BACK)) and len(clip.notes) == notes


def test_a_null_visible_mask_is_unknown_and_objects_without_a_mask_are_left_out(tmp_path: Path) -> None:
    document = kins()
    document["annotations"][0]["i_segm"] = None
    document["annotations"][1]["a_segm"] = None
    clip = only(save(tmp_path / "a.json", document)).tracks()
    assert [track.visible[0] is None for track in clip.tracks] == [True, False]
    assert clip.notes == ("a.json: 1 annotation without a mask (a_segm) left out",)

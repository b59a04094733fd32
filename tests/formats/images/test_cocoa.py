"""COCOA and MP3D-Amodal are read; damaged orders are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.image_data import (
    BACK,
    CATEGORIES,
    FRONT,
    SEEN,
    checked,
    cocoa,
    frames,
    masks,
    only,
    packed,
    picture,
    refusal,
    same,
    save,
)
from vidamodal.formats import find_dataset


def test_cocoa(tmp_path: Path) -> None:
    save(tmp_path / "annotations/COCO_amodal_val2014.json", cocoa())
    picture(tmp_path / "val2014/COCO_val2014_7.png", 31)
    dataset = find_dataset(tmp_path)
    clip = checked(dataset.clips["7"])
    assert dataset.format == "COCOA or MP3D-Amodal" and list(dataset.clips) == ["7"]
    assert same(masks(clip), (FRONT, FRONT), (SEEN, BACK))
    assert [t.label for t in clip.tracks] == ["phone", "table"]
    assert clip.order == (((1, 2),),) and not clip.exhaustive
    assert (frames(dataset.clips["7"])[0] == 31).all()


def test_each_annotator_of_an_image_is_a_clip(tmp_path: Path) -> None:
    document = cocoa()
    document["annotations"].append(cocoa(depth_constraint="")["annotations"][0])
    clips = find_dataset(save(tmp_path / "BSDS_amodal_val.json", document)).clips
    assert list(clips) == ["7-0", "7-1"]
    assert [clip.tracks().order for clip in clips.values()] == [(((1, 2),),), ((),)]


def test_mp3d_amodal(tmp_path: Path) -> None:
    region = {"segmentation": packed(BACK), "visible_mask": packed(SEEN), "category_id": 5, "isStuff": 0}
    document = {**cocoa(regions=[region], depth_constraint=""), "categories": CATEGORIES}
    clip = checked(only(save(tmp_path / "mp3d_eval.json", document)))
    assert same(masks(clip), (SEEN, BACK)) and clip.tracks[0].label == "cyclist" and clip.order == ((),)


@pytest.mark.parametrize("constraint", ["1-3", "1-1", "2", "1-2,2-1", "1-2;", "a-b"])
def test_invalid_depth_constraints_are_refused(tmp_path: Path, constraint: str) -> None:
    assert "depth_constraint" in refusal(save(tmp_path / "a.json", cocoa(depth_constraint=constraint)))


def test_a_file_with_one_annotation_is_a_clip(tmp_path: Path) -> None:
    annotation = cocoa()["annotations"][0]
    save(tmp_path / "3.json", annotation)
    save(tmp_path / "10.json", {**annotation, "regions": annotation["regions"][:1], "depth_constraint": ""})
    picture(tmp_path / "10.jpg", 44)
    clips = find_dataset(tmp_path).clips
    assert sorted(clips) == ["10", "3"]
    assert same(masks(checked(clips["3"])), (FRONT, FRONT), (SEEN, BACK))  # the size of the visible mask
    assert same(masks(checked(clips["10"])), (FRONT, FRONT)) and (frames(clips["10"])[0] == 44).all()
    (tmp_path / "10.jpg").unlink()
    assert "put the image beside it" in refusal(tmp_path / "10.json")


def test_a_null_visible_mask_is_unknown(tmp_path: Path) -> None:
    document = cocoa()
    document["annotations"][0]["regions"][1]["visible_mask"] = None
    assert only(save(tmp_path / "a.json", document)).tracks().tracks[1].visible == (None,)

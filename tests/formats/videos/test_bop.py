"""Scenes of BOP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.mask_data import read_masks
from tests.formats.video_data import BACK, FRONT, NOTHING, SCENE, Mask, picture, png, put, refusal, rles
from vidamodal.formats import find_dataset
from vidamodal.types import Track


def scene(
    folder: Path, models: list[list[int]], masks: dict[tuple[int, int], tuple[Mask, Mask]], first: int = 0
) -> Path:
    """Write a scene of objects by image, and their visible and amodal masks by image and place."""
    put(folder / "scene_gt.json", {str(first + t): [{"obj_id": k} for k in ks] for t, ks in enumerate(models)})
    info = {
        str(first + t): [
            {"px_count_visib": int(np.sum(masks[t, k][0])) if (t, k) in masks else 0, "px_count_all": 9}
            for k in range(len(listed))
        ]
        for t, listed in enumerate(models)
    }
    put(folder / "scene_gt_info.json", info)
    for (t, k), pair in masks.items():
        for name, mask in zip(("mask_visib", "mask"), pair, strict=True):
            png(folder / name / f"{first + t:06d}_{k:06d}.png", mask * 255)
    for t in range(len(models)):
        picture(folder / f"rgb/{first + t:06d}.png")
        png(folder / f"depth/{first + t:06d}.png", FRONT)
    return folder


HIDDEN = BACK & ~FRONT
MASKS = {(0, 0): (FRONT, FRONT), (0, 1): (HIDDEN, BACK), (1, 0): (HIDDEN, BACK), (2, 0): (FRONT, FRONT)}
MODELS = [[5, 9], [9], [5, 9]]
TRACKS = (
    Track(5, rles(FRONT, NOTHING, FRONT), rles(FRONT, NOTHING, FRONT), label="obj_000005"),
    Track(9, rles(HIDDEN, HIDDEN, NOTHING), rles(BACK, BACK, None), label="obj_000009"),
)
"""In image 2, object 9 has no mask: nothing of it is visible, and its amodal mask is unknown."""


@pytest.mark.parametrize("first", [0, 1, 48])
def test_objects_are_tracks_by_their_model(first: int, tmp_path: Path) -> None:
    scene(tmp_path / "train_pbr/000003", MODELS, MASKS, first)
    for path, key in ((tmp_path, "train_pbr-000003"), (tmp_path / "train_pbr", "000003")):
        dataset = find_dataset(path)
        assert dataset.format == "BOP" and list(dataset.clips) == [key]
        clip = dataset.clips[key]
        assert clip.tracks().tracks == TRACKS and not clip.tracks().exhaustive and clip.tracks().notes == ()
        assert len(list(clip.frames() or ())) == 3
    found = read_masks(tmp_path / "train_pbr/000003", SCENE.video, [f"{first + t:06d}" for t in range(3)])
    assert [track.visible for track in found.tracks] == [track.visible for track in TRACKS]


def test_two_objects_of_a_model_are_told_apart_by_their_order(tmp_path: Path) -> None:
    masks = {(0, 0): (FRONT, FRONT), (0, 1): (HIDDEN, BACK), (1, 0): (FRONT, FRONT), (1, 1): (HIDDEN, BACK)}
    scene(tmp_path / "s", [[4, 4], [4, 4]], masks)
    (clip,) = find_dataset(tmp_path / "s").clips.values()
    assert [(track.id, track.label) for track in clip.tracks().tracks] == [(1, "obj_000004"), (2, "obj_000004")]
    assert clip.tracks().notes == (
        "s: objects of the same model are identified by their order in each image; tracks are numbered from 1",
    )


def test_a_scene_without_models(tmp_path: Path) -> None:
    scene(tmp_path / "s", MODELS, MASKS)
    (tmp_path / "s/scene_gt.json").unlink()
    (clip,) = find_dataset(tmp_path / "s").clips.values()
    assert [track.id for track in clip.tracks().tracks] == [0, 1]
    assert clip.tracks().notes == ("s: no scene_gt.json; objects are identified by their place in the image",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "its content must be an object"),
        ({}, "lists no images"),
        ({"x": []}, "its keys must be numbers of images"),
        ({"0": 3}, "image 0 must be a list"),
        ({"0": [3]}, "image 0, object 0: it must be an object"),
        ({"0": [{"obj_id": -1}]}, "obj_id -1 is not between"),
        ({"0": [{"obj_id": "a"}]}, "obj_id must be an integer"),
    ],
)
def test_damaged_scenes_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    scene(tmp_path, MODELS, MASKS)
    (tmp_path / "scene_gt_info.json").unlink()
    (tmp_path / "scene_gt.json").write_text(json.dumps(content))
    (clip,) = find_dataset(tmp_path).clips.values()
    assert message in refusal(clip.tracks)

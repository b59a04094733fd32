"""Annotation files are checked before anything in them is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst

from tests.formats.image_data import (
    BACK,
    FRONT,
    HEIGHT,
    SEEN,
    WIDTH,
    box,
    checked,
    corners,
    d2sa,
    frames,
    images,
    kins,
    masks,
    only,
    packed,
    picture,
    plain,
    refusal,
    same,
    save,
)
from vidamodal.formats import find_dataset
from vidamodal.formats.annotation_files import ImageEntry, read_mask


def test_polygons_may_have_parts_and_points_too_few_for_an_area(tmp_path: Path) -> None:
    document = kins()
    left, right = (2, 2, 8, 5), (2, 6, 8, 8)
    document["annotations"][2] |= {"a_segm": [corners(*left), [1, 1, 9, 9], corners(*right)], "i_segm": []}
    clip = checked(only(save(tmp_path / "update_test_2020.json", document)))
    assert same(masks(clip)[2:], (np.zeros_like(FRONT), box(*left) | box(*right)))


HUGE = [0.0, 0.0, 1e9, 0.0, 0.0, 1e9]
LONG = [0.0, 0.0, 2e6, 2e6] * 4


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({"size": [HEIGHT, WIDTH], "counts": "0"}, "sum to"),
        ({"size": [HEIGHT, WIDTH], "counts": "~~"}, "counts"),
        ({"size": [WIDTH, HEIGHT], "counts": packed(BACK)["counts"]}, "size"),
        ({"size": [HEIGHT, WIDTH], "counts": [1, 2]}, "sum to"),
        ({"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]}, "run lengths"),
        ({"size": [HEIGHT, WIDTH + 1], "counts": [HEIGHT * (WIDTH + 1)]}, "size"),
        ({"counts": None}, "counts"),
        ([[1, 2, 3, 4, 5]], "x, y"),
        ([["a", 2, 3, 4, 5, 6]], "x, y"),
        ([[float("nan")] * 6], "coordinate"),
        ([HUGE], "coordinate"),
        ([LONG], "outline"),
        ("text", "segmentation must be"),
    ],
)
def test_a_damaged_mask_is_refused_before_it_is_decoded(tmp_path: Path, mask: Any, words: str) -> None:
    document = d2sa()
    document["annotations"][0]["segmentation"] = mask
    line = refusal(save(tmp_path / "D2S_amodal_validation.json", document))
    assert words in line and "D2S_amodal_validation.json: image 7: annotation 0: segmentation" in line


@pytest.mark.parametrize(
    "name",
    ["../outside.png", "/etc/passwd", "C:\\x.png", "a\\..\\b.png", "a/../../b.png", "C:/x", "a\0b.png", "x" * 999],
)
def test_a_picture_outside_the_data_set_is_not_read(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "outside.png")
    clip = only(save(tmp_path / "set/D2S.json", {**d2sa(), "images": images(name)}))
    assert clip.frames() is None
    tracks = checked(clip)
    assert same(masks(tracks), (SEEN, BACK)) and tracks.video.path == name.replace("\\", "/").rpartition("/")[2]
    assert bool(tracks.notes) == (len(name) < 999)


def test_backslashes_separate_folders(tmp_path: Path) -> None:
    picture(tmp_path / "images/left/a.png", 61)
    clip = only(save(tmp_path / "D2S.json", {**d2sa(), "images": images("left\\a.png")}))
    assert (frames(clip)[0] == 61).all() and clip.tracks().notes == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": images("a.png") * 2}, "is used twice"),
        ({"images": [{"id": 7, "file_name": "a.png", "height": 10**6, "width": 10**6}]}, "at most"),
        ({"images": [{"id": 7, "file_name": "a.png", "height": 0, "width": 5}]}, "at least 1"),
        ({"images": [{"id": [7], "file_name": "a.png", "height": 5, "width": 5}]}, "images[0].id must be an integer"),
        ({"images": [{"id": 7.5, "file_name": "a.png", "height": 5, "width": 5}]}, "images[0].id must be an integer"),
        ({"images": [{"id": 7, "file_name": "a.png", "height": "tall", "width": 5}]}, "images[0].height must be"),
        ({"images": [{"id": 7, "file_name": "a.png", "height": 1e400, "width": 5}]}, "images[0].height must be"),
        ({"images": {}}, "images must be a list"),
        ({"annotations": [{"image_id": 8, "segmentation": 0, "visible_mask": 0}]}, "images does not list"),
        ({"annotations": [], "info": ["segmentation", "visible_mask"]}, "it contains no annotated image"),
        ({"categories": [{"id": 5}]}, "categories[0].name is missing"),
    ],
)
def test_a_damaged_annotation_file_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    line = refusal(save(tmp_path / "D2S.json", d2sa() | change))
    assert words in line and "D2S.json" in line


def test_cut_off_json_and_a_wrong_picture_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "D2S.json", d2sa())
    picture(tmp_path / "images/D2S_000001.jpg", height=HEIGHT + 1)
    assert "its annotation states 12 x 16" in refusal(path)
    path.write_text(path.read_text()[:-9])
    assert "not JSON" in refusal(path)


def test_several_annotation_files_are_ambiguous(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        save(tmp_path / name, d2sa())
    assert "a.json, b.json" in refusal(tmp_path)
    assert list(find_dataset(tmp_path / "a.json").clips) == ["7"]


@given(npst.arrays(bool, (HEIGHT, WIDTH)))
def test_run_lengths_in_all_forms_are_the_same_mask(mask: np.ndarray) -> None:
    compressed, where = packed(mask), ImageEntry(1, "a.jpg", HEIGHT, WIDTH)
    forms = [compressed, {**compressed, "counts": repr(compressed["counts"].encode())}, plain(mask)]
    forms.append({"size": [f"{HEIGHT}", float(WIDTH)], "counts": [float(run) for run in plain(mask)["counts"]]})
    for form in forms:
        assert np.array_equal(read_mask(form, where, "mask").decode(), mask)
        assert np.array_equal(read_mask([form], where, "mask").decode(), mask)

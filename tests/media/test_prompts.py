"""Tests of point and box prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidamodal.media.prompts import Prompt, read_prompts
from vidamodal.types import InputError, VideoInfo

INFO = VideoInfo("v.mp4", 48, 64, 10, 12.0)
POINT = {"id": 1, "frame": 0, "points": [[3, 4.5], [64, 48]], "labels": [1, 0]}
BOX = {"id": 0, "frame": 9, "box": [0, 1, 64, 48]}


def written(folder: Path, *objects: object) -> Path:
    path = folder / "prompts.json"
    path.write_text(json.dumps({"objects": list(objects)}))
    return path


def test_prompts_are_read(tmp_path: Path) -> None:
    plain = {"id": 2, "frame": 3, "points": [[1, 2]]}
    assert read_prompts(written(tmp_path, POINT, plain), "points", INFO) == (
        Prompt(1, 0, ((3, 4.5), (64, 48)), (1, 0)),
        Prompt(2, 3, ((1, 2),), (1,)),
    )
    assert read_prompts(written(tmp_path, BOX), "boxes", INFO) == (Prompt(0, 9, box=(0, 1, 64, 48)),)


@pytest.mark.parametrize(
    ("kind", "objects", "words"),
    [
        ("points", [BOX], r"objects\[0\].box is not a known key; the keys are frame, id, labels, points"),
        ("boxes", [POINT], "is not a known key"),
        ("points", [POINT, POINT], r"objects\[1\].id: 1 appears twice"),
        ("points", [POINT | {"frame": 10}], "frame is 10, but v.mp4 has the frames 0 to 9"),
        ("points", [POINT | {"frame": True}], "frame must be an integer"),
        ("points", [POINT | {"id": -1}], "id must be between 0 and"),
        ("points", [POINT | {"id": 10**30}], "id must be between 0 and"),
        ("points", [POINT | {"points": [[10**400, 0], [0, 0]]}], "must lie inside the image"),
        ("points", [POINT | {"points": [[65, 0], [0, 0]]}], "must lie inside the image of 64 x 48 pixels"),
        ("points", [POINT | {"points": [[0, 49], [0, 0]]}], "must lie inside the image"),
        ("points", [POINT | {"points": [[0, 1, 2], [0, 0]]}], "must hold 2 numbers, not 3"),
        ("points", [POINT | {"points": [["a", 1], [0, 0]]}], "must be a number"),
        ("points", [POINT | {"labels": [1]}], "labels has 1 entries for 2 points"),
        ("points", [POINT | {"labels": [1, 2]}], "must be 1 .* or 0"),
        ("points", [POINT | {"labels": [0, 0]}], "at least one point on the object"),
        ("points", [POINT | {"points": [], "labels": []}], "at least one point on the object"),
        ("boxes", [BOX | {"box": [5, 0, 5, 9]}], "x0 < x1"),
        ("boxes", [BOX | {"box": [float("nan"), 0, 5, 9]}], "must lie inside the image"),
        ("boxes", [{"id": 1, "frame": 0}], r"objects\[0\].box is missing"),
        ("boxes", [], "the list of objects is empty"),
        ("boxes", ["box"], "must be an object"),
    ],
)
def test_invalid_prompts_are_refused(tmp_path: Path, kind: str, objects: list[object], words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        read_prompts(written(tmp_path, *objects), kind, INFO)  # type: ignore[arg-type]
    assert "prompts.json" in str(raised.value) and "\n" not in str(raised.value)


def test_files_that_are_not_json_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for path in (tmp_path / "p.json", tmp_path / "deep.json", tmp_path / "none.json"):
        with pytest.raises(InputError, match="cannot be read as a JSON file of points"):
            read_prompts(path, "points", INFO)

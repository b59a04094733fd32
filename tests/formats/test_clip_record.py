"""A record that does not belong to the masks of its file is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.formats.video_data import BACK, FRONT, H, W, only, put, refusal, rles, written
from vidamodal.convert import convert
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, Track, VideoInfo


def changed(document: Any, *path: Any, value: Any) -> None:
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("annotations", 0, "segmentations", 0), None, "not in the frames that vidamodal.tracks[0] lists"),
        (("videos", 0, "vidamodal", "key"), 5, "vidamodal.key must be a string"),
        (("videos", 0, "vidamodal", "tracks", 0, "number"), None, "number must be an integer"),
        (("videos", 0, "vidamodal", "tracks", 0, "visible"), [1, 1, 1, 0], "has 4 entries for 3 frames"),
        (("videos", 0, "vidamodal", "tracks"), [5], "must be an object"),
        (("videos", 0, "vidamodal", "video", "height"), 10**9, "at most"),
        (("videos", 0, "vidamodal", "video", "height"), 7, "size [6, 5], but the video is [7, 5]"),
        (("videos", 0, "vidamodal", "order"), [[[3, 9]], [], []], "does not name two tracks"),
    ],
)
def test_records_of_other_masks_are_refused(where: tuple[Any, ...], value: Any, message: str, tmp_path: Path) -> None:
    document = written(tmp_path, "youtube-vis")
    changed(document, *where, value=value)
    path = put(tmp_path / "changed.json", document)
    assert message in refusal(lambda: convert(path, tmp_path / "out", "tracks"))
    assert sorted(os.listdir(tmp_path)) == ["changed.json", "out.json", "source"]


def _add_to_coco(path: Path) -> Path:
    document = json.loads(path.read_text())
    document["annotations"].append({**document["annotations"][0], "id": 99, "track_id": 99})
    return put(path, document)


def _add_to_mots(path: Path) -> Path:
    rows = next(path.glob("*.txt"))
    last = rows.read_text().splitlines()[-1].split(" ")
    rows.write_text(rows.read_text() + " ".join([last[0], "2099", *last[2:]]) + "\n")
    return path


def _add_to_cvat(path: Path) -> Path:
    rows = next(path.glob("*.xml"))
    text = rows.read_text()
    track = text[text.rindex("<track") : text.rindex("</annotations>")].replace('group_id="2"', 'group_id="99"')
    rows.write_text(text.replace("</annotations>", f"{track}</annotations>"))
    return path


def _add_to_folders(path: Path) -> Path:
    (first,) = path.glob("Annotations/*/0")
    shutil.copytree(first, first.with_name("99"))
    return path


@pytest.mark.parametrize(
    ("format_id", "name", "add"),
    [
        ("coco", "out.json", _add_to_coco),
        ("mots", "out", _add_to_mots),
        ("cvat", "out", _add_to_cvat),
        ("sav", "out", _add_to_folders),
    ],
)
def test_added_objects_are_refused(format_id: str, name: str, add: Callable[[Path], Path], tmp_path: Path) -> None:
    clip = ClipTracks(
        VideoInfo("clip", H, W, 2, 1.0), (Track(0, rles(FRONT, FRONT)), Track(1, rles(None, BACK & ~FRONT)))
    )
    write_tracks(tmp_path / "source.json", clip)
    convert(tmp_path / "source.json", tmp_path / name, format_id)
    assert only(tmp_path / name).tracks == clip.tracks
    added = add(tmp_path / name)
    assert "does not list the masks of object" in (message := refusal(lambda: only(added)))
    assert "99; if they were changed on purpose, remove all keys" in message

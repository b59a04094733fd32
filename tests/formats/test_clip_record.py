"""A record that does not belong to the masks of its file is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.formats.video_data import put, refusal, written
from vidamodal.convert import convert


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

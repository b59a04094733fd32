"""TAO-Amodal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.formats.video_data import BACK, CORNERS, SCENE, only, packed, put, rles, tao_amodal, written
from vidamodal.tracks import dumps_tracks, loads_tracks
from vidamodal.types import ClipTracks, Rle


def test_tao_amodal_has_boxes_that_leave_the_image(tmp_path: Path) -> None:
    full = np.pad(BACK, ((0, 1), (0, 2)))
    full[2:, 4:] = True
    track = replace(
        SCENE.tracks[1], amodal_full=(Rle.encode(full), Rle.encode(full), Rle.encode(np.zeros((7, 7), bool)))
    )
    video = replace(SCENE.video, canvas=(0, 0, 1, 2))
    document = written(tmp_path, "tao-amodal", clip=ClipTracks(video, (track,)))
    seen, hidden = document["annotations"]
    assert (seen["bbox"], seen["amodal_bbox"], seen["out_of_frame"]) == ([2, 2, 3, 4], [2, 2, 5, 5], True)
    assert seen["visibility"] == round(10 / full.sum(), 4) and not seen["amodal_is_uncertain"]
    assert (hidden["bbox"], hidden["area"], hidden["visibility"]) == ([0, 0, 0, 0], 0, 0.0)
    assert document["tracks"] == [{"id": 1, "category_id": 1, "video_id": 1}]


def test_amodal_boxes_without_masks(tmp_path: Path) -> None:
    for segmentation in ([CORNERS], None, packed(BACK)):
        clip = only(put(tmp_path / "a.json", tao_amodal(segmentation=segmentation)))
        (track,) = clip.tracks
        assert track.boxes == (None, (2.0, 2.0, 11.0, 6.0), None) and track.amodal is None
        assert track.visible == rles(None, BACK if isinstance(segmentation, dict) else None, None)
        assert loads_tracks(dumps_tracks(clip), "again") == clip
        assert "amodal boxes and no masks" in clip.notes[0]


@pytest.mark.parametrize(
    "box", [[1, 1, 0, 4], [1, 1, -2, 4], [1, 1, 1e-9, 4], [float("nan"), 0, 1, 1], [1e308, 0, 1e308, 1]]
)
def test_boxes_without_an_area_are_left_out(box: list[float], tmp_path: Path) -> None:
    assert only(put(tmp_path / "a.json", tao_amodal(amodal_bbox=box))).tracks[0].boxes is None

"""TAO-Amodal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.formats.video_data import BACK, SCENE, written
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

"""Measurements of object-frames."""

from __future__ import annotations

import numpy as np

from dataset_gen.object_frames import measure_object_frames
from tests.dataset_gen.helpers import two_object_clip
from vidamodal.types import ClipTracks, Track


def test_boxes_areas_occluded_fractions_and_counting() -> None:
    clip = two_object_clip()
    measured = measure_object_frames(clip)
    assert measured.boxes[0].tolist() == [[10, 20, 50, 60]] * 4
    assert measured.visible[0].tolist() == [1600, 0, 0, 800] and measured.amodal[0].tolist() == [1600] * 4
    assert measured.occluded[0].tolist() == [0, 1, 1, 0.5]
    assert measured.counted.tolist() == [[True] * 4, [False] * 4]
    unknown = ClipTracks(clip.video, (Track(1, (None, *clip.tracks[0].visible[1:]), clip.tracks[0].amodal),))
    assert np.isnan(measure_object_frames(unknown).occluded[0, 0]) and not measure_object_frames(unknown).counted[0, 0]

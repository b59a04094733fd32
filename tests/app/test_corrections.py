from __future__ import annotations

import numpy as np
import pytest

from tests.report.helpers import box, still
from vidamodal.app.corrections import Corrections
from vidamodal.tracks import dumps_tracks
from vidamodal.types import InputError, Rle, Track

CLIP = still(["mug"], [8])
TRACK = CLIP.tracks[0]


def painted(columns: int) -> np.ndarray:
    return box(64, 64, 20, 2, 36, 2 + columns)


def test_a_painted_mask_is_kept_and_visible_pixels_are_added() -> None:
    corrections, note = Corrections().with_mask(TRACK, 1, painted(12))
    assert note is None and corrections.count == 1
    assert np.array_equal(corrections.masks[0][1].decode(), painted(12))
    corrections, note = corrections.with_mask(TRACK, 1, painted(6))
    assert note is not None and "32 visible pixels were added" in note
    assert np.array_equal(corrections.masks[0][1].decode(), painted(8)) and corrections.count == 1


def test_nothing_painted_is_refused() -> None:
    with pytest.raises(InputError, match="nothing is painted in frame 2"):
        Corrections().with_mask(TRACK, 2, painted(0))


def test_an_object_can_be_gone_only_where_it_is_not_visible() -> None:
    with pytest.raises(InputError, match="object 0 is visible in frame 3"):
        Corrections().with_gone(TRACK, 3)
    unseen = Track(5, (TRACK.visible[0], Rle.empty(64, 64), None), (TRACK.visible[0],) * 3)
    corrections = Corrections().with_gone(unseen, 1).with_gone(unseen, 2)
    assert [mask.area() for mask in corrections.masks[5].values()] == [0, 0]


def test_corrections_can_be_removed() -> None:
    both = Corrections().with_mask(TRACK, 1, painted(12))[0].with_mask(TRACK, 2, painted(13))[0]
    assert list(both.without(0, 1).masks[0]) == [2]
    assert both.without(0, 1).without(0, 2) == Corrections()
    with pytest.raises(InputError, match="object 0 has no correction in frame 3"):
        both.without(0, 3)


def test_they_become_a_tracks_json_with_nothing_but_corrected_masks() -> None:
    tracks = Corrections().with_mask(TRACK, 1, painted(12))[0].as_tracks(CLIP)
    amodal = tracks.tracks[0].amodal
    assert amodal is not None and [mask is not None for mask in amodal] == [False, True, False, False]
    assert tracks.tracks[0].visible == TRACK.visible and tracks.tracks[0].label == "mug"
    assert dumps_tracks(tracks)

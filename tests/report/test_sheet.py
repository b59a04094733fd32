"""Tests of contact sheets and error maps."""

from __future__ import annotations

import numpy as np
import pytest

from tests.report.helpers import box, clip, half_occluded, photo
from vidamodal.report.colours import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE
from vidamodal.report.overlay import (
    ObjectMasks,
    canvas_scale,
)
from vidamodal.report.sheet import clip_sheet, contact_sheet, error_map, side_by_side


def test_contact_sheet_keeps_every_panel_whole() -> None:
    panels = [photo(30, 50, seed) for seed in range(5)] + [photo(20, 20, 9)]
    sheet = contact_sheet(panels, 3, ["one", "two", "", "4", "5", "6"])
    assert sheet.shape[1] == 3 * 50 + 4 * 6
    for panel in panels:
        windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], panel.shape[:2])
        assert (windows == panel[..., 0]).all(axis=(2, 3)).sum() == 1


@pytest.mark.parametrize(
    ("count", "columns", "titles", "message"),
    [(0, 1, (), "needs panels"), (2, 0, (), "needs panels"), (2, 1, ("one",), "1 titles for 2 panels")],
)
def test_invalid_arguments_of_a_contact_sheet_are_refused(
    count: int, columns: int, titles: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet([photo(8, 8)] * count, columns, titles)


def test_error_map_separates_missed_false_and_correct_pixels() -> None:
    frame = photo(600, 600)
    truth = [ObjectMasks(1, box(600, 600, 100, 100, 500, 200), box(600, 600, 100, 100, 500, 400))]
    guess = [ObjectMasks(1, truth[0].visible, box(600, 600, 100, 100, 300, 500))]
    picture = error_map(frame, guess, truth)
    assert (picture[200, 300] == TRUE_POSITIVE).all()
    assert (picture[200, 450] == FALSE_POSITIVE).all()
    assert (picture[400, 300] == FALSE_NEGATIVE).all()
    for y, x in ((200, 150), (400, 450)):
        assert np.ptp(picture[y, x]) == 0, "grey elsewhere"
    assert (error_map(frame, [], truth)[200, 300] == FALSE_NEGATIVE).all()


def test_clip_sheet_has_a_row_per_frame_and_more_columns_with_truth() -> None:
    tracks, frames = clip(6), {index: photo(40, 60, index) for index in (0, 3, 5)}
    plain, checked = clip_sheet(frames, tracks), clip_sheet(frames, tracks, tracks)
    assert plain.shape[0] == checked.shape[0] > 3 * 40 * canvas_scale(40, 60)
    assert plain.shape[1] > 3 * 60 * canvas_scale(40, 60)
    assert checked.shape[1] > 5 * 60 * canvas_scale(40, 60)


def test_side_by_side_shows_occluded_parts_on_the_right_only() -> None:
    item = half_occluded()
    bare = [ObjectMasks(item.id, item.visible, None)]
    different = (side_by_side(photo(600, 600), [item]) != side_by_side(photo(600, 600), bare)).any(axis=(0, 2))
    assert not different[: len(different) // 2].any() and different[len(different) // 2 :].any()


def test_large_frames_are_fitted_to_the_panel() -> None:
    item = ObjectMasks(1, box(720, 1280, 100, 100, 600, 600), box(720, 1280, 100, 100, 600, 900))
    assert side_by_side(photo(720, 1280), [item]).shape[1] == 2 * 512 + 3 * 6

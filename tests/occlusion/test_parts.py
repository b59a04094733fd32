"""Completed parts outside all listed masks, and the judge of which are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidamodal.occlusion.parts import CUTS, FEATURES, NOT_COMPLETED, PartJudge, TrackWindows, find_parts, lower_rejected

SIZE = 24


def body(frames: int = 5) -> TrackWindows:
    """An object of 12 x 8 cells in the middle of each window, in an image that ends at the lower border."""
    visible = np.zeros((frames, SIZE, SIZE), dtype=np.float32)
    visible[:, 6:18, 8:16] = 1
    inside = np.ones_like(visible)
    inside[:, 22:] = 0
    return TrackWindows(visible, np.zeros_like(visible), inside)


def completed(window: TrackWindows, *boxes: tuple[int, slice, slice, float]) -> np.ndarray:
    """Logits of 5 on the visible mask, of -5 elsewhere, and of other values in some boxes of a frame."""
    logits = np.where(window.visible > 0.5, 5.0, -5.0).astype(np.float32)
    for t, rows, columns, value in boxes:
        logits[t, rows, columns] = value
    return logits


def feature(parts: np.ndarray, name: str) -> np.ndarray:
    return parts[:, [text.startswith(name) for text in FEATURES].index(True)]


def keeping(name: str, above: float) -> PartJudge:
    """A judge that keeps parts of which one feature is large."""
    weights = tuple(0.01 * float(text.startswith(name)) for text in FEATURES)
    ones = (1.0,) * len(FEATURES)
    return PartJudge((0.0,) * len(FEATURES), ones, (weights,), (0.0,), (100.0,), -above)


def test_parts_are_connected_cells_above_each_cut() -> None:
    window = body()
    logits = completed(window, (1, slice(8, 14), slice(16, 20), 0.0), (1, slice(10, 12), slice(16, 18), 1.0))
    parts = find_parts(logits, window)
    assert parts.parent.tolist() == [-1, 0]
    assert feature(parts.features, "cut").tolist() == [CUTS[0], CUTS[1]]
    assert [int(np.count_nonzero(parts.labels == k)) for k in (1, 2)] == [24, 4]
    assert not parts.labels[[0, 2, 3, 4]].any()


def test_the_newest_frames_are_judged_as_among_all() -> None:
    window = body()
    logits = completed(window, (1, slice(8, 14), slice(16, 20), 1.0), (4, slice(8, 14), slice(16, 20), 1.0))
    judge = keeping("mean visible share", above=0.5)
    judged, newest = (judge.without_rejected(logits, window, 10.0, since) for since in (0, 4))
    assert (newest[4] == judged[4]).all() and (newest[:4] == logits[:4]).all()
    assert (judged[1] != logits[1]).any() and (judged[4] != logits[4]).any()


def test_listed_objects_and_pixels_outside_the_image_have_no_parts() -> None:
    window = body()
    others = np.zeros_like(window.visible)
    others[:, :, 16:] = 1
    logits = completed(window, (0, slice(8, 14), slice(16, 20), 4.0), (0, slice(22, 24), slice(8, 16), 4.0))
    assert not len(find_parts(logits, replace(window, others=others)).parent)


def test_frames_in_which_nothing_is_visible_have_no_parts() -> None:
    window = body()
    window.visible[2] = 0
    parts = find_parts(completed(window, (2, slice(8, 14), slice(8, 16), 4.0)), window)
    assert not len(parts.parent) and parts.features.shape == (0, len(FEATURES))


def test_features_describe_a_part_and_its_surroundings() -> None:
    window = body()
    window.visible[2, 14:18] = 0  # the lower third is occluded in one frame
    parts = find_parts(completed(window, (2, slice(14, 20), slice(8, 16), 4.0)), window)
    (row,) = parts.features[parts.parent == -1]
    values = {name: feature(row[None], name)[0] for name in FEATURES}
    root = np.sqrt(8 * 8)
    assert values[FEATURES[1]] == pytest.approx(6 / root)
    assert values[FEATURES[5]] == pytest.approx(np.log(48 / 64))
    assert values[FEATURES[6]] == pytest.approx(8 / 28)
    assert values[FEATURES[10]] == pytest.approx(4 / 6)  # other frames show 4 of its 6 rows
    assert values[FEATURES[12]] == pytest.approx(np.log(64 / 96))
    assert values[FEATURES[13]] == pytest.approx((16.5 - 9.5) / root)


def test_a_part_within_a_kept_one_is_not_chosen_again() -> None:
    window = body()
    logits = completed(window, (1, slice(8, 14), slice(16, 20), 0.0), (1, slice(9, 13), slice(16, 18), 4.0))
    parts = find_parts(logits, window)
    assert parts.parent.tolist() == [-1, 0, 1]
    assert parts.choose(np.array([True, True, True])).tolist() == [True, False, False]
    assert parts.choose(np.array([False, True, True])).tolist() == [False, True, False]
    kept = parts.cells(np.array([False, True, False]))
    assert np.count_nonzero(kept) == 8 and kept[1, 9:13, 16:18].all()


def test_rejected_parts_are_lowered_and_kept_ones_stay_as_they_are() -> None:
    window = body()
    small, large = (1, slice(7, 9), slice(16, 18), 2.0), (1, slice(12, 17), slice(16, 21), 2.0)
    logits = completed(window, small, large)
    judged = keeping(FEATURES[1], 0.4).without_rejected(logits, window, certain=10.0)
    assert (judged[1, 12:17, 16:21] == 2.0).all()
    assert (judged[1, 7:9, 16:18] == NOT_COMPLETED).all()
    assert (judged[1, 11, 16:21] == -5.0).all()  # beside a kept part, where it ends
    assert (judged[1, 11:18, 15] == 5.0).all()
    assert (judged <= logits).all()


def test_certain_cells_are_kept_in_any_case() -> None:
    window = body()
    logits = completed(window, (1, slice(8, 11), slice(16, 18), 10.0))
    kept = np.zeros(logits.shape, dtype=bool)
    assert (lower_rejected(logits, kept, window, certain=10.0)[1, 8:11, 16:18] == 10.0).all()
    assert (lower_rejected(logits, kept, window, certain=11.0)[1, 8:11, 16:18] == NOT_COMPLETED).all()


def test_scores_do_not_depend_on_where_in_the_track_a_frame_stands() -> None:
    window = body(30)
    logits = completed(window, (12, slice(8, 14), slice(16, 20), 2.0))
    whole = find_parts(logits, window).features
    piece = slice(4, 21)
    part = find_parts(
        logits[piece], TrackWindows(*(getattr(window, n)[piece] for n in ("visible", "others", "inside")))
    )
    np.testing.assert_allclose(whole, part.features)

"""Tests of overlays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.helpers import box, clip, dilated, half_occluded, photo
from vidamodal.report.colours import object_colour
from vidamodal.report.overlay import (
    ObjectMasks,
    canvas_scale,
    enlarge_frame,
    object_masks_at,
    overlay_frames,
    render_overlay,
)


def test_pixels_away_from_objects_are_untouched() -> None:
    frame, item = photo(600, 600), half_occluded()
    assert item.amodal is not None
    away = ~dilated(item.amodal, 1)
    picture = render_overlay(frame, [item])
    assert (picture[away] == frame[away]).all()
    assert (picture[item.amodal] != frame[item.amodal]).any(axis=-1).mean() > 0.95


def test_the_visible_part_is_filled_and_the_occluded_part_is_hatched() -> None:
    frame, item = np.full((600, 600, 3), 128, np.uint8), half_occluded()
    picture = render_overlay(frame, [item]).astype(int)
    visible, occluded = picture[160:200, 110:280].reshape(-1, 3), picture[160:440, 310:490].reshape(-1, 3)
    tint = (np.array(object_colour(3)) + 128) / 2
    assert np.abs(visible - tint).max() <= 1, "one flat tint"
    assert np.abs(visible[:, None] - occluded[None, ::97]).sum(axis=-1).min() > 0, (
        "no occluded pixel looks like a visible one"
    )
    stripe, between = (np.abs(occluded - target).max(axis=-1) <= 12 for target in (object_colour(3), (99, 99, 100)))
    assert 0.2 < stripe.mean() < 0.5 and 0.3 < between.mean() < 0.7


def test_outline_is_solid_where_seen_and_dashed_where_inferred() -> None:
    frame, item = np.full((600, 600, 3), 128, np.uint8), half_occluded()
    picture = render_overlay(frame, [item]).astype(int)
    on_line = np.abs(picture[149:152] - object_colour(3)).max(axis=-1).min(axis=0) < 8
    assert on_line[110:290].all()
    dashes = on_line[310:490]
    assert 0.3 < dashes.mean() < 0.8
    assert np.count_nonzero(np.diff(dashes.astype(int))) > 10


def test_no_outline_where_the_image_cuts_the_object() -> None:
    frame, mask = np.full((600, 600, 3), 128, np.uint8), box(600, 600, 100, 0, 500, 200)
    picture = render_overlay(frame, [ObjectMasks(3, mask, mask)]).astype(int)
    assert np.abs(picture[120:480, 0] - (np.array(object_colour(3)) + 128) / 2).max() <= 1


def test_an_object_behind_shows_through_the_one_in_front() -> None:
    frame = photo(600, 600)
    front, behind = box(600, 600, 100, 250, 500, 500), half_occluded()
    alone = render_overlay(frame, [ObjectMasks(8, front, front)])
    both = render_overlay(frame, [ObjectMasks(8, front, front), behind])
    inside = (slice(170, 430), slice(320, 480))
    assert (alone[inside] != both[inside]).any(axis=-1).mean() > 0.9


def test_an_object_with_unknown_visible_mask_is_painted_as_occluded() -> None:
    frame, whole = photo(600, 600), box(600, 600, 100, 100, 500, 500)
    unknown, hidden = (
        render_overlay(frame, [ObjectMasks(1, None, whole)]),
        render_overlay(frame, [ObjectMasks(1, np.zeros_like(whole), whole)]),
    )
    assert (unknown == hidden).all()
    assert (unknown != render_overlay(frame, [ObjectMasks(1, whole, None)])).any()


def test_the_order_of_objects_does_not_matter_and_the_frame_is_not_modified() -> None:
    frame = photo(200, 300)
    rng = np.random.default_rng(1)
    items = []
    for index in range(12):
        top, left = int(rng.integers(0, 140)), int(rng.integers(0, 200))
        whole = box(200, 300, top, left, top + 60, left + 100)
        items.append(ObjectMasks(index, whole & (rng.random() > 0.3), whole))
    before = frame.copy()
    first = render_overlay(frame, items)
    assert (frame == before).all() and first.dtype == np.uint8
    assert (first == render_overlay(frame, items)).all()
    assert (first == render_overlay(frame, items[::-1])).all()


def test_colour_of_an_object_does_not_depend_on_the_others() -> None:
    frame, item, other = photo(600, 600), half_occluded(), box(600, 600, 500, 520, 590, 590)
    alone, together = render_overlay(frame, [item]), render_overlay(frame, [item, ObjectMasks(40, other, other)])
    assert (alone[:480] == together[:480]).all()


def test_small_frames_are_enlarged_and_large_ones_kept() -> None:
    for height, width, scale in ((64, 64, 8), (256, 256, 2), (511, 100, 2), (512, 300, 1), (540, 960, 1)):
        assert canvas_scale(height, width) == scale
        assert render_overlay(photo(height, width), []).shape == (height * scale, width * scale, 3)


def test_lines_grow_with_the_picture() -> None:
    def thickness(size: int) -> int:
        whole = box(size, size, size // 4, size // 4, size // 2, size // 2)
        frame = np.full((size, size, 3), 128, np.uint8)
        column = render_overlay(frame, [ObjectMasks(1, whole, whole)])[: size // 4 + size // 16, size * 3 // 8].astype(
            int
        )
        return int((np.abs(column - object_colour(1)).max(axis=-1) < 40).sum())

    assert thickness(2048) > 2 * thickness(512) > 0


def test_without_objects_the_frame_is_unchanged() -> None:
    frame = photo(121, 77)
    nothing = np.zeros((121, 77), dtype=bool)
    expected = enlarge_frame(frame)
    for objects in (
        [],
        [ObjectMasks(1, nothing, nothing)],
        [ObjectMasks(1, None, None), ObjectMasks(2, None, nothing)],
    ):
        assert (render_overlay(frame, objects) == expected).all()


def test_a_single_pixel_is_seen() -> None:
    for size in (64, 700):
        frame, dot = photo(size, size), box(size, size, 30, 30, 31, 31)
        for item in (ObjectMasks(1, dot, dot, ""), ObjectMasks(1, None, dot, "")):
            changed = (render_overlay(frame, [item]) != enlarge_frame(frame)).any(axis=-1)
            assert changed.any()
            assert not (changed & ~dilated(dot, canvas_scale(size, size))).any()


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_any_size_and_any_mask_change_only_pixels_near_the_mask(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, noise = photo(height, width, seed), rng.random((2, height, width)) < rng.random()
    picture = render_overlay(
        frame, [ObjectMasks(0, noise[0] & noise[1], noise[0], ""), ObjectMasks(5, noise[1], None, "")]
    )
    scale = canvas_scale(height, width)
    away = ~dilated(noise[0] | noise[1], scale)
    assert picture.shape == (height * scale, width * scale, 3)
    assert (picture[away] == enlarge_frame(frame)[away]).all()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"object 4: a mask of shape \(20, 30\) for a frame of shape \(30, 20\)"):
        render_overlay(photo(30, 20), [ObjectMasks(4, None, np.ones((20, 30), dtype=bool))])


def test_overlay_frames_reads_one_frame_at_a_time() -> None:
    tracks, taken = clip(6), []

    def frames() -> Iterator[np.ndarray]:
        for index in range(6):
            taken.append(index)
            yield photo(40, 60, index)

    overlays = overlay_frames(frames(), tracks)
    assert taken == []
    first = next(overlays)
    assert taken == [0]
    large = render_overlay(photo(40, 60, 0), object_masks_at(tracks, 0))
    scale = canvas_scale(40, 60)
    assert first.shape == (40, 60, 3)
    averages = large.reshape(40, scale, 60, scale, 3).mean(axis=(1, 3))
    assert np.abs(first - averages).max() <= 1  # every pixel is the mean of those that it was enlarged to
    assert len(list(overlays)) == 5 and taken == list(range(6))


@pytest.mark.parametrize("count", [5, 7])
def test_overlay_frames_refuses_another_number_of_frames(count: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        list(overlay_frames((photo(40, 60) for _ in range(count)), clip(6)))


def test_object_masks_at_omits_objects_without_masks() -> None:
    tracks = clip(2)
    assert [item.id for item in object_masks_at(tracks, 0)] == [1, 7]
    (only,) = object_masks_at(tracks, 1)
    assert only.id == 1 and only.visible is not None and only.amodal is not None
    assert only.visible.sum() == 25 * 20 and only.amodal.sum() == 30 * 20

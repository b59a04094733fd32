"""Overlays, contact sheets and animations: what a person must be able to tell from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from vidamodal.media.images import save_png
from vidamodal.report.colours import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, object_colour
from vidamodal.report.gif import save_gif
from vidamodal.report.overlay import (
    ObjectMasks,
    canvas_scale,
    enlarge_frame,
    object_masks_at,
    overlay_frames,
    render_overlay,
)
from vidamodal.report.sheet import clip_sheet, contact_sheet, error_map, side_by_side
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (height, width, 3), dtype=np.uint8)


def box(height: int, width: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def near(mask: np.ndarray, scale: int) -> np.ndarray:
    """The mask on the canvas with room for the line round it."""
    pixels = -(-5 // scale)
    wide = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0
    return wide.repeat(scale, 0).repeat(scale, 1)


def half_hidden(size: int = 600) -> ObjectMasks:
    """An object whose left half is seen; its label stands on that half."""
    return ObjectMasks(3, box(size, size, 150, 100, 450, 300), box(size, size, 150, 100, 450, 500))


def clip(frames: int, height: int = 40, width: int = 60) -> ClipTracks:
    """A box moving right behind the right half of the picture, and a track without any mask in odd frames."""
    amodal = [box(height, width, 10, 4 + t, 30, 34 + t) for t in range(frames)]
    visible = [mask & box(height, width, 0, 0, height, 30) for mask in amodal]
    odd = [None if t % 2 else Rle.encode(box(height, width, 2, 40, 8, 50)) for t in range(frames)]
    return ClipTracks(
        VideoInfo("clip.mp4", height, width, frames, 12.0),
        (
            Track(1, tuple(map(Rle.encode, visible)), tuple(map(Rle.encode, amodal))),
            Track(7, tuple(odd), tuple(odd)),
        ),
    )


# Overlay


def test_pixels_away_from_objects_are_untouched() -> None:
    frame, item = photo(600, 600), half_hidden()
    away = ~near(item.amodal, 1)
    picture = render_overlay(frame, [item])
    assert (picture[away] == frame[away]).all()
    assert (picture[item.amodal] != frame[item.amodal]).any(axis=-1).mean() > 0.95


def test_visible_is_tinted_and_hidden_is_striped() -> None:
    frame, item = np.full((600, 600, 3), 128, np.uint8), half_hidden()
    picture = render_overlay(frame, [item]).astype(int)
    seen, hidden = picture[160:200, 110:280].reshape(-1, 3), picture[160:440, 310:490].reshape(-1, 3)
    tint = (np.array(object_colour(3)) + 128) / 2
    assert np.abs(seen - tint).max() <= 1, "one flat tint"
    assert np.abs(seen[:, None] - hidden[None, ::97]).sum(axis=-1).min() > 0, "no hidden pixel looks like a visible one"
    stripe, between = (np.abs(hidden - target).max(axis=-1) <= 12 for target in (object_colour(3), (99, 99, 100)))
    assert 0.2 < stripe.mean() < 0.5 and 0.3 < between.mean() < 0.7


def test_outline_is_solid_where_seen_and_dashed_where_inferred() -> None:
    frame, item = np.full((600, 600, 3), 128, np.uint8), half_hidden()
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
    front, behind = box(600, 600, 100, 250, 500, 500), half_hidden()
    alone = render_overlay(frame, [ObjectMasks(8, front, front)])
    both = render_overlay(frame, [ObjectMasks(8, front, front), behind])
    inside = (slice(170, 430), slice(320, 480))
    assert (alone[inside] != both[inside]).any(axis=-1).mean() > 0.9


def test_an_object_with_unknown_visible_mask_is_all_inferred() -> None:
    frame, whole = photo(600, 600), box(600, 600, 100, 100, 500, 500)
    unknown, hidden = (
        render_overlay(frame, [ObjectMasks(1, None, whole)]),
        render_overlay(frame, [ObjectMasks(1, np.zeros_like(whole), whole)]),
    )
    assert (unknown == hidden).all()
    assert (unknown != render_overlay(frame, [ObjectMasks(1, whole, None)])).any()


def test_order_of_objects_does_not_matter_and_the_input_stays() -> None:
    frame = photo(200, 300)
    rng = np.random.default_rng(1)
    items = []
    for index in range(12):
        top, left = rng.integers(0, 140), rng.integers(0, 200)
        whole = box(200, 300, top, left, top + 60, left + 100)
        items.append(ObjectMasks(index, whole & (rng.random() > 0.3), whole))
    before = frame.copy()
    first = render_overlay(frame, items)
    assert (frame == before).all() and first.dtype == np.uint8
    assert (first == render_overlay(frame, items)).all()
    assert (first == render_overlay(frame, items[::-1])).all()


def test_colour_of_an_object_does_not_depend_on_the_others() -> None:
    frame, item, other = photo(600, 600), half_hidden(), box(600, 600, 500, 520, 590, 590)
    alone, together = render_overlay(frame, [item]), render_overlay(frame, [item, ObjectMasks(40, other, other)])
    assert (alone[:480] == together[:480]).all()


def test_colours_of_twelve_objects_are_apart() -> None:
    colours = np.array([object_colour(index) for index in range(1, 13)], dtype=int)
    distance = np.abs(colours[:, None] - colours[None]).sum(axis=-1) + 999 * np.eye(12, dtype=int)
    assert distance.min() > 60
    assert (colours.max(axis=1) > 150).all() and (np.ptp(colours, axis=1) > 60).all(), "bright and saturated"


def label_pixels(objects: list[ObjectMasks]) -> np.ndarray:
    """Where the labels of the objects change the picture."""
    frame = np.full((600, 600, 3), 128, np.uint8)
    bare = [ObjectMasks(item.id, item.visible, item.amodal, "") for item in objects]
    return (render_overlay(frame, objects) != render_overlay(frame, bare)).any(axis=-1)


def test_the_label_stands_on_the_visible_part_else_on_the_hidden_one() -> None:
    whole = box(600, 600, 100, 100, 500, 500)
    for visible, place in ((box(600, 600, 100, 100, 500, 180),) * 2, (None, whole)):
        for label in (None, "77"):
            changed = label_pixels([ObjectMasks(1, visible, whole, label)])
            assert changed.any() and not changed[~place].any()


def test_labels_do_not_overlap_where_there_is_room() -> None:
    whole = box(600, 600, 100, 100, 500, 500)
    one = np.count_nonzero(label_pixels([ObjectMasks(1, whole, whole, "88"), ObjectMasks(2, whole, whole, "")]))
    three = np.count_nonzero(label_pixels([ObjectMasks(index, whole, whole, "88") for index in (1, 2, 3)]))
    assert three > 2.8 * one > 0


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
            assert not (changed & ~near(dot, canvas_scale(size, size))).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_any_size_and_any_mask(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, noise = photo(height, width, seed), rng.random((2, height, width)) < rng.random()
    picture = render_overlay(
        frame, [ObjectMasks(0, noise[0] & noise[1], noise[0], ""), ObjectMasks(5, noise[1], None, "")]
    )
    scale = canvas_scale(height, width)
    away = ~near(noise.any(axis=0), scale)
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
    assert (first == render_overlay(photo(40, 60, 0), object_masks_at(tracks, 0))).all()
    assert len(list(overlays)) == 5 and taken == list(range(6))


@pytest.mark.parametrize("count", [5, 7])
def test_overlay_frames_refuses_another_number_of_frames(count: int) -> None:
    with pytest.raises(ValueError):
        list(overlay_frames((photo(40, 60) for _ in range(count)), clip(6)))


def test_drawn_at_leaves_out_what_is_not_known() -> None:
    tracks = clip(2)
    assert [item.id for item in object_masks_at(tracks, 0)] == [1, 7]
    (only,) = object_masks_at(tracks, 1)
    assert only.id == 1 and only.visible.sum() == 25 * 20 and only.amodal.sum() == 30 * 20


# Sheets


def test_contact_sheet_keeps_every_panel_whole() -> None:
    panels = [photo(30, 50, seed) for seed in range(5)] + [photo(20, 20, 9)]
    sheet = contact_sheet(panels, 3, ["one", "two", "", "4", "5", "6"])
    assert sheet.shape[1] == 3 * 50 + 4 * 6
    for panel in panels:
        windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], panel.shape[:2])
        assert (windows == panel[..., 0]).all(axis=(2, 3)).sum() == 1


@pytest.mark.parametrize(("count", "columns", "titles"), [(0, 1, ()), (2, 0, ()), (2, 1, ("one",))])
def test_contact_sheet_refuses_what_makes_no_sheet(count: int, columns: int, titles: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        contact_sheet([photo(8, 8)] * count, columns, titles)


def test_error_map_tells_missed_false_and_found_apart() -> None:
    frame = photo(600, 600)
    truth = [ObjectMasks(1, box(600, 600, 100, 100, 500, 200), box(600, 600, 100, 100, 500, 400))]
    guess = [ObjectMasks(1, truth[0].visible, box(600, 600, 100, 100, 300, 500))]
    picture = error_map(frame, guess, truth)
    assert (picture[200, 300] == TRUE_POSITIVE).all()
    assert (picture[200, 450] == FALSE_POSITIVE).all()
    assert (picture[400, 300] == FALSE_NEGATIVE).all()
    for y, x in ((200, 150), (400, 450)):
        assert np.ptp(picture[y, x]) == 0, "elsewhere grey"
    assert (error_map(frame, [], truth)[200, 300] == FALSE_NEGATIVE).all()


def test_film_strip_has_a_row_a_frame_and_more_columns_with_truth() -> None:
    tracks, frames = clip(6), {index: photo(40, 60, index) for index in (0, 3, 5)}
    plain, checked = clip_sheet(frames, tracks), clip_sheet(frames, tracks, tracks)
    assert plain.shape[0] == checked.shape[0] > 3 * 40 * canvas_scale(40, 60)
    assert plain.shape[1] > 3 * 60 * canvas_scale(40, 60)
    assert checked.shape[1] > 5 * 60 * canvas_scale(40, 60)


def test_side_by_side_shows_hidden_parts_on_the_right_only() -> None:
    item = half_hidden()
    bare = [ObjectMasks(item.id, item.visible, None)]
    different = (side_by_side(photo(600, 600), [item]) != side_by_side(photo(600, 600), bare)).any(axis=(0, 2))
    assert not different[: len(different) // 2].any() and different[len(different) // 2 :].any()


def test_large_frames_are_fitted_to_the_panel() -> None:
    item = ObjectMasks(1, box(720, 1280, 100, 100, 600, 600), box(720, 1280, 100, 100, 600, 900))
    assert side_by_side(photo(720, 1280), [item]).shape[1] == 2 * 512 + 3 * 6


def test_pictures_are_written_whole(tmp_path: Path) -> None:
    picture = photo(30, 40)
    save_png(tmp_path / "new" / "a.png", picture)
    with Image.open(tmp_path / "new" / "a.png") as read:
        assert (np.array(read) == picture).all()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_gif_plays_every_frame_small_and_the_same_each_time(tmp_path: Path) -> None:
    tracks = clip(24)
    ramp = np.linspace(40, 200, 60).astype(np.uint8)
    frame = np.stack([np.tile(ramp, (40, 1))] * 3, axis=-1)
    for name in ("a.gif", "b.gif"):
        save_gif(
            tmp_path / name, (side_by_side(frame, object_masks_at(tracks, t)) for t in range(24)), 12, max_width=480
        )
    with Image.open(tmp_path / "a.gif") as read:
        assert read.n_frames == 24 and read.width == 480 and read.info["loop"] == 0
        assert read.info["duration"] == 80
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    assert (tmp_path / "a.gif").stat().st_size < 2.5e6


def test_gif_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs at least one frame"):
        save_gif(tmp_path / "a.gif", [], 12)
    assert not list(tmp_path.iterdir())

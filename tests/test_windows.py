"""Windows follow their objects, and the motion of the scene."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.helpers import DISC_SCENE_SIZE, disc_scene
from vidamodal.data.crops import boxes_and_areas
from vidamodal.geometry import Cropper, Windows, paste
from vidamodal.types import InputError
from vidamodal.windows import WindowConfig, box_windows, follow_scene, lay_windows, track_windows

SEEDS = st.integers(0, 2**32 - 1)

CONFIG = WindowConfig()


@st.composite
def seen_boxes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, t, 4) and areas (n, t) of moving objects, occluded in some frames and visible in at least one."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, frames = draw(st.integers(1, 4)), draw(st.integers(1, 60))
    center = rng.uniform(30, 200, (count, 1, 2)) + np.cumsum(rng.normal(0, 2, (count, frames, 2)), axis=1)
    half = rng.uniform(4, 25, (count, 1, 2)) * rng.uniform(0.7, 1.0, (count, frames, 2))
    boxes = np.concatenate([(center - half)[..., ::-1], (center + half)[..., ::-1]], axis=2)
    areas = np.prod(2 * half, axis=2) * rng.uniform(0.3, 1.0, (count, frames))
    hidden = rng.random((count, frames)) < draw(st.sampled_from([0.0, 0.4, 0.9]))
    hidden[np.arange(count), rng.integers(0, frames, count)] = False
    boxes[hidden], areas[hidden] = np.nan, 0
    return boxes, areas


def same(first: Windows, second: Windows) -> bool:
    """Compare up to a hundredth of a pixel: a very weak regularisation keeps the solver stable."""
    centers = np.allclose(first.center, second.center, rtol=0, atol=0.01)
    return centers and np.allclose(first.side, second.side, rtol=1e-6)


@settings(max_examples=40)
@given(seen_boxes(), st.floats(-300, 300), st.floats(-300, 300))
def test_windows_shift_with_the_scene(seen: tuple[np.ndarray, np.ndarray], right: float, down: float) -> None:
    boxes, areas = seen
    windows = track_windows(boxes, areas, CONFIG)
    moved = track_windows(boxes + [down, right, down, right], areas, CONFIG)
    assert same(moved, Windows(windows.center + [right, down], windows.side))


@settings(max_examples=40)
@given(seen_boxes(), st.floats(0.2, 5))
def test_windows_scale_with_the_scene(seen: tuple[np.ndarray, np.ndarray], scale: float) -> None:
    boxes, areas = seen
    windows = track_windows(boxes, areas, CONFIG)
    grown = track_windows(boxes * scale, areas * scale**2, CONFIG)
    assert same(grown, Windows(windows.center * scale, windows.side * scale))


@settings(max_examples=40)
@given(seen_boxes())
def test_windows_are_equivariant_to_mirroring_and_time_reversal(
    seen: tuple[np.ndarray, np.ndarray],
) -> None:
    boxes, areas = seen
    width = 256
    windows = track_windows(boxes, areas, CONFIG)
    mirrored = np.stack([boxes[..., 0], width - boxes[..., 3], boxes[..., 2], width - boxes[..., 1]], axis=2)
    x, y = np.moveaxis(windows.center, 2, 0)
    assert same(track_windows(mirrored, areas, CONFIG), Windows(np.stack([width - x, y], axis=2), windows.side))
    if boxes.shape[1] <= CONFIG.horizon:  # longer clips are sized at knots counted from the first frame
        back = track_windows(boxes[:, ::-1], areas[:, ::-1], CONFIG)
        assert same(back, Windows(windows.center[:, ::-1], windows.side[:, ::-1]))


@settings(max_examples=40)
@given(seen_boxes())
def test_gaps_are_filled_and_short_clips_have_one_size(seen: tuple[np.ndarray, np.ndarray]) -> None:
    boxes, areas = seen
    windows = track_windows(boxes, areas, CONFIG)
    assert np.isfinite(windows.center).all() and (windows.side > 0).all()
    if boxes.shape[1] <= CONFIG.horizon:
        assert np.ptp(windows.side, axis=1).max() == 0


@pytest.mark.parametrize("frames", [1, 2, 3, 30])
def test_a_track_that_is_never_visible_has_no_window_and_no_effect_on_others(frames: int) -> None:
    boxes = np.tile([10.0, 20.0, 30.0, 50.0], (1, frames, 1))
    areas = np.full((1, frames), 500.0)
    alone = track_windows(boxes, areas, CONFIG)
    both = track_windows(
        np.concatenate([boxes, np.full_like(boxes, np.nan)]), np.concatenate([areas, np.zeros_like(areas)]), CONFIG
    )
    assert np.isnan(both.center[1]).all() and np.isnan(both.side[1]).all()
    assert same(Windows(both.center[:1], both.side[:1]), alone)
    assert np.allclose(alone.center, [35, 20], atol=1e-3) and np.allclose(alone.side, 2 * 30)


def test_a_window_moves_evenly_through_a_gap() -> None:
    frames = np.arange(20)
    left = 10.0 + 4 * frames
    boxes = np.stack([np.full(20, 40.0), left, np.full(20, 60.0), left + 20], axis=1)[None]
    areas = np.full((1, 20), 400.0)
    boxes[0, 8:12], areas[0, 8:12] = np.nan, 0
    x = track_windows(boxes, areas, CONFIG).center[0, :, 0]
    assert (np.diff(x) > 0).all()
    assert np.abs(x - (left + 10))[8:12].max() < 4  # less than the object moves in a frame


def test_partial_occlusion_from_one_side_does_not_move_the_window() -> None:
    """The visible part has another centre and size than the object; the window must not follow it."""
    frames = 20
    boxes, areas = np.tile([40.0, 40.0, 80.0, 80.0], (1, frames, 1)), np.full((1, frames), 1600.0)
    boxes[0, 8:12, 1], areas[0, 8:12] = 72.0, 320.0  # only the right fifth shows
    windows = track_windows(boxes, areas, CONFIG)
    assert np.abs(windows.center - 60).max() < 3  # the visible box' centre is 16 px away
    assert np.allclose(windows.side, 80)


@settings(max_examples=30)
@given(seen_boxes())
def test_windows_of_slivers_are_enlarged_within_bounds(
    seen: tuple[np.ndarray, np.ndarray],
) -> None:
    boxes, areas = seen
    assume(len(boxes) > 1)
    free = WindowConfig(floor=0.0)
    side, own = track_windows(boxes, areas, CONFIG).side, track_windows(boxes, areas, free).side
    assert (side >= own - 1e-9).all() and (side <= CONFIG.growth * own + 1e-9).all()
    assert (side >= np.minimum(CONFIG.floor * np.median(own, axis=0), CONFIG.growth * own) - 1e-9).all()


# Windows that follow the scene


def rigid_paths(objects: int, frames: int, seed: int = 0) -> np.ndarray:
    """Image centres (n, t, 2) of points that rotate together in front of a distant camera."""
    points = np.random.default_rng(seed).normal(size=(objects, 3))
    angle = np.linspace(0, 1.2, frames)
    x = points[:, :1] * np.cos(angle) + points[:, 1:2] * np.sin(angle)
    depth = 40 - points[:, :1] * np.sin(angle) + points[:, 1:2] * np.cos(angle)
    return np.stack([1200 * x / depth, 1200 * (points[:, 2:] + 0.2 * angle) / depth], axis=2) + 128


def boxes_about(paths: np.ndarray) -> np.ndarray:
    return np.concatenate([paths[..., ::-1] - 10, paths[..., ::-1] + 10], axis=2)


def laid_anew(paths: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the centres of windows after a first pass that was right wherever an object was visible."""
    boxes = np.where(shares[..., None] > 0, boxes_about(paths), np.nan)
    return follow_scene(track_windows(boxes, 400 * shares, CONFIG), boxes, shares, CONFIG).center


@pytest.mark.parametrize("others", [9, 3])
def test_the_path_of_an_occluded_object_is_inferred_from_enough_others(others: int) -> None:
    """An object that is occluded from frame 8 on follows the paths of nine others; three are too few."""
    paths = rigid_paths(others + 1, 24)
    shares = np.ones((others + 1, 24))
    shares[others, 8:] = 0
    center = laid_anew(paths, shares)
    error = np.linalg.norm(center[others] - paths[others], axis=1)
    assert error[:8].max() < 3
    assert (error.max() < 6) == (others == 9)
    assert np.abs(center[:others] - paths[:others]).max() < 3


def test_an_object_with_independent_motion_keeps_its_path() -> None:
    """The scene does not explain its motion, so the object's own motion fills the gap."""
    paths = rigid_paths(10, 24)
    paths[3] = np.stack([np.linspace(20, 230, 24), np.full(24, 40.0)], axis=1)
    shares = np.ones((10, 24))
    shares[3, 10:14] = 0
    center = laid_anew(paths, shares)
    assert np.linalg.norm(center[3] - paths[3], axis=1).max() < 6
    assert np.abs(np.delete(center, 3, axis=0) - np.delete(paths, 3, axis=0)).max() < 5


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 30), st.floats(-200, 200), st.floats(0.3, 3))
def test_following_the_scene_is_equivariant_to_shift_scale_and_time_reversal(
    seed: int, objects: int, frames: int, shift: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    paths = rigid_paths(objects, frames, seed)
    shares = rng.uniform(0.02, 1, (objects, frames)) * (rng.random((objects, frames)) < 0.7)
    shares[np.arange(objects), rng.integers(0, frames, objects)] = 1
    boxes = boxes_about(paths)
    sides = np.full((*shares.shape, 2), 40.0)
    center = follow_scene(Windows(paths, sides), boxes, shares, CONFIG).center
    assert np.isfinite(center).all()
    moved = follow_scene(Windows(paths, sides * scale), boxes * scale + shift, shares, CONFIG).center
    assert np.allclose(moved, center * scale + shift, rtol=0, atol=0.05 * scale)
    back = follow_scene(Windows(paths, sides), boxes[:, ::-1], shares[:, ::-1], CONFIG).center
    assert np.allclose(back[:, ::-1], center, rtol=0, atol=0.05)


def test_tracks_that_are_never_visible_have_no_path() -> None:
    paths = rigid_paths(8, 5)
    shares = np.ones((8, 5))
    shares[2] = 0
    center = laid_anew(paths, shares)
    assert np.isnan(center[2]).all() and np.isfinite(np.delete(center, 2, axis=0)).all()


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 6))
def test_box_windows_show_twice_the_visible_box(seed: int, frames: int) -> None:
    clip = disc_scene(seed, frames)
    boxes, areas = boxes_and_areas(clip.visible)
    windows = lay_windows(boxes, areas, DISC_SCENE_SIZE, DISC_SCENE_SIZE, WindowConfig(mode="boxes", passes=1))
    assert windows.shown is not None
    for k in np.flatnonzero(areas.any(axis=1)):
        assert (np.ptp(windows.side[k], axis=0) == 0).all()  # one scale a track
        for t in range(frames):
            top, left, bottom, right = windows.shown[k, t]
            assert 0 <= top < bottom <= DISC_SCENE_SIZE and 0 <= left < right <= DISC_SCENE_SIZE
            x, y = windows.center[k, t] - windows.side[k, t] / 2
            assert (x, y) == (left, top)  # at the top left of its window
            if areas[k, t]:
                high, wide = boxes[k, t, 2:] - boxes[k, t, :2]
                assert bottom - top <= 2 * high + 2 and right - left <= 2 * wide + 2
                assert top <= boxes[k, t, 0] and bottom >= boxes[k, t, 2]
            cropper = Cropper.at(windows.at(int(k), t), 32, DISC_SCENE_SIZE, DISC_SCENE_SIZE)
            outside = np.ones((DISC_SCENE_SIZE, DISC_SCENE_SIZE), dtype=bool)
            outside[top:bottom, left:right] = False
            assert not cropper.cut(outside).any()
            rows, columns, _ = paste(np.ones((32, 32)), windows.at(int(k), t), DISC_SCENE_SIZE, DISC_SCENE_SIZE)
            assert (rows.start, rows.stop, columns.start, columns.stop) == (top, bottom, left, right)


def test_box_windows_are_interpolated_in_occluded_frames() -> None:
    boxes = np.full((2, 5, 4), np.nan)
    boxes[0, 0], boxes[0, 4] = (10, 10, 20, 20), (18, 14, 28, 24)
    windows = box_windows(boxes, 100, 100, 2.0)
    assert windows.shown is not None
    assert windows.shown[0, 2].tolist() == [9, 7, 29, 27]
    assert np.isnan(windows.center[1]).all()  # never seen
    with pytest.raises(InputError, match=r"windows.mode is 'box'"):
        lay_windows(boxes, np.ones((2, 5)), 100, 100, WindowConfig(mode="box"))  # type: ignore[arg-type]

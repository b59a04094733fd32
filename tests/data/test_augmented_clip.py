"""What training shows of a clip: which objects are listed, known, targets, and in which windows they lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.data.helpers import square
from vidamodal.data.augment import AugmentConfig
from vidamodal.data.augmented_clip import AugmentedClip
from vidamodal.windows import View, WindowConfig, track_windows
from vidamodal.worlds.sample import ClipMasks

CLEAN = AugmentConfig(partial=0.0, noise=0.0, unknown=0.0)
VIEW = View(WindowConfig(), 16, depth=True)
WALL = 2


def street(frames: int = 6) -> ClipMasks:
    """Return two squares, of which the first leaves the image after half of the frames, and a large wall in front."""
    amodal = np.zeros((3, frames, 64, 64), dtype=bool)
    amodal[0, : frames // 2] = square(8, 4, 12)
    amodal[1] = square(30, 20, 12)
    amodal[WALL, :, 36:] = True
    visible = amodal.copy()
    visible[1] &= ~amodal[WALL]
    disparity = np.full((frames, 64, 64), 0.1, dtype=np.float32)
    disparity[:, 36:] = 0.3
    disparity[:, 30:36, 20:32] = 0.2
    scenery = np.arange(3) == WALL
    return ClipMasks(visible, amodal, scenery=scenery, disparity=disparity)


def samples(count: int = 200, clip: ClipMasks | None = None, **changes: Any) -> list[AugmentedClip]:
    rng, config = np.random.default_rng(0), replace(CLEAN, **changes)
    return [AugmentedClip.sample(clip or street(), rng, config, VIEW) for _ in range(count)]


def test_scenery_is_never_a_target() -> None:
    (scene,) = samples(1)
    assert scene.usable_tracks().tolist() == [0, 1]
    plain = replace(street(), scenery=None)
    assert samples(1, plain)[0].usable_tracks().tolist() == [0, 1, 2]


def test_exhaustive_clips_list_everything() -> None:
    assert all(scene.listed.all() and scene.exhaustive.all() for scene in samples(20, alone=1.0))


def test_partial_clips_list_some_scenery_and_sometimes_nothing() -> None:
    scenes = samples(600, partial=1.0, missing=0.0, alone=0.25, scenery_listed=0.4)
    alone = np.array([not scene.listed.any() for scene in scenes])
    wall = np.array([scene.listed[WALL] for scene in scenes])
    assert alone.mean() == pytest.approx(0.25, abs=0.06)
    assert wall[~alone].mean() == pytest.approx(0.4, abs=0.07)
    assert all(scene.listed[:WALL].all() for scene, nothing in zip(scenes, alone, strict=True) if not nothing)
    assert not any(scene.exhaustive.any() for scene in scenes)


def test_labels_show_listed_objects_alone() -> None:
    scene = replace(samples(1, partial=1.0)[0], listed=np.array([True, False, False]))
    assert set(np.unique(scene.labels)) == {0, 1}
    assert ((scene.labels == 1) == scene.degraded.visible[0]).all()


def test_objects_are_absent_or_unknown_before_their_first_sighting_and_absent_after_their_last() -> None:
    clip = street()
    clip.amodal[0], clip.visible[0] = clip.amodal[0].copy()[::-1], clip.visible[0].copy()[::-1]  # it enters
    known = np.array([scene.known[0, :3] for scene in samples(400, clip, begun=0.7)])
    assert (known.all(axis=1) | ~known.any(axis=1)).all()
    assert known.mean() == pytest.approx(0.7, abs=0.08)
    for scene in samples(20, clip, begun=0.0):
        assert scene.spans[0].tolist() == [False] * 3 + [True] * 3 and scene.exhaustive.all()
    for scene in samples(20, begun=0.0):
        assert scene.known.all() and scene.spans.all()


def test_the_span_reaches_from_the_first_to_the_last_known_frame() -> None:
    scene = replace(samples(1)[0], known=np.array([[0, 1, 0, 0, 1, 0], [0] * 6, [1] * 6], dtype=bool))
    assert scene.spans.astype(int).tolist() == [[0, 1, 1, 1, 1, 0], [0] * 6, [1] * 6]


def test_depth_is_shown_in_a_share_of_the_clips_that_have_it() -> None:
    scenes = samples(300, depth=0.4, depth_exact=0.5)
    shown = [scene.disparity for scene in scenes if scene.disparity is not None]
    exact = [np.array_equal(disparity, street().disparity) for disparity in shown]  # type: ignore[arg-type]
    assert len(shown) / 300 == pytest.approx(0.4, abs=0.09)
    assert np.mean(exact) == pytest.approx(0.5, abs=0.15)
    assert all(scene.disparity is None for scene in samples(20, replace(street(), disparity=None), depth=1.0))
    view = replace(VIEW, depth=False)
    assert AugmentedClip.sample(street(), np.random.default_rng(0), replace(CLEAN, depth=1.0), view).disparity is None


def test_scenery_and_unlisted_objects_have_no_influence_on_windows() -> None:
    clip = street()
    clip.amodal[WALL - 1], clip.visible[WALL - 1] = clip.amodal[WALL], clip.visible[WALL]  # a listed object as large
    scene, rng, tracks = samples(1, clip)[0], np.random.default_rng(0), np.array([0, 0])
    alone = track_windows(scene.boxes[:1], scene.areas[:1], VIEW.windows)
    first, again = scene.windows(tracks, False, VIEW.windows, rng)
    assert np.array_equal(first.side, again.side) and first.side[0, 0, 0] > 1.5 * alone.side[0, 0, 0]
    for listed in ([False] * 3, [False, False, True], [True, False, True]):
        (window, _) = replace(scene, listed=np.array(listed)).windows(tracks, False, VIEW.windows, rng)
        assert np.array_equal(window.side, alone.side) and np.array_equal(window.center, alone.center)


def test_objects_that_leave_the_image_are_chosen_more_often() -> None:
    clip, rng = street(), np.random.default_rng(0)
    scene = samples(1, replace(clip, visible=clip.amodal))[0]
    chosen = np.concatenate([scene.choose_tracks(np.array([0, 1]), 1, rng) for _ in range(400)])
    assert (chosen == 0).mean() == pytest.approx(0.45 / 0.75, abs=0.06)

"""Windows that follow the scene, and the memory of a track's clearest frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.inference.helpers import (
    check_prediction,
    disc,
)
from vidamodal.inference.completion import TrackFrames
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.scene import REMEMBERED, Pictures, Scene
from vidamodal.models.amodal import AmodalModel
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo


def turning_scene() -> ClipTracks:
    """Eight squares that move as points of one turning body; the last is unseen from frame 6 to 11."""
    points = np.random.default_rng(3).normal(size=(8, 3))
    angle = np.linspace(0, 1, 12)
    x = 64 + 20 * (points[:, :1] * np.cos(angle) + points[:, 1:2] * np.sin(angle))
    y = 64 + 20 * (points[:, 2:] + 0.1 * angle)
    tracks = []
    for k in range(8):
        masks = []
        for t in range(12):
            mask = np.zeros((128, 128), dtype=bool)
            if k < 7 or t < 6:
                mask[int(y[k, t]) - 4 : int(y[k, t]) + 5, int(x[k, t]) - 4 : int(x[k, t]) + 5] = True
            masks.append(Rle.encode(mask))
        tracks.append(Track(k + 1, tuple(masks)))
    return ClipTracks(VideoInfo("x.mp4", 128, 128, 12, 12.0), tuple(tracks), exhaustive=True)


def test_windows_of_occluded_objects_follow_the_scene_in_the_second_pass(
    model: AmodalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the windows: with one pass, and while an object is seen whole, they are where they were."""
    clip, laid = turning_scene(), []
    begin = Predictor._run_pass

    def spy(self: Predictor, scene: Scene, settings: Any, inputs: Any) -> object:
        laid.append((scene.windows.center, settings.hypotheses))
        return begin(self, scene, settings, inputs)

    monkeypatch.setattr(Predictor, "_run_pass", spy)
    check_prediction(clip, Predictor(model, hypotheses=2).predict(clip))
    (first, one), (second, two) = laid
    assert (one, two) == (1, 2)
    moved = np.linalg.norm(first - second, axis=2)
    assert moved[:7].max() < 3
    assert moved[7, -1] > 6
    once = replace(model.config, windows=replace(model.config.windows, passes=1))
    monkeypatch.setattr(model, "config", once)
    laid.clear()
    check_prediction(clip, Predictor(model).predict(clip))
    assert len(laid) == 1 and np.array_equal(laid[0][0], first, equal_nan=True)


def test_an_object_occluded_for_longer_than_a_chunk_is_remembered(model: AmodalModel) -> None:
    """A chunk that shows nothing of it is completed otherwise with its clearest frames than without."""
    hidden = Rle.empty(32, 48)
    wall = Rle.encode(np.pad(np.ones((32, 24), dtype=bool), ((0, 0), (24, 0))))
    for radius in (4, 8):
        seen = Rle.encode(disc(12, 16, radius, 32, 48))
        visible = (seen,) * 6 + (hidden,) * 34
        clip = ClipTracks(VideoInfo("x.mp4", 32, 48, 40, 12.0), (Track(1, visible), Track(2, (wall,) * 40)))
        scene = Scene.from_clip(clip, replace(model.config.windows, growth=1.0, floor=0.0))
        predictor = Predictor(model)
        views = {t: predictor._view(scene, t, scene.masks(t), Pictures(), None) for t in range(40)}
        memory = scene.remember(0, {}, views, range(20))
        assert sorted(memory) == list(range(6))
        chunk = range(28, 40)
        crops = {t: view.crops for t in chunk if (view := views[t][0]) is not None}
        with_memory, without = (
            predictor.completion.complete(scene, 0, TrackFrames(chunk, crops, known, {}), 1, mirror=False)
            for known in (memory, {})
        )
        assert with_memory.masks.shape == without.masks.shape == (1, 12, *with_memory.masks.shape[2:])
        assert not np.allclose(with_memory.masks, without.masks, atol=1e-3)
        assert len(scene.remember(0, memory, views, range(20, 40))) <= REMEMBERED

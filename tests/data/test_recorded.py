"""Training clips from recorded data sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import DISC_SCENE_SIZE, clip_tracks, disc_scene, write_disc_clip
from vidamodal.data.banks import load_bank
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.data.recorded import RecordedBank
from vidamodal.tracks import write_tracks
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig
from vidamodal.worlds.sample import WorldConfig


def test_recorded_clips_are_read_as_they_are(tmp_path: Path) -> None:
    clip = disc_scene(1, frames=7)
    assert clip.image is not None
    bank = load_bank(str(write_disc_clip(tmp_path / "set", clip)), 0, pixels=True)
    assert isinstance(bank, RecordedBank) and len(bank) == 1
    starts = set()
    for seed in range(12):
        taken = bank.sample(np.random.default_rng(seed), WorldConfig(frames=4))
        (start,) = [s for s in range(4) if np.array_equal(taken.amodal, clip.amodal[:, s : s + 4])]
        assert np.array_equal(taken.visible, clip.visible[:, start : start + 4])
        assert taken.image is not None and taken.exhaustive and taken.known is not None and taken.known.all()
        assert np.abs(taken.image.astype(int) - clip.image[start : start + 4]).mean() < 8  # as H.264 keeps them
        starts.add(start)
    assert len(starts) > 1
    assert bank.sample(np.random.default_rng(0), WorldConfig(frames=4)).visible.shape == (
        3,
        4,
        DISC_SCENE_SIZE,
        DISC_SCENE_SIZE,
    )


def test_spaced_frames_and_their_images_are_taken_from_the_whole_clip(tmp_path: Path) -> None:
    clip = disc_scene(1, frames=7)
    assert clip.image is not None
    bank = load_bank(str(write_disc_clip(tmp_path / "set", clip)), 0, pixels=True)
    for seed, (spacing, found) in enumerate([(2, 2), (3, 2), (9, 2), (1, 1)]):
        taken = bank.sample(np.random.default_rng(seed), WorldConfig(frames=4, spacing=(spacing,)))
        starts = range(7 - 3 * found)
        (start,) = [s for s in starts if np.array_equal(taken.amodal, clip.amodal[:, s : s + 3 * found + 1 : found])]
        assert taken.spacing == found and taken.image is not None
        expected = clip.image[start : start + 3 * found + 1 : found].astype(int)
        assert np.abs(taken.image.astype(int) - expected).mean() < 8


def test_unknown_masks_are_not_trained_on(tmp_path: Path) -> None:
    clip = clip_tracks(disc_scene(2, frames=6), exhaustive=False)
    first = clip.tracks[0]
    assert first.amodal is not None
    gap = replace(first, visible=(None, None, *first.visible[2:]), amodal=(None, None, *first.amodal[2:]))
    (tmp_path / "set").mkdir()
    write_tracks(tmp_path / "set/a.tracks.json", replace(clip, tracks=(gap, *clip.tracks[1:])))
    bank = load_bank(str(tmp_path / "set"), 0, pixels=False)
    taken = bank.sample(np.random.default_rng(0), WorldConfig(frames=6))
    assert taken.known is not None and not taken.exhaustive and taken.image is None
    assert taken.known[0].tolist() == [False] * 2 + [True] * 4 and taken.known[1:].all()
    assert not taken.amodal[0, :2].any() and not taken.visible[0, :2].any()
    config = ClipConfig(tracks=6, frames=6, whole=0, world=WorldConfig(frames=6))
    batch = TrainingClips(bank, 0, 1, 4, config, View(WindowConfig(), 16))[0]
    assert not batch.crops.background.any()  # not exhaustive: nobody knows what is empty
    unknown = batch.crops.known == 0
    assert not batch.counted[unknown].any()


def test_unusable_data_sets_are_rejected(tmp_path: Path) -> None:
    folder = write_disc_clip(tmp_path / "set", disc_scene(4, frames=3))
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="has 3 frames, but samples have 9"):
        load_bank(str(folder), 0, pixels=False).sample(rng, WorldConfig(frames=9))
    (folder / "clip.mp4").unlink()
    with pytest.raises(InputError, match="has no images"):
        load_bank(str(folder), 0, pixels=True).sample(rng, WorldConfig(frames=3))
    bare = clip_tracks(disc_scene(4, frames=3))
    write_tracks(folder / "clip.tracks.json", replace(bare, tracks=tuple(replace(t, amodal=None) for t in bare.tracks)))
    with pytest.raises(InputError, match="no amodal masks"):
        load_bank(str(folder), 0, pixels=False).sample(rng, WorldConfig(frames=3))
    with pytest.raises(InputError, match=r"worlds: .*dataset_gen --masks-only"):
        load_bank(str(tmp_path / "nothing"), 0, pixels=False)


def test_of_overlapping_visible_masks_the_last_one_counts(tmp_path: Path) -> None:
    clip = disc_scene(8)
    both = replace(clip, visible=clip.amodal)  # as from segmenters that work object by object
    write_disc_clip(tmp_path / "set", both)
    taken = load_bank(str(tmp_path / "set"), 0, pixels=False).sample(np.random.default_rng(0), WorldConfig(frames=5))
    assert taken.visible.sum(axis=0).max() == 1 and np.array_equal(taken.visible.any(axis=0), clip.amodal.any(axis=0))
    assert np.array_equal(taken.visible[-1], clip.amodal[-1])

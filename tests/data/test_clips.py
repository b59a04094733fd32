"""Training samples and their augmentation."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.helpers import ONE_FRAME, OneClip, square
from tests.training.helpers import CELLS, CLIPS
from vidamodal.data import clips
from vidamodal.data.augment import AugmentConfig
from vidamodal.data.clips import TARGETS, ClipConfig, TrainingBatch, TrainingClips, _choose_frames, _transformed
from vidamodal.data.crops import VELOCITY, TrackCrops
from vidamodal.occlusion.evidence import DEPTH_PLANES
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank


def data(seed: int = 0, samples: int = 20, cells: int = CELLS, **augment: float) -> TrainingClips:
    config = replace(CLIPS, augment=replace(AugmentConfig(), **augment))  # type: ignore[arg-type]
    return TrainingClips(toy_bank(seed), seed, 2, samples, config, View(WindowConfig(), cells))


def assert_same(first: TrainingBatch, second: TrainingBatch) -> None:
    for name in (f.name for f in fields(TrackCrops)):
        assert torch.equal(getattr(first.crops, name), getattr(second.crops, name)), name
    for name in TARGETS:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_a_sample_depends_only_on_the_seed_and_its_index() -> None:
    one, two, other = data(), data(), data(seed=1)
    for index in (7, 3, 0, 7):  # in any order, however often
        assert_same(one[index], two[index])
    _ = one[5]
    assert_same(one[3], data()[3])
    assert not torch.equal(one[3].amodal, other[3].amodal)
    assert not torch.equal(one[2].amodal, one[3].amodal)


def test_data_without_any_large_object_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    speck = square(4, 4, 1)[None, None]
    monkeypatch.setattr(clips, "MOST_TRIES", 3)
    samples = TrainingClips(OneClip(speck, speck), 0, 1, 1, ONE_FRAME, View(WindowConfig(), CELLS))
    with pytest.raises(InputError, match="none of 3 sampled clips shows an object that is large enough"):
        _ = samples[0]


def test_samples_of_a_step_have_one_shape_and_some_steps_show_whole_clips() -> None:
    whole = replace(CLIPS, tracks=3, frames=5, whole=0.3)
    samples = TrainingClips(toy_bank(0), 0, 2, 40, whole, View(WindowConfig(), CELLS))
    shapes = [tuple(samples[k].amodal.shape) for k in range(40)]
    assert shapes[::2] == shapes[1::2]
    assert set(shapes) == {(3, 5, CELLS, CELLS), (2, 7, CELLS, CELLS)}


def test_samples_are_within_their_ranges() -> None:
    for index in range(20):
        batch = data(cells=32)[index]
        crops = batch.crops
        for name in ("visible", "others", "edges", "inside", "background"):
            values = getattr(crops, name)
            assert values.min() >= 0 and values.max() <= 1 + 1e-5, name
        assert batch.amodal.min() >= 0 and (batch.amodal - crops.inside).max() <= 1e-5
        assert (crops.time.diff(dim=1).abs() >= 1).all()
        assert crops.valid.any(dim=1).all() and not crops.known[~crops.valid].any()
        assert crops.known.unique().tolist() in ([0.0], [1.0], [0.0, 1.0])
        assert crops.visible.flatten(2).sum(2).any(dim=1).all() or not crops.known.all()


def test_clean_samples_have_the_visible_mask_inside_the_amodal_one() -> None:
    for index in range(10):
        batch = data(partial=0.0, unknown=0.0)[index]
        assert batch.crops.known.all()
        assert (batch.crops.visible - batch.amodal).max() <= 1e-5
        assert (batch.crops.visible + batch.crops.others + batch.crops.background - batch.crops.inside).max() <= 1e-5


def test_unknown_frames_contain_nothing_of_the_object() -> None:
    unknown = 0
    for index in range(10):
        crops = data(unknown=1.0)[index].crops
        hidden = crops.known == 0
        unknown += int(hidden.sum())
        assert not crops.visible[hidden].any() and not crops.background[hidden].any()
        assert not crops.box[hidden][:, 5:7].any()
        assert crops.visible[~hidden].any()
    assert unknown > 20


def test_partial_clips_have_no_known_background() -> None:
    partial, clean = data(partial=1.0), data(partial=0.0, unknown=0.0)
    for index in range(8):
        assert not partial[index].crops.background.any() and not partial[index].crops.box[..., 7].any()
        assert clean[index].crops.background.any() and (clean[index].crops.box[..., 7] == 1).all()


@pytest.mark.parametrize(("reverse", "mirror"), [(True, False), (False, True), (True, True), (False, False)])
def test_reversing_and_mirroring_flip_all_maps_and_are_their_own_inverse(reverse: bool, mirror: bool) -> None:
    batch = data()[4]
    once = _transformed(batch, reverse, mirror)
    assert_same(_transformed(once, reverse, mirror), batch)
    flips = [axis for axis, flip in ((1, reverse), (-1, mirror)) if flip]
    assert torch.equal(once.amodal, batch.amodal.flip(flips))
    assert torch.equal(once.crops.visible, batch.crops.visible.flip(flips))
    assert (once.crops.time.diff(dim=1) > 0).all()  # frame numbers still rise
    place = batch.crops.box.flip(1) if reverse else batch.crops.box
    sign = torch.ones(8)
    sign[0] = sign[3] = -1 if mirror else 1
    sign[3:5] *= -1 if reverse else 1
    assert torch.equal(once.crops.box, place * sign)


def leaving_clip(frames: int = 8) -> OneClip:
    """Return a square that is inside the image in the first half alone, a tiny one, and one that stays."""
    masks = np.zeros((3, frames, 64, 64), dtype=bool)
    masks[0, : frames // 2] = square(8, 4, 16)
    masks[1] = square(30, 50, 1)
    masks[2] = square(36, 20, 16)
    return OneClip(masks, masks.copy())


def clips_of(bank: OneClip, tracks: int = 2, frames: int = 8, **augment: Any) -> TrainingBatch:
    clean = AugmentConfig(partial=0.0, unknown=0.0, reverse=0.0, begun=1.0)
    world = WorldConfig(frames=bank.masks.visible.shape[1])
    config = ClipConfig(tracks, frames, 0.0, world=world, augment=replace(clean, **augment))
    view = View(WindowConfig(), CELLS, depth=True)
    return TrainingBatch.join([TrainingClips(bank, 0, 1, 9, config, view)[k] for k in range(9)])


def test_presence_is_known_in_every_frame_and_ends_when_the_object_leaves() -> None:
    batch = clips_of(leaving_clip())
    rows = {tuple(row) for row in batch.present.int().tolist()}
    assert rows == {(1, 1, 1, 1, 0, 0, 0, 0), (1,) * 8}
    assert (batch.annotated == 1).all() and torch.equal(batch.counted, batch.present)
    assert torch.equal(batch.absent, 1 - batch.present)
    assert batch.crops.valid.all() and not batch.crops.visible[batch.present == 0].any()


def test_time_is_reversed_for_presence_too() -> None:
    rows = {tuple(row) for row in clips_of(leaving_clip(), reverse=1.0).present.int().tolist()}
    assert rows == {(0, 0, 0, 0, 1, 1, 1, 1), (1,) * 8}


def test_few_pixels_are_present_and_do_not_count() -> None:
    bank = leaving_clip()
    bank.masks.amodal[0, 4:], bank.masks.visible[0, 4:] = square(8, 0, 1), square(8, 0, 1)
    batch = clips_of(bank)
    assert (batch.present == 1).all() and not batch.absent.any()
    assert {tuple(row) for row in batch.counted.int().tolist()} == {(1, 1, 1, 1, 0, 0, 0, 0), (1,) * 8}


def test_frames_without_ground_truth_are_not_annotated() -> None:
    bank = leaving_clip()
    known = np.ones((3, 8), dtype=bool)
    known[:, 6] = False
    bank.masks = replace(bank.masks, known=known)
    batch = clips_of(bank)
    assert not batch.annotated[:, 6].any() and batch.annotated[:, :6].all()
    assert not batch.absent[:, 6].any() and batch.absent[:, 5].any()


def test_frames_are_chosen_from_the_span_and_padded_with_others() -> None:
    rng = np.random.default_rng(0)
    areas, span = np.array([0, 0, 5.0, 0, 0, 0, 0, 0]), np.array([0, 1, 1, 1, 1, 0, 0, 0], dtype=bool)
    for count in (1, 3, 6, 8, 12):
        for _ in range(20):
            picked = _choose_frames(areas, span, count, rng)
            assert len(picked) == min(count, 8) and (np.diff(picked) > 0).all() and 2 in picked
            assert np.count_nonzero(span[picked]) == min(count, 4)


def test_frames_before_the_first_sighting_only_pad_a_clip_in_which_they_are_unknown() -> None:
    bank = leaving_clip()
    bank.masks = replace(bank.masks, visible=bank.masks.visible[:, ::-1], amodal=bank.masks.amodal[:, ::-1])
    batch = clips_of(bank, begun=0.0)
    enters = batch.present[:, 0] == 0
    assert enters.any() and (batch.crops.valid[enters] == (batch.present[enters] == 1)).all()
    assert batch.crops.valid[~enters].all() and torch.equal(batch.crops.known > 0, batch.crops.valid)


def test_depth_is_cut_where_the_model_reads_it() -> None:
    bank = leaving_clip()
    near = np.full((8, 64, 64), 0.1, dtype=np.float32)
    near[bank.masks.visible[2]] = 0.2
    near[:, 36:52, 36:] = 0.3  # a surface without a mask, in front of the third square
    bank.masks = replace(bank.masks, disparity=near)
    batch = clips_of(bank, depth=1.0, depth_exact=1.0)
    depth = batch.crops.depth
    assert depth.shape == (18, 8, DEPTH_PLANES, CELLS, CELLS)
    assert (depth[:, :, 0].amax(dim=(2, 3)) > 0.5).any() and depth.abs().max() <= 1
    assert not depth[batch.present == 0].any()
    assert not (depth[:, :, 2] * (batch.crops.inside == 0)).any()  # unknown outside the image
    assert not clips_of(bank, depth=0.0).crops.depth.any()


def test_clips_of_different_sizes_share_a_batch() -> None:
    wide = np.zeros((1, 8, 40, 90), dtype=bool)
    wide[0, :, 10:30, 20:50] = True
    batch = TrainingBatch.join([clips_of(OneClip(wide, wide.copy()), 1), clips_of(leaving_clip())])
    assert batch.amodal.shape == (27, 8, CELLS, CELLS) and batch.crops.depth.shape[2] == DEPTH_PLANES


def test_times_and_velocities_are_those_of_the_video_whatever_the_spacing() -> None:
    bank, view = toy_bank(0), View(WindowConfig(), CELLS)
    world = replace(CLIPS.world, frames=7, move=0.0)
    still = AugmentConfig(jitter=0.0, reverse=0.0, mirror=0.0, partial=0.0)
    config = ClipConfig(tracks=2, frames=7, whole=0.0, second=0.0, world=world, augment=still)
    far = replace(config, world=replace(world, spacing=(4,)))
    dense = replace(config, frames=25, world=replace(world, frames=25))
    spaced, close = (TrainingClips(bank, 3, 1, 4, each, view)[2].crops for each in (far, dense))
    assert spaced.time[0].diff().unique().tolist() == [4.0] and spaced.time[0].sum() == 0
    assert close.time[0].diff().unique().tolist() == [1.0]
    moved = [crops.box[..., VELOCITY].abs().mean() for crops in (spaced, close)]
    assert 0.4 < moved[0] / moved[1] < 2.5  # per frame of the video

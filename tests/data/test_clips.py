"""Training samples and their augmentation."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from tests.training.helpers import CELLS, CLIPS
from vidamodal.data.augment import AugmentConfig
from vidamodal.data.clips import TrainingBatch, TrainingClips, _transformed
from vidamodal.data.crops import TrackCrops
from vidamodal.windows import View, WindowConfig
from vidamodal.worlds.toy import toy_bank


def data(seed: int = 0, samples: int = 20, cells: int = CELLS, **augment: float) -> TrainingClips:
    config = replace(CLIPS, augment=replace(AugmentConfig(), **augment))  # type: ignore[arg-type]
    return TrainingClips(toy_bank(seed), seed, 2, samples, config, View(WindowConfig(), cells))


def assert_same(first: TrainingBatch, second: TrainingBatch) -> None:
    for name in (f.name for f in fields(TrackCrops)):
        assert torch.equal(getattr(first.crops, name), getattr(second.crops, name)), name
    assert torch.equal(first.amodal, second.amodal) and torch.equal(first.counted, second.counted)


def test_a_sample_depends_only_on_the_seed_and_its_index() -> None:
    one, two, other = data(), data(), data(seed=1)
    for index in (7, 3, 0, 7):  # in any order, however often
        assert_same(one[index], two[index])
    _ = one[5]
    assert_same(one[3], data()[3])
    assert not torch.equal(one[3].amodal, other[3].amodal)
    assert not torch.equal(one[2].amodal, one[3].amodal)


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
        assert crops.valid.all() and crops.known.unique().tolist() in ([0.0], [1.0], [0.0, 1.0])
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

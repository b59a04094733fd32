"""Instances of training frames."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.helpers import ToyClip
from vidamodal.data.clips import ClipConfig
from vidamodal.data.frames import FrameSource
from vidamodal.data.instance_frames import InstanceFrames, Picture, paste_objects, vocabulary
from vidamodal.data.recorded import RecordedBank
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth
from vidamodal.types import InputError
from vidamodal.worlds.sample import WorldConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip: ToyClip) -> Path:
    """A data set of one clip with its pictures."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(clip.video, folder / "clip.mp4")
    shutil.copy(clip.truth, folder / "clip.tracks.json")
    return folder


SAMPLE = ClipConfig(frames=2, world=WorldConfig(frames=6))


def test_samples_depend_on_seed_and_index_alone_and_are_mirrored_as_a_whole(data: Path) -> None:
    bank = RecordedBank.load(data, True)
    labels = vocabulary(bank)

    def sample(mirror: float, index: int = 2, seed: int = 0) -> FrameGroundTruth:
        config = replace(SAMPLE, augment=replace(SAMPLE.augment, mirror=mirror))
        return InstanceFrames(bank, seed, 4, config, 64, labels)[index]

    plain, again, turned = sample(0.0), sample(0.0), sample(1.0)
    assert all(torch.equal(getattr(plain, f.name), getattr(again, f.name)) for f in fields(FrameGroundTruth))
    assert not torch.equal(plain.image, sample(0.0, 3).image) and plain.size > 2
    for name in ("image", "visible", "amodal", "occluding"):
        torch.testing.assert_close(getattr(plain, name).flip(-1), getattr(turned, name))
    assert torch.equal(64 - plain.boxes[plain.valid][:, [2, 0]], turned.boxes[turned.valid][:, [0, 2]])
    assert not (plain.visible & ~plain.amodal).any() and not (plain.occluding & plain.visible).any()


@pytest.mark.parametrize("seed", range(4))
def test_a_zoomed_sample_shows_the_same_frames_with_masks_in_place(data: Path, seed: int) -> None:
    bank = RecordedBank.load(data, True)

    def sample(zoom: float = 1.0, colour: float = 0.0) -> FrameGroundTruth:
        config = replace(SAMPLE, augment=replace(SAMPLE.augment, mirror=0.0, zoom=zoom, colour=colour))
        return InstanceFrames(bank, seed, 4, config, 64, ())[0]

    plain, zoomed, recoloured = sample(), sample(zoom=1.6), sample(colour=0.4)
    again = sample(zoom=1.6)
    assert all(torch.equal(getattr(zoomed, f.name), getattr(again, f.name)) for f in fields(FrameGroundTruth))
    # Masks lie where their pixels went: an object has the colour that it has in the plain sample.
    for k in range(2):
        was = _mean_colours(plain, k)
        for n, colour in enumerate(_mean_colours(zoomed, k)):
            assert (was - colour).abs().amax(dim=1).min() < 0.1
            box, shown = zoomed.boxes[k, n], zoomed.amodal[k, n].nonzero()
            assert torch.equal(shown.amin(dim=0), box[[1, 0]]) and torch.equal(shown.amax(dim=0) + 1, box[[3, 2]])
    scale = zoomed.amodal.sum() / plain.amodal.sum()
    assert 0.2 < scale < 1.6**2 + 0.1 and not torch.equal(plain.image, zoomed.image)
    assert torch.equal(plain.amodal, recoloured.amodal) and not torch.equal(plain.image, recoloured.image)
    assert recoloured.image.min() >= 0 and recoloured.image.max() <= 1


def _mean_colours(truth: FrameGroundTruth, k: int) -> torch.Tensor:
    """Of what shows of picture k's instances."""
    visible = truth.visible[k, truth.valid[k]].float()
    return torch.einsum("nhw,chw->nc", visible, truth.image[k]) / visible.sum(dim=(1, 2))[:, None]


def test_a_window_larger_than_the_frame_is_black_beside_it(data: Path) -> None:
    bank = RecordedBank.load(data, True)
    augment = replace(SAMPLE.augment, mirror=0.0, zoom=3.0, colour=0.5)
    source = FrameSource(bank, 0, replace(SAMPLE, augment=augment), 64)
    larger = [found for found in map(source.sample, range(12)) if found.cropper.inside.min() == 0]
    assert larger
    for found in larger:
        beside = found.cropper.inside <= 0.5
        assert not found.images[:, :, beside].any() and found.images[:, :, ~beside].any()


@given(masks=arrays(bool, (4, 16, 16)), count=st.integers(0, 3), seed=st.integers(0, 99))
def test_pasted_objects_lie_in_front_and_keep_their_colours(masks: np.ndarray, count: int, seed: int) -> None:
    visible = np.stack([masks[0], masks[1] & ~masks[0]])
    own = Picture(np.full((3, 16, 16), 0.25), visible, masks[:2], np.array([0, 1]))
    block = np.zeros((2, 16, 16), dtype=bool)
    block[0, 2:9, 3:9], block[1, 10:, :] = True, True  # the second one is hidden in part: it is not taken
    donor = Picture(np.full((3, 16, 16), 0.75), np.stack([block[0], block[1] & masks[3]]), block, np.array([5, 6]))
    out = paste_objects(own, donor, count, np.random.default_rng(seed))
    new = len(out.visible) - 2
    assert new == (count if visible.any() else 0) and out.labels.tolist()[:2] == [0, 1]
    if not (block[1] & masks[3]).sum() >= 0.95 * block[1].sum():
        assert set(out.labels.tolist()[2:]) <= {5}
    assert (out.visible.sum(axis=0) <= 1).all() and not (out.visible & ~out.amodal).any()
    assert np.array_equal(out.amodal[:2], own.amodal)
    front = out.visible[2:].any(axis=0)
    assert np.array_equal(out.visible[:2], visible & ~front)
    assert (out.image[:, front] == 0.75).all() and (out.image[:, ~front] == 0.25).all()
    if new:
        assert np.array_equal(out.visible[-1], out.amodal[-1])  # the last one is in front of all


@pytest.mark.parametrize("augment", [{"zoom": 0.9}, {"colour": -0.1}, {"paste": -1}])
def test_invalid_augmentations_are_refused(data: Path, augment: dict[str, float]) -> None:
    config = replace(SAMPLE, augment=replace(SAMPLE.augment, **augment))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="zoom must be at least 1"):
        InstanceFrames(RecordedBank.load(data, True), 0, 4, config, 64, ())

"""Models that start from the weights of a smaller one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers import TINY_TRANSFORMER, small_reader
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.data.crops import TrackCrops
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model, save_model
from vidamodal.occlusion.evidence import DEPTH_PLANES
from vidamodal.training.family import load_initial_weights
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank


def test_new_blocks_do_not_change_the_output_at_first(tmp_path: Path) -> None:
    small, batch = small_reader(), TrainingClips(
        toy_bank(0), 0, 1, 1, ClipConfig(2, 4, 0.0, second=1.0, world=WorldConfig(size=48, frames=4)),
        View(WindowConfig(), 16, pixels=True, order=True),
    )[0]  # fmt: skip
    save_model(tmp_path / "small", small, {}, "")
    grown = AmodalModel(replace(small.config, transformer=replace(TINY_TRANSFORMER, depth=4, order=True, image=True)))
    load_initial_weights(grown, str(tmp_path / "small"))
    with torch.no_grad():
        assert torch.equal(small(batch.crops).refined, grown.eval()(batch.crops).refined)
    for name, value in small.state_dict().items():
        assert torch.equal(value, grown.state_dict()[name])
    other = AmodalModel(replace(small.config, transformer=replace(TINY_TRANSFORMER, width=32)))
    with pytest.raises(InputError, match="has shape"):
        load_initial_weights(other, str(tmp_path / "small"))


def with_depth(crops: TrackCrops, depth: float) -> TrackCrops:
    planes = torch.full((*crops.time.shape, DEPTH_PLANES, *crops.visible.shape[2:]), depth)
    return replace(crops, depth=planes)


@pytest.mark.parametrize("depth", [0.0, 1.0])
def test_a_trained_model_gets_depth_and_presence_without_another_output(depth: float, tmp_path: Path) -> None:
    small = small_reader(order=True)
    save_model(tmp_path / "small", small, {}, "")
    assert not small.view.depth
    transformer = replace(small.config.transformer, depth_planes=True, presence=True)
    grown = AmodalModel(replace(small.config, transformer=transformer), replace(small.head_config, depth=True))
    load_initial_weights(grown, str(tmp_path / "small"))
    clips = ClipConfig(2, 4, 0.0, second=1.0, world=WorldConfig(size=48, frames=4))
    crops = TrainingClips(toy_bank(0), 0, 1, 1, clips, View(WindowConfig(), 16, order=True))[0].crops
    assert grown.view.depth and crops.order.any()
    with torch.no_grad():
        before, after = small(crops), grown.eval()(with_depth(crops, depth))
    assert torch.allclose(before.refined, after.refined, atol=1e-3)
    assert before.presence is None
    assert after.presence is not None and after.presence.shape == (2, 4)


def test_inputs_keep_their_weights_where_others_come_between_them(tmp_path: Path) -> None:
    small = small_reader(order=True, depth_planes=True)
    save_model(tmp_path / "small", small, {}, "")
    grown = AmodalModel(replace(small.config, transformer=replace(small.config.transformer, image=True)))
    load_initial_weights(grown, str(tmp_path / "small"))
    view = View(WindowConfig(), 16, pixels=True, order=True)
    clips = ClipConfig(2, 4, 0.0, second=1.0, world=WorldConfig(size=48, frames=4))
    crops = with_depth(TrainingClips(toy_bank(0), 0, 1, 1, clips, view)[0].crops, 0.5)
    with torch.no_grad():
        before, after = small(crops).refined, grown.eval()(crops).refined
        assert torch.allclose(before, after, atol=1e-5)
        assert not torch.allclose(before, small(with_depth(crops, 0.0)).refined, atol=1e-3)
    fewer = AmodalModel(replace(small.config, transformer=replace(small.config.transformer, order=False)))
    with pytest.raises(InputError, match="has shape"):
        load_initial_weights(fewer, str(tmp_path / "small"))


def test_training_starts_from_the_mean_of_several_models(tmp_path: Path) -> None:
    config = small_reader().config
    for seed in range(2):
        torch.manual_seed(seed)
        save_model(tmp_path / str(seed), AmodalModel(config), {}, "")
    first, second = (load_model(str(tmp_path / str(seed))).model.state_dict() for seed in range(2))
    model = AmodalModel(config)
    load_initial_weights(model, f"{tmp_path / '0'},{tmp_path / '1'}")
    different = 0
    for name, value in model.state_dict().items():
        assert torch.allclose(value.float(), (first[name].float() + second[name].float()) / 2, atol=1e-6), name
        different += not torch.equal(first[name], second[name])
    assert different > 10
    save_model(tmp_path / "wide", small_reader(depth=4), {}, "")
    with pytest.raises(InputError, match=r"wide have no mean.*models of one config"):
        load_initial_weights(model, f"{tmp_path / '0'},{tmp_path / 'wide'}")

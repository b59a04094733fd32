"""Training runs that grow a model, and switches of the transformer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import clip_tracks, disc_scene, write_disc_clip
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.folder import save_model
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import TransformerConfig
from vidamodal.tracks import write_tracks
from vidamodal.training.config import TrainConfig
from vidamodal.training.family import load_initial_weights
from vidamodal.training.run import train
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig
from vidamodal.worlds.sample import ClipMasks, WorldConfig
from vidamodal.worlds.toy import toy_bank

SIZE = 48


TINY = TransformerConfig(width=16, depth=2, heads=2, features=8, window=4)


def model(**changes: Any) -> AmodalModel:
    torch.manual_seed(0)
    made = AmodalModel(ModelConfig(TokenizerConfig(crop=16, codes=8), replace(TINY, **changes), WindowConfig()))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.dtype == torch.float32:
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return made.eval()


def test_what_is_new_in_a_model_adds_nothing_at_first(tmp_path: Path) -> None:
    small, batch = model(), TrainingClips(
        toy_bank(0), 0, 1, 1, ClipConfig(2, 4, 0.0, second=1.0, world=WorldConfig(size=SIZE, frames=4)),
        View(WindowConfig(), 16, pixels=True, order=True),
    )[0]  # fmt: skip
    save_model(tmp_path / "small", small, {}, "")
    grown = AmodalModel(replace(small.config, transformer=replace(TINY, depth=4, order=True, image=True)))
    load_initial_weights(grown, str(tmp_path / "small"))
    with torch.no_grad():
        assert torch.equal(small(batch.crops).refined, grown.eval()(batch.crops).refined)
    for name, value in small.state_dict().items():
        assert torch.equal(value, grown.state_dict()[name])
    other = AmodalModel(replace(small.config, transformer=replace(TINY, width=32)))
    with pytest.raises(InputError, match="has shape"):
        load_initial_weights(other, str(tmp_path / "small"))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, False),
        ({"temporal": False}, True),
        ({"tokens": False}, False),
        ({"tokens": False, "temporal": False}, True),
    ],
)
def test_without_attention_over_time_a_frame_is_completed_by_itself(changes: dict[str, bool], same: bool) -> None:
    made = model(**changes)
    data = TrainingClips(
        toy_bank(1), 0, 1, 1, ClipConfig(2, 4, 0.0, world=WorldConfig(size=SIZE, frames=4)), View(WindowConfig(), 16)
    )
    crops = data[0].crops
    other = replace(crops, visible=crops.visible.clone())
    other.visible[:, 3] = 1 - other.visible[:, 3]
    with torch.no_grad():
        one, two = made(crops), made(other)
    assert (one.codes is None) == (not made.config.transformer.tokens)
    assert torch.equal(one.refined[:, :3], two.refined[:, :3]) == same
    assert not torch.equal(one.refined[:, 3], two.refined[:, 3])
    if one.codes is None:
        with pytest.raises(InputError, match="tokens is false"):
            made.sample(crops, 2, torch.Generator())


def test_training_refuses_in_one_line_what_shows_late(tmp_path: Path) -> None:
    """Also where a process that makes clips finds it."""
    folder, short = tmp_path / "set", disc_scene(7, frames=3)
    write_disc_clip(folder, short)
    network = ModelConfig(TokenizerConfig(crop=16, codes=8), TINY)
    config = TrainConfig(
        output=str(tmp_path / "run"), worlds=str(folder), device="cpu", precision="fp32", workers=1,
        model=AmodalFamily(network=network, head={"width": 8, "deep": 16}),
    )  # fmt: skip
    reader = AmodalFamily(network=replace(network, transformer=replace(TINY, image=True)))
    with pytest.raises(InputError) as refused:
        train(config, quiet=True)
    assert str(refused.value) == (
        "clip clip: it has 3 frames, but samples have 24. Reduce sample.world.frames, or leave the clip out."
    )
    for changes, message in (
        ({"model": AmodalFamily(network=replace(network, chunk=8, overlap=8))}, "overlap must be less"),
        ({"validation": str(tmp_path / "none")}, "no such file"),
        ({"validation": str(bare(tmp_path / "bare", short)), "model": reader}, "no pictures"),
    ):
        with pytest.raises(InputError, match=message):
            train(replace(config, output=str(tmp_path / "other"), **changes), quiet=True)
        assert not (tmp_path / "other").exists()


def bare(folder: Path, clip: ClipMasks) -> Path:
    folder.mkdir()
    write_tracks(folder / "clip.tracks.json", clip_tracks(clip))
    return folder

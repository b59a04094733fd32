"""Bad training data and configs are reported in one line, also by worker processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import TINY_TRANSFORMER, clip_tracks, disc_scene, write_disc_clip
from vidamodal.models.amodal import ModelConfig
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.tracks import write_tracks
from vidamodal.training.config import TrainConfig
from vidamodal.training.run import train
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.types import InputError
from vidamodal.worlds.sample import ClipMasks


def test_errors_of_workers_and_configs_are_one_line(tmp_path: Path) -> None:
    folder, short = tmp_path / "set", disc_scene(7, frames=3)
    write_disc_clip(folder, short)
    network = ModelConfig(TokenizerConfig(crop=16, codes=8), TINY_TRANSFORMER)
    config = TrainConfig(
        output=str(tmp_path / "run"), worlds=str(folder), device="cpu", precision="fp32", workers=1,
        model=AmodalFamily(network=network, head={"width": 8, "deep": 16}),
    )  # fmt: skip
    reader = AmodalFamily(network=replace(network, transformer=replace(TINY_TRANSFORMER, image=True)))
    with pytest.raises(InputError) as refused:
        train(config, quiet=True)
    assert str(refused.value) == (
        "clip clip: it has 3 frames, but samples have 24. Reduce sample.world.frames, or leave the clip out."
    )
    for changes, message in (
        ({"model": AmodalFamily(network=replace(network, chunk=8, overlap=8))}, "overlap must be less"),
        ({"validation": str(tmp_path / "none")}, "no such file"),
        ({"validation": str(write_without_video(tmp_path / "bare", short)), "model": reader}, "has no images"),
    ):
        with pytest.raises(InputError, match=message):
            train(replace(config, output=str(tmp_path / "other"), **changes), quiet=True)
        assert not (tmp_path / "other").exists()


def write_without_video(folder: Path, clip: ClipMasks) -> Path:
    folder.mkdir()
    write_tracks(folder / "clip.tracks.json", clip_tracks(clip))
    return folder

"""Folders of mask-only worlds as data sets."""

from __future__ import annotations

from pathlib import Path

from tests.training.helpers import write_worlds
from vidamodal.formats import find_dataset
from vidamodal.worlds.sample import WorldBank
from vidamodal.worlds.truth import true_tracks


def test_a_folder_of_worlds_is_a_data_set(tmp_path: Path) -> None:
    dataset = find_dataset(write_worlds(tmp_path / "worlds"))
    bank = WorldBank.load(tmp_path / "worlds")
    assert dataset.format == "mask-only worlds" and len(dataset.clips) == len(bank.worlds) == 2
    for world, (key, clip) in zip(bank.worlds, dataset.clips.items(), strict=True):
        assert key == str(world.seed) and clip.frames() is None
        assert clip.tracks() == true_tracks(world, bank.meshes, f"{key}.mp4")

"""The command `card`: data cards of rendered data sets and of mask-only worlds."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dataset_gen.__main__ import main
from dataset_gen.dataset_files import write_worlds
from dataset_gen.run import Run
from tests.dataset_gen.helpers import needs_blender, toy_data_set, toy_scene
from vidamodal.worlds.toy import toy_bank


@needs_blender
def test_card_of_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_set = toy_data_set(tmp_path)
    assert main(["card", str(data_set), "--out", str(tmp_path / "card"), "--quiet"]) == 0
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == ["card.md", "card.png", "sheet.png"]
    text = (tmp_path / "card" / "card.md").read_text()
    assert "5 videos: preset movid_a, split test, seeds 7 to 11" in text and "| scenes | 5 |" in text
    assert text.split("\n![")[0] in capsys.readouterr().out
    assert Image.open(tmp_path / "card" / "sheet.png").width > 4 * 512  # image, visible, amodal, layers
    assert sorted(path.suffix for path in data_set.iterdir()) == [".json", ".tar", ".tar"]


@needs_blender
def test_card_of_mask_only_worlds(tmp_path: Path) -> None:
    from dataset_gen.scene_files import scene_line

    bank = toy_bank(3)
    (tmp_path / "worlds").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dataset_gen.dataset_files.scene_meshes", lambda spec, library: bank.meshes)
        patch.setattr("dataset_gen.dataset_files.Counter", lambda names: {})
        lines = [scene_line(toy_scene(seed)) for seed in range(3)]
        write_worlds(tmp_path / "worlds", Run(3, 0, "test", "movid_a", 64, 3, 1, True).settings(), lines)
    assert main(["card", str(tmp_path / "worlds"), "--out", str(tmp_path / "card"), "--quiet"]) == 0
    assert "3 mask-only worlds" in (tmp_path / "card" / "card.md").read_text()


def test_card_refuses_other_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(tmp_path), "--out", str(tmp_path.parent / "card")]) == 2
    assert "not a finished data set" in capsys.readouterr().err
    assert main(["card", str(tmp_path), "--out", str(tmp_path / "card")]) == 2
    assert not list(tmp_path.iterdir())

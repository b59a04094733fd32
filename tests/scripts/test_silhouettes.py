"""The contact sheet of actors."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.dev.silhouettes import MOMENTS, TILE, main


def test_a_sheet_shows_an_actor_in_every_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "sheet.png"
    command = ["silhouettes", "dataset_gen.actors.people:People", str(out), "--rows", "2", "--actions", "walk,stand"]
    monkeypatch.setattr(sys, "argv", [*command, "--frames", "6"])
    main()
    sheet = np.asarray(Image.open(out).convert("L"))
    assert sheet.shape == (2 * TILE, MOMENTS * TILE)
    tiles = sheet.reshape(2, TILE, MOMENTS, TILE).swapaxes(1, 2)
    dark = (tiles < 130).mean(axis=(2, 3))
    assert np.all((dark > 0.02) & (dark < 0.5))

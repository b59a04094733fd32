"""Mixtures of training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers import disc_scene, write_disc_clip
from vidamodal.data.banks import MixedBank, load_bank
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.windows import View, WindowConfig
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank


def test_every_clip_of_mixed_banks_is_equally_likely(tmp_path: Path) -> None:
    folder = write_disc_clip(write_disc_clip(tmp_path / "set", disc_scene(1)), disc_scene(2), "other")
    bank = MixedBank((load_bank(str(folder), 0, pixels=True), toy_bank(0, worlds=6)))
    assert len(bank) == 8
    config, rng = WorldConfig(size=16, frames=2), np.random.default_rng(0)
    recorded = sum(bank.sample(rng, config).image is not None for _ in range(200))
    assert 30 <= recorded <= 70
    # Clips without pictures are black, which a model that reads pixels takes for none.
    data = TrainingClips(bank, 0, 1, 20, ClipConfig(2, 2, 0.0, world=config), View(WindowConfig(), 16, pixels=True))
    shown = [float(data[k].crops.image.max()) for k in range(20)]
    assert all(batch == 0 or batch > 0.2 for batch in shown) and 0 in shown and max(shown) > 0.5


def test_groups_of_sources_are_equally_likely(tmp_path: Path) -> None:
    folder = write_disc_clip(tmp_path / "set", disc_scene(1))
    bank = load_bank(f"toy;{folder}", 0, pixels=True)  # 16 toy worlds and one clip
    assert len(bank) == 17
    config, rng = WorldConfig(size=16, frames=2), np.random.default_rng(0)
    recorded = np.mean([bank.sample(rng, config).image is not None for _ in range(300)])
    assert recorded == pytest.approx(0.5, abs=0.09)

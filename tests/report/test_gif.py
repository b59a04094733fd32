"""Tests of animated GIFs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.report.helpers import clip
from vidamodal.report.gif import save_gif
from vidamodal.report.overlay import (
    object_masks_at,
)
from vidamodal.report.sheet import side_by_side


def test_gif_plays_every_frame_small_and_the_same_each_time(tmp_path: Path) -> None:
    tracks = clip(24)
    ramp = np.linspace(40, 200, 60).astype(np.uint8)
    frame = np.stack([np.tile(ramp, (40, 1))] * 3, axis=-1)
    for name in ("a.gif", "b.gif"):
        save_gif(
            tmp_path / name, (side_by_side(frame, object_masks_at(tracks, t)) for t in range(24)), 12, max_width=480
        )
    with Image.open(tmp_path / "a.gif") as read:
        assert len(list(ImageSequence.Iterator(read))) == 24 and read.width == 480 and read.info["loop"] == 0
        assert read.info["duration"] == 80
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    assert (tmp_path / "a.gif").stat().st_size < 2.5e6


def test_gif_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs at least one frame"):
        save_gif(tmp_path / "a.gif", [], 12)
    assert not list(tmp_path.iterdir())

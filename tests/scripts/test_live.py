"""Live completion of raw video from a pipe."""

from __future__ import annotations

import io
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from scripts import live
from tests.inference.helpers import H, W, disc
from vidamodal.types import InputError


def options(model_folder: Path, ids: Path, size: str = f"{W}x{H}") -> Namespace:
    return Namespace(size=size, ids=ids, model=str(model_folder), exhaustive=True, window=4, device="cpu")


def test_every_frame_becomes_an_overlay(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.stack([3 * disc(20 + 2 * t, 24, 9) for t in range(3)]).astype(np.uint8)
    frames = np.full((3, H, W, 3), 90, dtype=np.uint8)
    (tmp_path / "ids").write_bytes(labels.tobytes())
    target = io.BytesIO()
    live.complete(options(model_folder, tmp_path / "ids"), io.BytesIO(frames.tobytes()), target)
    overlays = np.frombuffer(target.getvalue(), np.uint8).reshape(frames.shape)
    for overlay, label in zip(overlays, labels, strict=True):
        assert (overlay[label > 0] != 90).any() and (overlay[:5, :5] == 90).all()
    assert capsys.readouterr().err.startswith("3 frames: ")


def test_cut_frames_and_wrong_sizes_are_one_line(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_bytes(bytes(H * W))
    with pytest.raises(InputError, match="ends after 5 of the 9216 bytes"):
        live.complete(options(model_folder, tmp_path / "ids"), io.BytesIO(bytes(5)), io.BytesIO())
    with pytest.raises(InputError, match="is not WxH"):
        live.parse_size("640")

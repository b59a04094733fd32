"""Tests of the experiments on occlusion layers: pictures of layers, and the comparison of samplers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.experiments.layers import __main__ as layers
from scripts.experiments.samplers import __main__ as samplers
from tests.helpers import ToyClip
from vidamodal.media.images import save_png
from vidamodal.models.folder import save_segmenter
from vidamodal.segmenters.cumulative import CumulativeSegmenter, CumulativeSegmenterConfig
from vidamodal.segmenters.cumulative.denoiser import DenoiserConfig


def test_layers_are_rendered_frame_by_frame(tmp_path: Path, clip: ToyClip) -> None:
    save_png(tmp_path / "layers.png", layers.render_layers(str(clip.video), [clip.truth, clip.truth], [0, 3], 2))
    picture = np.array(Image.open(tmp_path / "layers.png")).astype(int)
    height, width = picture.shape[0] // 4, picture.shape[1]
    rows = [picture[k * height : (k + 1) * height, : width // 3] for k in range(4)]
    assert np.abs(rows[0] - rows[1]).mean() < np.abs(rows[0] - rows[2]).mean()  # the same frame twice, then another


def test_a_frame_beyond_the_end_is_refused(
    clip: ToyClip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["layers", str(clip.video), str(clip.truth), "--frames", "999"])
    with pytest.raises(SystemExit) as left:
        layers.main()
    assert left.value.code == 2 and "has no frame 999" in capsys.readouterr().err


def test_the_page_of_samplers_has_a_row_per_sampler(
    tmp_path: Path, clip: ToyClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(clip.video, tmp_path / "clip.mp4")
    shutil.copy(clip.truth, tmp_path / "clip.tracks.json")
    torch.manual_seed(0)
    denoiser = DenoiserConfig(widths=(8, 8), steps=2)
    model = CumulativeSegmenter(
        CumulativeSegmenterConfig(denoiser, size=16, most_layers=2, least_area=1, predicts="mask")
    )
    save_segmenter(tmp_path / "model", model, {}, "# m\n")
    out = tmp_path / "page.md"
    arguments = [str(tmp_path / "model"), "--truth", str(tmp_path), "--clips", "1", "--steps", "3", "--out", str(out)]
    monkeypatch.setattr(samplers, "DDIM_STEPS", (1, 3))
    monkeypatch.setattr(sys, "argv", ["samplers.py", *arguments])
    with pytest.raises(SystemExit) as left:
        samplers.main()
    assert left.value.code == 0
    rows = [line for line in out.read_text().splitlines() if line.startswith("| D")]
    assert [row.split(" | ")[0] for row in rows] == [
        "| DDPM, 3 steps",
        "| DDPM, another seed",
        "| DDIM, 1 steps",
        "| DDIM, 3 steps",
    ]
    assert samplers.agreement([np.ones((1, 2, 2), bool)], [np.ones((2, 2, 2), bool)]) == "50.0"

"""`vidamodal.predict`: known masks, sizes and orders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from tests.helpers import clip_tracks, disc_scene, write_disc_clip
from tests.inference.helpers import H, W, behind_a_bar, check_prediction, clip_of, disc
from vidamodal.inference.api import predict
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.folder import save_model
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import TransformerConfig
from vidamodal.tracks import write_tracks
from vidamodal.types import InputError
from vidamodal.windows import WindowConfig


def test_the_confidence_of_an_earlier_prediction_is_ignored(model_folder: Path, tmp_path: Path) -> None:
    clip = behind_a_bar(4)
    frames = tmp_path / "frames"
    frames.mkdir()
    for t in range(4):
        iio.imwrite(frames / f"{t:05d}.png", np.zeros((H, W, 3), dtype=np.uint8))
    once = predict(frames, clip, model=str(model_folder))
    assert predict(frames, once.clip, model=str(model_folder)).tracks == once.tracks


@pytest.mark.parametrize("size", [(1, 1), (7, 31), (33, 5)])
def test_odd_sizes_are_kept(size: tuple[int, int], model: AmodalModel, model_folder: Path, tmp_path: Path) -> None:
    height, width = size
    (tmp_path / "frames").mkdir()
    for t in range(3):
        iio.imwrite(tmp_path / "frames" / f"{t}.png", np.full((height, width, 3), 60 * t, dtype=np.uint8))
    clip = clip_of({1: [disc(width / 2, height / 2, 3, height, width)] * 3}, height=height, width=width)
    result = predict(tmp_path / "frames", clip, tmp_path / "out", model=str(model_folder))
    assert all(m is not None and (m.height, m.width) == size for m in result.tracks[0].amodal or ())
    check_prediction(clip, replace(result.clip, video=clip.video))


TINY = TransformerConfig(width=16, depth=2, heads=2, features=8, window=4)


def small_reader(**changes: Any) -> AmodalModel:
    torch.manual_seed(0)
    made = AmodalModel(ModelConfig(TokenizerConfig(crop=16, codes=8), replace(TINY, **changes), WindowConfig()))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.dtype == torch.float32:
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return made.eval()


def test_an_order_that_is_missing_or_does_not_fit_is_rejected(tmp_path: Path) -> None:
    folder = write_disc_clip(tmp_path / "set", disc_scene(6))
    video, tracks = folder / "clip.mp4", folder / "clip.tracks.json"
    save_model(tmp_path / "blind", small_reader(), {}, "")
    save_model(tmp_path / "reader", small_reader(order=True), {}, "")
    with pytest.raises(InputError, match='has no "order"'):
        predict(video, tracks, model=str(tmp_path / "reader"), order=tracks)
    told, short = (
        replace(clip_tracks(disc_scene(6)), order=(((1, 2),),) * 5),
        replace(clip_tracks(disc_scene(6, 4)), order=((),) * 4),
    )
    write_tracks(tmp_path / "told.json", told)
    write_tracks(tmp_path / "short.json", short)
    with pytest.raises(InputError, match="does not read the order"):
        predict(video, tracks, model=str(tmp_path / "blind"), order=tmp_path / "told.json")
    with pytest.raises(InputError, match="has 4 frames, but the clip has 5"):
        predict(video, tracks, model=str(tmp_path / "reader"), order=tmp_path / "short.json")
    assert predict(video, tracks, model=str(tmp_path / "reader"), order=tmp_path / "told.json").order

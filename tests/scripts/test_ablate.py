"""The tables of ablations: every row can be made, what is switched off is off, and figures are as kept."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from scripts.experiments.ablation import __main__ as ablate
from vidamodal.backbones.pvt import PyramidConfig
from vidamodal.backbones.resnet import BackboneConfig
from vidamodal.config import build
from vidamodal.heads.aisdiff import AISDiffHeadConfig
from vidamodal.heads.base import find_head
from vidamodal.heads.conddiff import CondDiffConfig
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.c2f.model import C2F, C2FConfig, C2FTransformerConfig
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import TransformerConfig
from vidamodal.occlusion.layers import LayeredFrame
from vidamodal.segmenters.aisdiff import AISDiffSegmenter, AISDiffSegmenterConfig
from vidamodal.segmenters.aisdiff.detector import DetectorConfig
from vidamodal.segmenters.aisdiff.inpainting import PriorConfig
from vidamodal.segmenters.base import FrameSegmenter, find_segmenter
from vidamodal.segmenters.cumulative import CumulativeSegmenter, CumulativeSegmenterConfig
from vidamodal.segmenters.cumulative.denoiser import DenoiserConfig
from vidamodal.training.config import stage_classes
from vidamodal.training.family import SegmenterFamily
from vidamodal.windows import WindowConfig

PAGES = [yaml.safe_load(path.read_text()) for path in sorted((ablate.ROOT / "scripts/experiments/ablation").glob("*.yaml"))]
ROWS = [
    (row, ablate.base_of(row, table, page)) for page in PAGES for table in page["tables"] for row in ablate.rows(table)
]


def ours() -> AmodalModel:
    return AmodalModel(
        ModelConfig(TokenizerConfig(crop=16, codes=8), TransformerConfig(width=16, depth=2, heads=2, features=8))
    )


def c2f() -> C2F:
    return C2F(
        C2FConfig(
            codec="light",
            light=TokenizerConfig(crop=32, patch=8, codes=8),
            backbone=BackboneConfig(stem=8, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), block="basic"),
            transformer=C2FTransformerConfig(width=16, depth=1, heads=2),
            refiner=16,
        )
    )


def with_head(head: str) -> FramewiseModel:
    if head == "aisdiff":
        settings = AISDiffHeadConfig(width=8, prior=PriorConfig(widths=(8, 8)))
        return FramewiseModel(FramewiseConfig("aisdiff", crop=32), settings)
    return diffusing()


def diffusing() -> FramewiseModel:
    pyramid = PyramidConfig((8, 8, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1))
    return FramewiseModel(FramewiseConfig(crop=32), CondDiffConfig(pyramid=pyramid, width=8))


def small_segmenter(identity: str) -> FrameSegmenter:
    if identity == "aisdiff":
        sizes = DetectorConfig(stem=8, widths=(8, 8, 8, 8), width=8)
        return AISDiffSegmenter(AISDiffSegmenterConfig(32, ("a", "b"), sizes, PriorConfig(widths=(8, 8))))
    return CumulativeSegmenter(CumulativeSegmenterConfig(DenoiserConfig(widths=(8, 8)), size=8))


@pytest.mark.parametrize(("row", "base"), ROWS, ids=[row.name for row, _ in ROWS])
def test_every_row_has_valid_options_and_settings(row: ablate.Row, base: str) -> None:
    config = ablate.training_config(row, base)
    stage_classes(config)
    family: Any = config.model
    if isinstance(family, SegmenterFamily):
        build(find_segmenter(family.ID).config_class, family.network, "model.network")
        settings = {name: value for name, value in row.use.items() if name != "told"}
        ablate.changed_segmenter(small_segmenter(family.ID), settings)
        return
    if hasattr(family, "head"):
        head = family.name if family.ID == "head" else family.network.head
        build(find_head(head).config_class, family.head, "model.head")
    if family.ID == "c2f":
        ablate.changed(c2f(), row.use)
    elif family.ID in ("head", "framewise") or row.head:
        ablate.changed(with_head(head), row.use)
    else:
        ablate.changed(ours(), row.use)


def test_what_is_switched_off_in_a_finished_model_is_off() -> None:
    model = ours()
    other, constrain, told = ablate.changed(model, {"roll": False, "window": 8, "chunk": 96, "constrain": False})
    assert isinstance(other, AmodalModel) and not constrain and not told
    assert (other.config.transformer.roll, other.config.transformer.window, other.config.chunk) == (False, 8, 96)
    assert model.config.transformer.roll and model.config.windows == WindowConfig()
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    coarse, *_ = ablate.changed(c2f(), {"refine": False, "steps": 1})
    assert isinstance(coarse, C2F) and coarse.refiner is None and coarse.config.steps == 1


def test_the_page_shows_what_is_kept_and_marks_what_is_not(tmp_path: Path) -> None:
    config = {
        "title": "Ablations",
        "base": "configs/ablation/amodal.yaml",
        "sets": {"static": {"path": "x", "clips": 1}},
        "tables": [
            {
                "name": "T",
                "data": ["static"],
                "rows": [{"name": "a", "seeds": [0, 1]}, {"name": "b", "use": {"chunk": 9}}],
            }
        ],
    }
    options = argparse.Namespace(runs=tmp_path, steps=None, table_only=True, page="ablations")
    for seed, occ in ((0, 0.5), (1, 0.52)):
        run = ablate.train(ablate.Row("a"), str(config["base"]), seed, options)
        run.scores.mkdir(parents=True)
        (run.scores / "trained.json").write_text(json.dumps({"cpu_seconds": 60.0}))
        scores = dict.fromkeys(ablate.SHOWN, 0.25) | {"occ": occ, "hidden": None}
        ablate.scores_path(run, {}, "static", config["sets"]["static"]).write_text(json.dumps(scores))  # type: ignore[index]
    lines = "".join(ablate.report(config, options)).splitlines()
    assert "| a | 1.0 | 25.0 (0.0) | 51.0 (1.0) | - | 25.0 (0.0) | 25.0 (0.0) |" in lines
    assert "| b | 1.0 | - | - | - | - | - |" in lines


def test_settings_of_a_head_are_changed_and_no_others() -> None:
    model = diffusing()
    other, *_ = ablate.changed(model, {"head.steps": 3, "head.noise": "frame"})
    assert isinstance(other, FramewiseModel) and other.config == model.config
    assert (other.head_config.steps, other.head_config.noise) == (3, "frame")
    assert other.head_config == replace(model.head_config, steps=3, noise="frame")


def test_settings_of_a_segmenter_and_its_unet_are_changed_and_no_others() -> None:
    model = CumulativeSegmenter(CumulativeSegmenterConfig(DenoiserConfig(widths=(8, 8)), size=8))
    other = ablate.changed_segmenter(model, {"samples": 7, "denoiser.sampler": "ddpm"})
    assert isinstance(other, CumulativeSegmenter)
    assert other.config == replace(model.config, samples=7, denoiser=replace(model.config.denoiser, sampler="ddpm"))


def test_layers_are_drawn_behind_the_true_ones_where_these_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def sample(
        _self: CumulativeSegmenter, _image: torch.Tensor, front: torch.Tensor, number: int, _seeds: object
    ) -> torch.Tensor:
        seen.append(front[0])
        return torch.full((1, 1, 8, 8), 1.0 if number == 2 else -1.0)

    monkeypatch.setattr(CumulativeSegmenter, "sample_layer", sample)
    masks = np.zeros((3, 8, 8), dtype=bool)
    masks[0, 0], masks[1, 1], masks[2, 2] = True, True, True
    truth = LayeredFrame(masks, masks, masks, np.array([1, 2, 3]), np.ones(3))
    (found,) = ablate.layers_told(small_segmenter("cumulative"), torch.rand(1, 3, 8, 8), 0, [truth])
    assert [float(front.sum()) for front in seen] == [0, 8, 16]
    assert [int(layer.sum()) for layer in found.layers] == [0, 64, 0]


def test_a_row_of_a_finished_model_trains_nothing(tmp_path: Path) -> None:
    options = argparse.Namespace(runs=tmp_path, steps=None, table_only=False)
    run = ablate.train(ablate.Row("a", model="tiny", head="conv"), "configs/ablation/amodal.yaml", 0, options)
    assert (run.model, run.head) == ("tiny", "conv") and not list(tmp_path.iterdir())

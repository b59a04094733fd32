"""Tests of the ablation tables: rows, changed models, and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scripts.experiments.ablation import scoring, training
from scripts.experiments.ablation.model_changes import change_model, change_segmenter
from scripts.experiments.ablation.page import render_page
from scripts.experiments.ablation.tables import MEASURES_SHOWN, DataSet, Row, load_page, page_names, parse_page
from tests.inference.helpers import behind_a_bar
from tests.worlds.helpers import write_bank
from vidamodal.backbones.pvt import PyramidConfig
from vidamodal.backbones.resnet import BackboneConfig
from vidamodal.config import build
from vidamodal.heads.aisdiff import AISDiffHeadConfig
from vidamodal.heads.base import find_head
from vidamodal.heads.conddiff import CondDiffConfig
from vidamodal.inference.predictor import Predictor
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.c2f.c2f_transformer import C2FTransformerConfig
from vidamodal.models.c2f.model import C2F, C2FConfig
from vidamodal.models.folder import save_model
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
from vidamodal.worlds.toy import toy_bank

BASE = "configs/ablation/amodal.yaml"

PAGES = [load_page(name) for name in page_names()]
ROWS = [(row, table.base_of(row)) for page in PAGES for table in page.tables for row in table.rows]


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
def test_every_row_has_valid_options_and_settings(row: Row, base: str) -> None:
    config = training.training_config(row, base)
    stage_classes(config)
    family: Any = config.model
    if isinstance(family, SegmenterFamily):
        build(find_segmenter(family.ID).config_class, family.network, "model.network")
        settings = {name: value for name, value in row.use.items() if name != scoring.TRUE_LAYERS}
        change_segmenter(small_segmenter(family.ID), settings)
        return
    settings = {k: v for k, v in row.use.items() if k not in (scoring.TRUE_ORDER, scoring.CONSTRAIN, scoring.ALONE)}
    head = ""
    if hasattr(family, "head"):
        head = family.name if family.ID == "head" else family.network.head
        build(find_head(head).config_class, family.head, "model.head")
    if family.ID == "c2f":
        change_model(c2f(), settings)
    elif family.ID in ("head", "framewise") or row.head:
        change_model(with_head(head), settings)
    else:
        change_model(ours(), settings)


def test_settings_of_a_model_are_changed_and_its_weights_kept() -> None:
    model = ours()
    other = change_model(model, {"roll": False, "window": 8, "chunk": 96})
    assert isinstance(other, AmodalModel)
    assert (other.config.transformer.roll, other.config.transformer.window, other.config.chunk) == (False, 8, 96)
    assert model.config.transformer.roll and model.config.windows == WindowConfig()
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    decided = change_model(model, {"partial": {"threshold": 0.9, "shift": -1.0}})
    assert (decided.config.partial.threshold, decided.config.partial.shift) == (0.9, -1.0)
    coarse = change_model(c2f(), {"refine": False, "steps": 1})
    assert isinstance(coarse, C2F) and coarse.refiner is None and coarse.config.steps == 1


def test_the_page_shows_existing_scores_and_marks_missing_ones(tmp_path: Path) -> None:
    content = {
        "title": "Ablations",
        "base": BASE,
        "sets": {"static": {"path": "x", "clips": 1}},
        "tables": [
            {
                "name": "T",
                "data": ["static"],
                "rows": [{"name": "a", "seeds": [0, 1]}, {"name": "b", "use": {"chunk": 9}}],
            }
        ],
    }
    page = parse_page("ablations", content)
    for seed, occ in ((0, 0.5), (1, 0.52)):
        run = training.find_trained(Row("a"), BASE, seed, tmp_path, None)
        run.scores.mkdir(parents=True)
        (run.scores / "trained.json").write_text(json.dumps({"cpu_seconds": 60.0}))
        scores = dict.fromkeys(MEASURES_SHOWN, 0.25) | {"occ": occ, "hidden": None}
        scoring.scores_path(run, {}, "static", page.sets["static"]).write_text(json.dumps(scores))
    lines = render_page(page, tmp_path, None).splitlines()
    assert "| a | 1.0 | 25.0 (0.0) | 51.0 (1.0) | - | 25.0 (0.0) | 25.0 (0.0) |" in lines
    assert "| b | 1.0 | - | - | - | - | - |" in lines


def test_the_page_fits_scores_to_size_and_length(tmp_path: Path) -> None:
    key = "stages.amodal.steps"
    sizes = [ours(), AmodalModel(replace(ours().config, transformer=TransformerConfig(width=32, depth=2, features=8)))]
    rows = [{"name": f"{k} {n}", "set": {key: n, "seed": k}} for k in range(2) for n in (100, 200)]
    tables = [{"name": "T", "data": ["static"], "measures": ["occ", "ms"], "rows": rows, "fit": True}]
    page = parse_page(
        "x", {"title": "X", "base": BASE, "sets": {"static": {"path": "x", "clips": 1}}, "tables": tables}
    )
    empty = render_page(page, tmp_path, None)
    assert "| 0 100 | - | 12,800 | - | - | - |" in empty.splitlines() and "needs the scores of several sizes" in empty
    for row in page.tables[0].rows:
        run = training.find_trained(row, BASE, 0, tmp_path, None)
        save_model(Path(run.model), sizes[row.set["seed"]], {}, "")
        score = {"occ": 0.3 + 0.1 * row.set["seed"] + 0.02 * (row.set[key] == 200), "ms": 5.0}
        scoring.scores_path(run, {}, "static", page.sets["static"]).write_text(json.dumps(score))
    lines = render_page(page, tmp_path, None).splitlines()
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in sizes]
    assert f"| 1 200 | {counts[1] / 1e6:.2f} | 25,600 | - | 42.0 | 5.0 |" in lines
    assert f"| occ, static | {10 / np.log2(counts[1] / counts[0]):+.2f} | +2.00 | 0.00 |" in lines


def test_settings_of_a_head_are_changed_and_no_others() -> None:
    model = diffusing()
    other = change_model(model, {"head.steps": 3, "head.noise": "frame"})
    assert isinstance(other, FramewiseModel) and other.config == model.config
    assert (other.head_config.steps, other.head_config.noise) == (3, "frame")
    assert other.head_config == replace(model.head_config, steps=3, noise="frame")


def test_settings_of_a_segmenter_and_its_unet_are_changed_and_no_others() -> None:
    model = CumulativeSegmenter(CumulativeSegmenterConfig(DenoiserConfig(widths=(8, 8)), size=8))
    other = change_segmenter(model, {"samples": 7, "denoiser.sampler": "ddpm"})
    assert isinstance(other, CumulativeSegmenter)
    assert other.config == replace(model.config, samples=7, denoiser=replace(model.config.denoiser, sampler="ddpm"))


def test_layers_can_be_predicted_behind_the_true_ones(monkeypatch: pytest.MonkeyPatch) -> None:
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
    (found,) = scoring.predict_layers_behind_true_ones(
        small_segmenter("cumulative"), torch.rand(1, 3, 8, 8), 0, [truth]
    )
    assert [float(front.sum()) for front in seen] == [0, 8, 16]
    assert [int(layer.sum()) for layer in found.layers] == [0, 64, 0]


def test_a_row_with_a_finished_model_is_not_trained(tmp_path: Path) -> None:
    run = training.train_row(Row("a", model="tiny", head="conv"), BASE, 0, tmp_path, None)
    assert (run.model, run.head) == ("tiny", "conv") and not list(tmp_path.iterdir())


def test_objects_are_completed_from_their_masks_alone_on_request() -> None:
    clip, model = behind_a_bar(4), ours()
    predictor = Predictor(model, "cpu")
    alone = scoring.predict_alone(predictor, clip)
    assert [track.id for track in alone.tracks] == [track.id for track in clip.tracks] and not alone.exhaustive
    first = predictor.predict(replace(clip, exhaustive=False, order=None, tracks=clip.tracks[:1]))
    assert alone.tracks[0].amodal == first.tracks[0].amodal


def test_a_set_of_several_data_sets_has_the_first_clips_of_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_bank(tmp_path / name, toy_bank(0, 3))
    keys = [key for key, _ in DataSet(f"{tmp_path}/a,{tmp_path}/b", clips=2).first_clips()]
    assert [key.partition("/")[0] for key in keys] == ["a", "a", "b", "b"] and len(set(keys)) == 4
    (single,) = [key for key, _ in DataSet(f"{tmp_path}/a", clips=1).first_clips()]
    assert keys[0] == f"a/{single}"

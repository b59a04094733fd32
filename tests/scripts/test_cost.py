"""Tests of the experiment on cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from scripts.dev.many import Many
from scripts.experiments.cost.__main__ import build_parser, page_arguments
from scripts.experiments.cost.measure import (
    SIZE,
    Cost,
    FormatCost,
    Load,
    Scale,
    Stopwatch,
    count_multiply_adds,
    load_network,
    measure_formats,
    measure_load,
    measure_scale,
    moving_shapes,
    paint_frames,
    predict,
)
from scripts.experiments.cost.page import Measured, render_curves, render_page
from vidamodal.inference.prediction import Format
from vidamodal.models.amodal import AmodalModel
from vidamodal.types import InputError

ROOT = Path(__file__).parents[2]


def test_moving_shapes_are_disjoint_and_sometimes_occluded() -> None:
    clip = moving_shapes(9, 30, 64)
    masks = np.array([[mask.decode() for mask in track.visible if mask] for track in clip.tracks])
    areas = masks.sum(axis=(2, 3))
    assert masks.sum(axis=0).max() == 1
    assert areas.any(axis=1).all() and (areas[:8].min(axis=1) < 0.7 * areas[:8].max(axis=1)).any()
    assert len({frame.tobytes() for frame in paint_frames(clip)}) == 30


def test_multiply_adds_and_seconds(model: AmodalModel) -> None:
    """Multiply-adds grow with the objects, not with the passes; the stopwatch counts the network's time."""
    one, three = (count_multiply_adds(model, moving_shapes(n, 6, 64)) for n in (1, 3))
    assert three == pytest.approx(3 * one)
    watch = Stopwatch(model)
    try:
        predictor = predict(model, moving_shapes(1, 12, 64))
    finally:
        del model.complete  # restores the method of the class
    assert predictor.timings.object_frames == 12
    assert watch.seconds > 0
    config = model.config
    model.config = replace(config, windows=replace(config.windows, passes=1))
    try:
        assert count_multiply_adds(model, moving_shapes(1, 6, 64)) == pytest.approx(one)
    finally:
        model.config = config


def test_networks_of_configs_and_names(tmp_path: Path) -> None:
    network = "{transformer: {width: 64, depth: 1}}"
    (tmp_path / "run.yaml").write_text(
        f"model: {{family: amodal, network: {network}, head: {{width: 16, deep: 32}}}}\n"
    )
    for config, width in ((tmp_path / "run.yaml", 64), (ROOT / "configs/smoke.yaml", 64)):
        created = load_network(str(config))
        assert isinstance(created, AmodalModel) and created.config.transformer.width == width
    assert load_network("tiny:conv").config.head == "conv"
    assert load_network(str(ROOT / "configs/conddiff/small.yaml")).config.head == "conddiff"
    (tmp_path / "bad.yaml").write_text("model: {family: amodal, network: {depth: 1}}")
    for name, message in (("bad", "unknown key 'depth'"), ("missing", "no config")):
        with pytest.raises(InputError, match=message):
            load_network(str(tmp_path / f"{name}.yaml"))


def test_memory_hardly_grows_with_the_frames(model_folder: Path) -> None:
    """Memory per frame grows by far less than the pixels of a mask."""
    short, long = (measure_load(str(model_folder), 1, frames) for frames in (48, 240))
    assert short.traced is not None and long.traced is not None
    assert (long.traced - short.traced) / 192 < 4096 < SIZE**2


def test_the_parts_of_a_prediction_are_timed_for_a_video_file(model_folder: Path) -> None:
    scale = measure_scale(str(model_folder), 2, 4, 48, 64)
    assert (scale.objects, scale.frames, scale.height, scale.width) == (2, 4, 48, 64)
    assert 0 < scale.network < scale.tracks < scale.default and scale.beside > 0


def test_the_writing_of_each_format_is_timed(model_folder: Path) -> None:
    formats = measure_formats(str(model_folder), 3, 48, 64)
    assert [one.name for one in formats] == list(get_args(Format))
    assert all(one.seconds > 0 and one.size > 0 for one in formats)


def test_page_names_the_arguments_that_are_no_defaults(tmp_path: Path) -> None:
    parser = build_parser()
    options = parser.parse_args(["--models", "tiny", str(tmp_path / "mine"), "--frames", "24", "48", "--videos", "9"])
    expected = "--models tiny mine --curves tiny --frames 24 48 --videos 9"
    assert page_arguments(parser, options) == expected
    assert page_arguments(parser, parser.parse_args([])) == "--models tiny --curves tiny"


def test_cost_page_and_picture() -> None:
    costs = [
        Cost("tiny", "bfloat16", 10**6, 2e8, 0.004, 2, 0.01),
        Cost("configs/c2f/full.yaml", "float32", 10**8, 2e11, 4, 1, 5),
    ]
    loads = [Load(n, 24, n * 0.2, 10**8, 2 * 10**8, 10**6, 1.0) for n in (1, 5)]
    loads += [Load(1, t, t * 0.01, 10**8, 2 * 10**8, 10**6 + 100 * t, 1.1) for t in (240, 2400)]
    scales = [Scale(1, 10, size, size, 0.1, 0.02, 0.2 * size / 256, 0.5, 10**9) for size in (256, 512)]
    loads.append(Load(1, 24000, 240, 10**8, 21 * 10**7, None, 1.1))
    many = Many(9, 24, {"1 worker": (30, 31), "2 workers": (15, 32), "shell loop": (90, 91)}, True)
    measured = Measured(costs, loads, scales, [FormatCost("png", 0.0123, 4500)], many)
    page = render_page("--models tiny", "tiny", "cost.png", measured)
    assert "| c2f/full | 100.00 | 200.000 | 1000.0 | 4000.0 | 1000.0 | 1 | 5000.0 |" in page
    assert "power 1.00" in page and "take 100 bytes for each" in page and "by 5 %" in page
    assert "scripts.experiments.cost --models tiny`" in page
    assert "| 1 | 24000 | 240.00 | 10.00 | 100 | 210 | - |" in page
    assert "| `png` | 12.3 | 4.5 |" in page and "| 2 workers | 15 | 32 | 2.00 | 6.0 |" in page
    assert "| 1 | 2400 | 24.00 | 10.00 | 100 | 200 | 1.24 |" in page
    assert "| 512 x 512 | 1 | 10.0 | 2.0 | 5 % | 40.0 | 2.00 | 50.0 | 1000 |" in page
    assert render_curves(loads).shape == (800, 920, 3)

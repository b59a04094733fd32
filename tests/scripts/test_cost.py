"""Curves, the cost of a model and the study of robustness: what their pages say, on small models and clips."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.experiments.calibration import __main__ as calibrate
from scripts.experiments.cost import __main__ as cost
from scripts.experiments.curves import Axis, Curve, line_chart, tile_panels
from scripts.experiments.robustness import __main__ as robustness
from tests.helpers import ToyClip
from vidamodal.baselines import predict_baseline
from vidamodal.formats import Clip
from vidamodal.formats.tracks import write_tracks
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model
from vidamodal.types import InputError

ROOT = Path(__file__).parents[2]


def test_curves_lie_where_their_points_do() -> None:
    """On both scales the middle of the axis is the middle of the panel, and what is not finite is left out."""

    def centre(series: Curve, across: Axis) -> float:
        panel = line_chart("title", [series], across, Axis("", 0, 10), (400, 300)).astype(int)
        blue = (panel[:220, :, 2] - panel[:220, :, 0]) > 120  # above the legend
        return float(np.nonzero(blue)[1].mean())

    linear = centre(Curve("", [(50, 5), (float("nan"), 1), (20, float("inf"))]), Axis("x", 0, 100))
    log = centre(Curve("", [(10, 5)]), Axis("x", 1, 100, log=True))
    assert linear == pytest.approx(log, abs=0.5)
    assert linear < centre(Curve("", [(80, 5)]), Axis("x", 0, 100))
    with pytest.raises(ValueError, match="no finite point"):
        line_chart("empty", [Curve("a", [])], Axis("x"), Axis("y"))
    with pytest.raises(ValueError, match="logarithmic"):
        line_chart("zero", [Curve("a", [(0, 1)])], Axis("x", log=True), Axis("y"))


def test_panels_beside_each_other() -> None:
    panels = [np.full((4, 6, 3), k, dtype=np.uint8) for k in range(3)]
    sheet = tile_panels(panels, 2)
    assert sheet.shape == (8, 12, 3)
    assert sheet[4:, :6].max() == 2 and sheet[4:, 6:].min() == 255


def test_moving_shapes_are_disjoint_hidden_and_seen() -> None:
    clip = cost.moving_shapes(9, 30, 64)
    masks = np.array([[mask.decode() for mask in track.visible] for track in clip.tracks])
    areas = masks.sum(axis=(2, 3))
    assert masks.sum(axis=0).max() == 1
    assert areas.any(axis=1).all() and (areas[:8].min(axis=1) < 0.7 * areas[:8].max(axis=1)).any()
    assert len({frame.tobytes() for frame in cost.paint(clip)}) == 30


def test_multiply_adds_and_seconds(model: AmodalModel) -> None:
    """They grow with the objects, not with the passes; the network's seconds are among those of the prediction."""
    one, three = (cost.count(model, cost.moving_shapes(n, 6, 64)) for n in (1, 3))
    assert three == pytest.approx(3 * one)
    watch = cost.Stopwatch(model)
    try:
        predictor = cost.predict(model, cost.moving_shapes(1, 12, 64))
    finally:
        del model.complete  # the wrapped one hides the class's
    assert predictor.timings.object_frames == 12
    assert watch.seconds > 0
    config = model.config
    model.config = replace(config, windows=replace(config.windows, passes=1))
    try:
        assert cost.count(model, cost.moving_shapes(1, 6, 64)) == pytest.approx(one)
    finally:
        model.config = config


def test_network_of_a_config(tmp_path: Path) -> None:
    network = "{transformer: {width: 64, depth: 1}}"
    (tmp_path / "run.yaml").write_text(
        f"model: {{family: amodal, network: {network}, head: {{width: 16, deep: 32}}}}\n"
    )
    assert cost.network(str(tmp_path / "run.yaml")).config.transformer.width == 64
    assert cost.network(str(ROOT / "configs/smoke.yaml")).config.transformer.depth == 2
    assert cost.network("tiny:conv").config.head == "conv"
    assert cost.network(str(ROOT / "configs/conddiff/small.yaml")).config.head == "conddiff"
    (tmp_path / "bad.yaml").write_text("model: {family: amodal, network: {depth: 1}}")
    for name, words in (("bad", "unknown key 'depth'"), ("missing", "no config")):
        with pytest.raises(InputError, match=words):
            cost.network(str(tmp_path / f"{name}.yaml"))


def test_memory_is_flat_in_frames(model_folder: Path) -> None:
    """What a prediction holds grows by far less than a mask's pixels a frame: run lengths of ragged masks."""
    short, long = (cost.measure_load(str(model_folder), 1, frames) for frames in (48, 240))
    assert (long.traced - short.traced) / 192 < 4096 < cost.SIZE**2


def test_cost_page_and_picture() -> None:
    costs = [
        cost.Cost("tiny", "bfloat16", 10**6, 2e8, 0.004, 2, 0.01),
        cost.Cost("c2f", "float32", 10**8, 2e11, 4, 1, 5),
    ]
    loads = [cost.Load(n, 24, n * 0.2, 10**8, 2 * 10**8, 10**6, 1.0) for n in (1, 5)]
    loads += [cost.Load(1, t, t * 0.01, 10**8, 2 * 10**8, 10**6 + 100 * t, 1.1) for t in (240, 2400)]
    options = argparse.Namespace(
        models=["tiny", "configs/c2f/full.yaml"], curves="some/where/tiny", out=Path("cost.md")
    )
    page = cost.write_page(options, costs, loads)
    assert "| c2f | 100.00 | 200.000 | 1000.0 | 4000.0 | 1000.0 | 1 | 5000.0 |" in page
    assert "power 1.00" in page and "by 100 bytes a frame" in page and "some/where" not in page
    assert "| 1 | 2400 | 24.00 | 10.00 | 100 | 200 | 1.24 |" in page
    assert cost.picture(loads).shape == (800, 920, 3)


def source(clip: ToyClip) -> Clip:
    return Clip("toy", lambda: clip.tracks, lambda: None)


def test_settings_of_robustness(clip: ToyClip) -> None:
    """Truth stays clean, inputs get worse; alone means that nobody else is given."""
    kinds = ["edge", "dropped", "unknown", "missing"]
    found = dict(robustness.settings(clip.tracks, kinds, 0, 7))
    again = dict(robustness.settings(clip.tracks, kinds, 0, 7))
    assert list(found) == [
        *(("exhaustive", 0.0), ("all masks", 0.0), ("own mask", 0.0)),
        *((kind, s) for kind in kinds for s in robustness.STRENGTHS[kind]),
    ]
    assert [g.exhaustive for g, _ in found["exhaustive", 0.0]] == [True]
    assert [len(g.tracks) for g, _ in found["own mask", 0.0]] == [1] * len(clip.tracks.tracks)
    areas = []
    for strength in robustness.STRENGTHS["dropped"]:
        [(given, truth)] = found["dropped", strength]
        assert truth == clip.tracks and not given.exhaustive
        areas.append(sum(mask.area() > 0 for track in given.tracks for mask in track.visible if mask))
    assert areas == sorted(areas, reverse=True) and areas[-1] < areas[0]
    assert all(mask is not None for track in found["edge", 0.2][0][0].tracks for mask in track.visible)
    assert any(mask is None for track in found["unknown", 0.6][0][0].tracks for mask in track.visible)
    [(given, truth)] = found["missing", 0.75]
    assert [t.id for t in given.tracks] == [t.id for t in truth.tracks]
    assert len(found["missing", 0.75][0][1].tracks) < len(clip.tracks.tracks)
    assert found == again


def test_study_of_robustness(clip: ToyClip, tmp_path: Path) -> None:
    """A method that knows the truth scores 1 whatever it is given, one that copies gets what is left."""
    known = {track.id: track.amodal for track in clip.tracks.tracks}
    methods = {
        "oracle": lambda given, _: replace(
            given, tracks=tuple(replace(t, amodal=known[t.id]) for t in given.tracks)
        ),
        "copy": lambda given, _: predict_baseline("copy-visible", given),
    }  # fmt: skip
    study = robustness.run([source(clip)], methods, ["dropped"], 0)
    for row in (*study.scenes.values(), *study.spoilt["dropped"].values()):
        assert (row["oracle"].full, row["oracle"].occ) == (1.0, 1.0)
    copied = [row["copy"].full for row in study.spoilt["dropped"].values()]
    assert copied == sorted(copied, reverse=True) and copied[-1] < copied[0] - 0.1
    assert study.scenes["own mask"]["copy"] == study.scenes["all masks"]["copy"]
    options = argparse.Namespace(truth=Path("some/where/toy"), seed=0, out=Path("robustness.md"))
    page = robustness.page(options, study)
    assert "some/where" not in page and "Lead of oracle over the best baseline" in page
    assert page.count("| 100.0 / 100.0 / ") == 3 + 4
    Image.fromarray(robustness.picture(study)).save(tmp_path / "study.png")


def test_calibration_page(
    clip: ToyClip,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the command line on: page and both pictures, with the temperature that was fitted."""
    for name in ("truth", "fit"):
        write_tracks(tmp_path / name / "toy.tracks.json", clip.tracks)
    out = tmp_path / "docs" / "calibration.md"
    model = tmp_path / "model"
    shutil.copytree(model_folder, model)
    arguments = ["--truth", tmp_path / "truth", "--fit", tmp_path / "fit", "--model", model, "--out", out, "--keep"]
    monkeypatch.setattr(sys, "argv", ["calibrate.py", *map(str, arguments), "--hypotheses", "2"])
    calibrate.main()
    page = out.read_text()
    assert str(tmp_path) not in page and "best of 2" in page and "best of 4" not in page
    kept = load_model(str(model)).model.config.temperature
    assert kept != 1 and f"at temperature {kept:.2f} |" in page
    ece = [line.split("|") for line in page.splitlines() if line.startswith("| covered by others, of objects seen")]
    assert float(ece[0][8]) < float(ece[0][4])  # of an untrained network whose clip the temperature was fitted to
    for name in ("calibration.png", "calibration-hypotheses.png"):
        assert min(Image.open(out.with_name(name)).size) > 200
    monkeypatch.setattr(sys, "argv", ["calibrate.py", "--truth", str(tmp_path / "none"), "--fit", str(tmp_path)])
    with pytest.raises(SystemExit, match="no such file or folder"):
        calibrate.main()

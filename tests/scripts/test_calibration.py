"""Tests of the experiment on calibration: reliability, temperatures and hypotheses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.special import expit, logit

from scripts.experiments.calibration import __main__ as calibration
from scripts.experiments.calibration.hypothesis_scores import best_of, score_hypotheses, spread
from scripts.experiments.calibration.reliability import Reliability, fit_scaling
from tests.helpers import ToyClip
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.primary import LOWER_IS_BETTER, MEASURES
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, Hypothesis, InputError, Rle, Track

PIXELS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def reliability_of(pixels: Sequence[tuple[float, bool]]) -> Reliability:
    found = Reliability.even()
    found.add(np.array([p for p, _ in pixels]), np.array([y for _, y in pixels]))
    return found


def sampled_pixels(seed: int, count: int, sharpness: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and outcomes that are calibrated once logits are divided by ``sharpness`` and shifted."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2.5, count)
    return expit((true - shift) * sharpness), rng.random(count) < expit(true)


def test_ece_of_an_example() -> None:
    """Two pixels with probability 0.1, one of them inside; two with 0.9, both inside."""
    found = reliability_of([(0.1, False), (0.1, True), (0.9, True), (0.9, True)])
    assert found.ece == pytest.approx((abs(0.1 - 0.5) + abs(0.9 - 1.0)) / 2)
    assert found.bias == pytest.approx(0.5 - 0.75)
    assert found.diagram == [pytest.approx((0.1, 0.5)), pytest.approx((0.9, 1.0))]
    assert reliability_of([(1.0, False), (0.0, True)]).ece == 1.0
    assert found.between(1 / 15, 3 / 15).ece == pytest.approx(0.4)
    assert found.between(3 / 15, 1).count.sum() == 2
    assert (Reliability.even().ece, Reliability.even().bias, Reliability.even().diagram) == (None, None, [])


@given(PIXELS, st.randoms(use_true_random=False), st.integers(0, 60))
def test_ece_does_not_depend_on_order_or_parts(
    pixels: list[tuple[float, bool]], random: np.random.Generator, cut: int
) -> None:
    whole, shuffled = reliability_of(pixels), list(pixels)
    random.shuffle(shuffled)
    parts = Reliability.even()
    for part in (shuffled[:cut], shuffled[cut:]):
        parts.add(np.array([p for p, _ in part]), np.array([y for _, y in part], dtype=bool))
    assert parts.ece == pytest.approx(whole.ece)
    assert 0 <= (whole.ece or 0) <= 1
    assert abs(whole.bias or 0) <= (whole.ece or 0) + 1e-12


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_ece_of_calibrated_probabilities_vanishes(seed: int) -> None:
    errors = []
    for count in (200, 200_000):
        found = Reliability.even()
        found.add(*sampled_pixels(seed, count))
        errors.append(found.ece or 0)
    assert errors[1] < 0.006 < errors[0]


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.4, 3), st.floats(-1, 1))
def test_scaling_recovers_a_known_temperature_and_shift(seed: int, sharpness: float, shift: float) -> None:
    found = Reliability.fine()
    found.add(*sampled_pixels(seed, 50_000, sharpness, shift))
    alone, both = fit_scaling(found), fit_scaling(found, shifted=True)
    assert both.temperature == pytest.approx(sharpness, rel=0.06)
    assert both.shift == pytest.approx(shift, abs=0.08)
    assert both.after <= alone.after + 1e-9 <= alone.before + 2e-9
    if abs(shift) < 0.02:
        assert alone.temperature == pytest.approx(sharpness, rel=0.06)


def test_scaling_needs_both_outcomes() -> None:
    found = Reliability.fine()
    found.add(np.array([0.3, 0.6]), np.array([True, True]))
    with pytest.raises(InputError, match="more clips"):
        fit_scaling(found)
    with pytest.raises(InputError, match="must increase"):
        Reliability(np.array([0, 0.5, 0.5, 1]))


def test_the_predictor_keeps_probabilities_on_request(model: AmodalModel, clip: ToyClip) -> None:
    frames = list(Predictor(model, "cpu", keep_probabilities=True).stream(clip.tracks))
    plain = list(Predictor(model, "cpu").stream(clip.tracks))
    seen = {track.id: track.visible for track in clip.tracks.tracks}
    partly = 0
    for frame, without in zip(frames, plain, strict=True):
        assert all(completed.probability is None for completed in without.objects.values())
        for number, completed in frame.objects.items():
            assert completed.masks == without.objects[number].masks
            window, own = completed.probability, seen[number][frame.number]
            assert window is not None and own is not None
            expected = own.decode()
            expected[window.rows, window.columns] |= window.values > model.config.threshold
            assert np.array_equal(completed.masks[0].decode(), expected)
            assert np.all(window.values[own.decode()[window.rows, window.columns]] == 1)
            partly += int(np.count_nonzero((window.values > 0.1) & (window.values < 0.9)))
    assert partly > 1000


def test_temperature_divides_logits(model: AmodalModel, clip: ToyClip) -> None:
    """The mask of the raw network is unchanged, its probabilities are closer to one half."""
    config = model.config
    found = []
    for temperature in (1.0, 2.5):
        model.config = replace(config, temperature=temperature, windows=replace(config.windows, passes=1))
        try:
            predictor = Predictor(model, "cpu", constrain=False, keep_probabilities=True)
            found.append([frame.objects[1] for frame in predictor.stream(clip.tracks)])
        finally:
            model.config = config
    for one, other in zip(*found, strict=True):
        assert one.masks == other.masks and one.probability is not None and other.probability is not None
        p, q = one.probability.values, other.probability.values
        inside = (p > 1e-4) & (p < 1 - 1e-4)
        assert np.allclose(logit(p[inside].astype(float)), 2.5 * logit(q[inside].astype(float)), atol=0.02)


def test_temperatures_must_be_positive(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cold"
    shutil.copytree(model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model"]["temperature"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    assert load_model(str(folder)).model.config.temperature == 2.0
    config["model"]["temperature"] = 0.0
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json: model\.temperature must be above 0"):
        load_model(str(folder))


def track_of(hypotheses: Sequence[Sequence[np.ndarray]], visible: Sequence[np.ndarray]) -> Track:
    masks = [tuple(Rle.encode(mask | seen) for mask, seen in zip(h, visible, strict=True)) for h in hypotheses]
    return Track(1, tuple(map(Rle.encode, visible)), masks[0], hypotheses=tuple(Hypothesis(0.5, m) for m in masks))


def test_spread_of_an_example() -> None:
    """Column 0 is visible. The occluded regions have 8, 4 and 4 pixels over both frames, the last two disjoint."""
    empty = np.zeros((4, 4), dtype=bool)
    visible, one, two = empty.copy(), empty.copy(), empty.copy()
    visible[:, 0], one[:, 1], two[:, 2] = True, True, True
    track = track_of([(one, one), (one, empty), (empty, one)], (visible, visible))
    assert spread(track, 1) is None
    assert spread(track, 2) == pytest.approx(1 / 2)
    assert spread(track, 3) == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert spread(track_of([(one, two)] * 3, (visible, visible)), 3) == 0
    assert spread(track_of([(empty, empty)] * 2, (visible, visible)), 2) == 0
    unknown = replace(track, visible=(None, *track.visible[1:]))
    assert spread(unknown, 2) == 1


@given(st.lists(st.integers(0, 2**16 - 1), min_size=6, max_size=6), st.permutations(range(3)))
def test_spread_does_not_depend_on_order(bits: list[int], order: list[int]) -> None:
    masks = [np.array([b >> k & 1 for k in range(16)], dtype=bool).reshape(4, 4) for b in bits]
    hypotheses = [masks[:2], masks[2:4], masks[4:]]
    visible = [masks[0], masks[5]]
    found = spread(track_of(hypotheses, visible), 3)
    assert found is not None and 0 <= found <= 1
    assert spread(track_of([hypotheses[k] for k in order], visible), 3) == pytest.approx(found)


ROWS = st.lists(st.none() | st.floats(0, 1), min_size=len(MEASURES), max_size=len(MEASURES))


@given(st.lists(ROWS, min_size=2, max_size=5))
def test_the_best_value_improves_with_more_hypotheses(rows: list[list[float | None]]) -> None:
    values = [dict(zip(MEASURES, row, strict=True)) for row in rows]
    for name in MEASURES:
        sign = -1 if name in LOWER_IS_BETTER else 1
        best = [best_of(values[: k + 1])[name] for k in range(len(values))]
        kept = [sign * b for b in best if b is not None]
        assert kept == sorted(kept)
        assert (best[-1] is None) == all(v[name] is None for v in values)


def test_scores_of_hypotheses(model: AmodalModel, clip: ToyClip) -> None:
    prediction = Predictor(model, "cpu", hypotheses=3).predict(clip.tracks)
    scores = score_hypotheses(prediction, clip.tracks, (1, 2, 3))
    assert scores.best[1] == scores.each[0] == scores.picked[1]
    for better, worse in ((scores.best[3], scores.best[2]), (scores.best[2], scores.best[1])):
        assert all((better[m] or 0) >= (worse[m] or 0) for m in ("full", "occ", "hidden", "track_iou"))
    assert (scores.best[3]["full"] or 0) > (scores.best[1]["full"] or 0)
    assert scores.spread[1] is None and 0 < (scores.spread[3] or 0) < 1
    with pytest.raises(InputError, match=r"3 hypotheses\. Predict 4"):
        score_hypotheses(prediction, clip.tracks, (4,))
    # The hypothesis with the highest score is the amodal mask of the prediction.
    chosen = replace(
        prediction,
        tracks=tuple(replace(t, hypotheses=(Hypothesis(1.0, t.amodal or ()),)) for t in prediction.tracks),
    )
    assert score_hypotheses(chosen, clip.tracks, (1,)).best[1] == scores.picked[3]


def test_samples_depend_only_on_seed_track_and_number(model: AmodalModel, clip: ToyClip) -> None:
    """They do not depend on the number of samples, the order of the tracks, or tracks that are never visible."""

    def hypotheses(tracks: ClipTracks, count: int, seed: int = 0) -> dict[int, list[tuple[Rle | None, ...]]]:
        result = Predictor(model, "cpu", seed, hypotheses=count).predict(tracks)
        return {t.id: [h.amodal for h in t.hypotheses[:2]] for t in result.tracks if t.hypotheses}

    empty = Rle.empty(clip.tracks.video.height, clip.tracks.video.width)
    unseen = Track(0, (empty,) * clip.tracks.video.frames)
    first = hypotheses(clip.tracks, 2)
    assert all(one != other for one, other in first.values())
    assert hypotheses(replace(clip.tracks, tracks=(unseen, *clip.tracks.tracks[::-1])), 3) == first
    assert hypotheses(clip.tracks, 2, seed=1) != first


def test_calibration_page(
    clip: ToyClip,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command line writes the page and both pictures, and keeps the fitted temperature."""
    for name in ("truth", "fit"):
        write_tracks(tmp_path / name / "toy.tracks.json", clip.tracks)
    out = tmp_path / "docs" / "calibration.md"
    model = tmp_path / "model"
    shutil.copytree(model_folder, model)
    arguments = ["--truth", tmp_path / "truth", "--fit", tmp_path / "fit", "--model", model, "--out", out, "--keep"]
    monkeypatch.setattr(sys, "argv", ["calibration", *map(str, arguments), "--hypotheses", "2"])
    with pytest.raises(SystemExit) as left:
        calibration.main()
    assert left.value.code == 0
    page = out.read_text()
    assert str(tmp_path) not in page and "best of 2" in page and "best of 4" not in page
    kept = load_model(str(model)).model.config.temperature
    assert kept != 1 and f"at temperature {kept:.2f} |" in page
    ece = [line.split("|") for line in page.splitlines() if line.startswith("| behind other objects, of partly")]
    assert float(ece[0][8]) < float(ece[0][4])  # the temperature was fitted to the same clip
    for name in ("calibration.png", "calibration-hypotheses.png"):
        assert min(Image.open(out.with_name(name)).size) > 200
    monkeypatch.setattr(sys, "argv", ["calibration", "--truth", str(tmp_path / "none"), "--fit", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        calibration.main()
    assert left.value.code == 2 and "no such file or folder" in capsys.readouterr().err

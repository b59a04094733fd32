"""Training of the segmenter, and predictions without masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

import vidamodal
from tests.data.helpers import ONE_FRAME, SQUARES, stacked_clip
from tests.helpers import ToyClip
from tests.segmenters.cumulative.helpers import (
    SIZE,
    cumulative_run,
    saved_segmenter,
    segmenter,
)
from vidamodal.cli import main
from vidamodal.data.banks import load_bank
from vidamodal.data.layer_frames import LayerBatch, LayerClips, measure_limits
from vidamodal.models.folder import load_model, load_segmenter
from vidamodal.tracks import read_tracks
from vidamodal.training.losses import LossConfig, divisors
from vidamodal.training.run import train
from vidamodal.training.stage import MicroStep
from vidamodal.training.stages.cumulative import CumulativeFamily, LayersStage
from vidamodal.types import InputError


@pytest.mark.parametrize("predicts", ["noise", "mask"])
def test_training_stores_n_max_and_area_min_of_the_data(
    tmp_path: Path, clip: ToyClip, clip_folder: Path, predicts: str
) -> None:
    config = cumulative_run(tmp_path / "run", clip_folder)
    assert isinstance(config.model, CumulativeFamily)
    config.model.network["predicts"] = predicts
    folder = train(config, quiet=True)
    AcceleratorState._reset_state(True)
    loaded = load_segmenter(str(folder)).model
    bank = load_bank(config.worlds, 0, False)
    limits = measure_limits(bank, 0, config.stages[0].sample, 32)
    assert 1 < limits.most_layers <= len(clip.tracks.tracks) and 1 <= limits.least_area < 32 * 32
    assert (loaded.config.most_layers, loaded.config.least_area) == (limits.most_layers, limits.least_area)
    kept = json.loads((folder / "config.json").read_text())
    assert kept["training"]["limits"]["most_layers"] == limits.most_layers
    with pytest.raises(InputError, match="is a segmenter"):
        load_model(str(folder))


@pytest.mark.parametrize("predicts", ["noise", "mask"])
def test_losses_do_not_depend_on_how_a_step_is_split_into_batches(predicts: str) -> None:
    network = segmenter(predicts=predicts, size=64)
    stage = LayersStage(network, LossConfig())
    clip_folder = LayerClips(stacked_clip(SQUARES), 0, 2, ONE_FRAME, 64)
    whole, divide = LayerBatch.join([clip_folder[0], clip_folder[1]]), {"layers": torch.tensor(2.0)}
    torch.testing.assert_close(divisors([stage.counts(whole, (3, 4))]), divide)
    together = stage(whole, MicroStep((3, 4), divide, True))["loss"]
    apart = [stage(clip_folder[k], MicroStep((3 + k,), divide, k == 1))["loss"] for k in (0, 1)]
    torch.testing.assert_close(together, apart[0] + apart[1], atol=1e-5, rtol=1e-5)
    assert not torch.isclose(together, stage(whole, MicroStep((3, 5), divide, True))["loss"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": CumulativeFamily(network={"sise": 3})}, "unknown key 'sise'"),
        ({"model": CumulativeFamily(network={"predicts": "all"})}, "choose noise or mask"),
        ({"model": CumulativeFamily(network={"size": 20})}, "do not divide a canvas of 20 cells"),
        ({"model": CumulativeFamily(network={"denoiser": {"steps": 0}})}, "between 1 and 1000"),
        ({"model": CumulativeFamily(network={"denoiser": {"widths": [9]}})}, "divisible by 8"),
        ({"validation": "data/validation"}, "not validated during training"),
        ({"init": "tiny"}, "is not a segmenter"),
        ({"worlds": "toy"}, "worlds contain only masks"),
    ],
)
def test_invalid_configs_are_refused_in_one_line(
    tmp_path: Path, clip_folder: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words) as raised:
        train(cumulative_run(tmp_path / "run", clip_folder, **changes), quiet=True)
    AcceleratorState._reset_state(True)
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()


def test_predict_without_masks_writes_tracks_from_end_to_end(
    tmp_path: Path, clip: ToyClip, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved_segmenter(tmp_path / "m", predicts="mask", samples=1, steps=1, least_area=12, most_layers=2)
    command = ["predict", str(clip.video), "--head", "cumulative", "--model", str(model), "--out"]
    for out, formats in (("one", "tracks,overlay"), ("two", "tracks")):
        with pytest.raises(SystemExit) as left:
            main([*command, str(tmp_path / out), "--formats", formats])
        assert left.value.code == 0
    printed = capsys.readouterr()
    assert "are resized to a canvas of 16 x 16 cells" in printed.err and "canvas" not in printed.out
    assert (tmp_path / "one/tracks.json").read_bytes() == (tmp_path / "two/tracks.json").read_bytes()
    found = read_tracks(tmp_path / "one/tracks.json")
    assert found.tracks and found.order is not None and not found.exhaustive
    assert any(track.visible[0] is not None and track.amodal is not None for track in found.tracks)
    run = json.loads((tmp_path / "one/run.json").read_text())
    (note,) = run["notes"]
    assert note.startswith(f"{clip.video.name}: frames of ") and note.endswith("masks are resized back")
    assert run["masks"] == "segmenter m" and run["canvas"] == SIZE and run["head"] == "cumulative"
    assert (tmp_path / "one/overlay.mp4").is_file()
    assert vidamodal.predict(clip.video, model=str(model), seed=1).tracks != found.tracks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--head", "nosuch"], "there is no head 'nosuch'. Choose one of aisdiff, "),
        (["--head", "cumulative", "--model", "MASKS"], "'cumulative' is a segmenter, and --model names another model"),
        (["--model", "BARE", "--hypotheses", "2"], "need objects whose visible masks are known"),
        (["--model", "BARE", "--masks", "TRUTH"], "Pass no masks"),
        (["--model", "BARE", "--head", "conddiff"], "is the segmenter 'cumulative', not 'conddiff'"),
    ],
)
def test_invalid_arguments_without_masks_are_refused_in_one_line(
    tmp_path: Path,
    clip: ToyClip,
    model_folder: Path,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"MASKS": str(model_folder), "BARE": str(saved_segmenter(tmp_path / "m")), "TRUTH": str(clip.truth)}
    with pytest.raises(SystemExit) as left:
        main(["predict", str(clip.video), "--out", str(tmp_path / "out"), *(places.get(o, o) for o in options)])
    said = capsys.readouterr().err
    assert left.value.code == 2 and words in said and said.count("\n") == 1 and not (tmp_path / "out").exists()

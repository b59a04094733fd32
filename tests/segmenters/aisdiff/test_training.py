"""Training of the AISDiff segmenter, and predictions with the result."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import vidamodal
from tests.helpers import ToyClip
from tests.segmenters.aisdiff.helpers import (
    ground_truth_of_squares,
    segmenter,
)
from tests.segmenters.aisdiff.runs import aisdiff_run, train_run
from tests.training.helpers import single_step
from vidamodal.data.instance_frames import vocabulary
from vidamodal.data.recorded import RecordedBank
from vidamodal.inference.finders.segmenter import SegmenterFinder
from vidamodal.media.video import open_video
from vidamodal.models.folder import load_model, load_segmenter
from vidamodal.segmenters.aisdiff import AISDiffSegmenter
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth
from vidamodal.tracks import read_tracks
from vidamodal.training.losses import LossConfig, divisors
from vidamodal.training.stage import MicroStep
from vidamodal.training.stages.aisdiff import AISDiffFamily, DetectionStage, PaintingStage
from vidamodal.training.stages.cumulative import CumulativeFamily
from vidamodal.types import InputError


def test_aisdiff_trains_in_two_stages_with_the_labels_of_the_data(
    trained_aisdiff: Path, clip_folder: Path, clip: ToyClip
) -> None:
    model = load_segmenter(str(trained_aisdiff)).model
    assert isinstance(model, AISDiffSegmenter)
    expected = sorted({track.label for track in clip.tracks.tracks if track.label is not None})
    assert model.config.labels == tuple(expected) == vocabulary(RecordedBank.load(clip_folder, False))
    lines = [json.loads(line) for line in (trained_aisdiff.parent / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == 2 * ["diffsp"] + 3 * ["segmenter"]
    parts = {"places", "sides", "visible", "occluding", "amodal"} | ({"class"} if expected else set())
    assert parts <= lines[-1].keys() and all(math.isfinite(lines[-1][name]) for name in parts)
    with pytest.raises(InputError, match="is a segmenter"):
        load_model(str(trained_aisdiff))


def test_a_stopped_aisdiff_run_continues_to_the_same_model(
    trained_aisdiff: Path, tmp_path: Path, clip_folder: Path
) -> None:
    for stage, step in (("segmenter", 3), ("diffsp", 2)):
        output = tmp_path / stage
        shutil.copytree(trained_aisdiff.parent, output)
        shutil.rmtree(output / "model")
        for path in [output / "checkpoints" / f"{stage}-{step:08d}"]:
            shutil.rmtree(path)
        if stage == "diffsp":
            for path in (output / "checkpoints").glob("segmenter-*"):
                shutil.rmtree(path)
        config = aisdiff_run(output, clip_folder)
        resolved = json.loads((output / "config.json").read_text())
        (output / "config.json").write_text(json.dumps(resolved | {"output": str(output)}))
        folder = train_run(config)
        assert (folder / "model.safetensors").read_bytes() == (trained_aisdiff / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", [PaintingStage, DetectionStage])
def test_losses_do_not_depend_on_how_a_step_is_split_into_batches(kind: type) -> None:
    network = segmenter()
    stage = kind(network, LossConfig())
    whole, divide = ground_truth_of_squares(2), None
    parts = [FrameGroundTruth(*(getattr(whole, f.name)[k : k + 1] for f in fields(FrameGroundTruth))) for k in (0, 1)]
    divide = divisors([stage.counts(whole, (3, 4))])
    torch.testing.assert_close(divide, divisors([stage.counts(part, (3,)) for part in parts]))
    together = stage(whole, MicroStep((3, 4), divide, True))["loss"]
    apart = [stage(part, MicroStep((3 + k,), divide, k == 1))["loss"] for k, part in enumerate(parts)]
    torch.testing.assert_close(together, apart[0] + apart[1], atol=1e-4, rtol=1e-4)
    assert not torch.isclose(together, stage(whole, MicroStep((3, 5), divide, True))["loss"])


def test_a_deeper_detector_is_trained_alone_from_an_earlier_segmenter(
    trained_aisdiff: Path, tmp_path: Path, clip_folder: Path
) -> None:
    before = load_segmenter(str(trained_aisdiff)).model
    base = aisdiff_run(tmp_path / "run", clip_folder)
    settings = {"learning_regions": 0, "detector": {"least": 0.25, "depths": [1, 2, 1, 1]}}
    config = replace(
        base, init=str(trained_aisdiff), stages=base.stages[1:], model=AISDiffFamily(network=settings),
    )  # fmt: skip
    after = load_segmenter(str(train_run(config))).model
    assert isinstance(before, AISDiffSegmenter) and isinstance(after, AISDiffSegmenter)
    detector = replace(before.config.detector, least=0.25, depths=(1, 2, 1, 1))
    assert after.config == replace(before.config, learning_regions=0, detector=detector)
    old, new = before.state_dict(), after.state_dict()
    changed = {name.partition(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"detector"}
    assert "Initialised from" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_training_cannot_start_from_a_segmenter_of_another_kind_or_size(
    trained_aisdiff: Path, tmp_path: Path, clip_folder: Path
) -> None:
    wider, other = {"detector": {"width": 16}}, CumulativeFamily()
    for init, family, words in (
        (str(trained_aisdiff), AISDiffFamily(network=wider), "has shape"),
        (str(trained_aisdiff), other, "is the segmenter 'aisdiff', not 'cumulative'"),
        ("tiny", other, "is not a segmenter"),
    ):
        config = aisdiff_run(tmp_path / "run", clip_folder)
        kind = "layers" if family is other else "detection"
        config = replace(config, init=init, model=family, stages=(replace(config.stages[1], kind=kind),))
        with pytest.raises(InputError, match=words):
            train_run(config)
    assert not (tmp_path / "run").exists()


def test_each_stage_trains_its_own_modules() -> None:
    whole, truth = segmenter(), ground_truth_of_squares(2)
    for network, kind, moves in (
        (whole, PaintingStage, {"prior"}),
        (whole, DetectionStage, {"detector", "occluding", "visible", "category", "amodal"}),
        (segmenter(learning_regions=0), DetectionStage, {"detector"}),
    ):
        network.zero_grad()
        stage = kind(network, LossConfig())
        single_step(stage, truth)["loss"].backward()
        moved = {name.partition(".")[0] for name, p in network.named_parameters() if p.grad is not None}
        assert moved == moves
        wanted = [p for p in network.parameters() if p.requires_grad]
        assert all(p.grad is not None for p in wanted)  # distributed training waits for all gradients


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sise": 3}, "unknown key 'sise'"),
        ({"amodal": "all"}, "choose predicted or visible"),
        ({"size": 40}, "is not a multiple of the pyramid"),
        ({"detector": {"proposals": "detr"}}, "detector.detr must be set"),
        ({"prior": {"steps": 0}}, "between 1 and 1000"),
        ({"prior": {"grid": 2}}, "prior.grid must lie between"),
        ({"prior": {"text": 0}}, "at least 1"),
        ({"size": -128}, "is not a multiple of the pyramid"),
        ({"true_masks": 3.0}, "between 0 and 1"),
        ({"least_score": math.nan}, "between 0 and 1"),
        ({"detector": {"block": "foo"}}, "choose basic or bottleneck"),
        ({"detector": {"least": 2.0}}, "between 0 and 1"),
        ({"detector": {"depths": [0, 1, 1, 1]}}, "at least 1"),
        ({"prior": {"diffsp": "/nowhere"}}, "there is no folder /nowhere"),
    ],
)
def test_invalid_configs_are_refused_in_one_line(
    tmp_path: Path, clip_folder: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words) as raised:
        train_run(aisdiff_run(tmp_path / "run", clip_folder, **changes))
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()


def test_a_video_without_masks_becomes_tracks(trained_aisdiff: Path, clip: ToyClip) -> None:
    finder = SegmenterFinder(load_segmenter(str(trained_aisdiff)).model, "cpu")
    video = open_video(clip.video)
    one, two = (finder.find(clip.tracks.video, video.frames) for _ in range(2))
    assert one == two and one.order is not None and len(one.order) == clip.tracks.video.frames


def test_predict_samples_priors_from_another_inpainting_model(
    tmp_path: Path, trained_aisdiff: Path, stable_diffusion: Path, clip: ToyClip
) -> None:
    out = tmp_path / "out"
    vidamodal.predict(
        clip.video, None, out, detect=str(trained_aisdiff), diffsp=str(stable_diffusion), formats=["tracks"]
    )
    assert (
        json.loads((out / "run.json").read_text())["masks"]
        == f"segmenter {trained_aisdiff.name}, diffsp {stable_diffusion.name}"
    )
    external = read_tracks(out / "tracks.json").provenance["outside"]
    assert [one["name"] for one in external] == [stable_diffusion.name] and len(external[0]["weights"]) == 64
    loaded = load_segmenter(str(trained_aisdiff))
    before, _, after = (
        vidamodal.predict(clip.video, model=loaded, diffsp=p) for p in (None, str(stable_diffusion), None)
    )
    assert before == after and "outside" not in before.clip.provenance
    assert isinstance(loaded.model, AISDiffSegmenter) and loaded.model.trains_prior  # the caller's model is unchanged
    with pytest.raises(InputError, match="Leave one out"):
        vidamodal.predict(clip.video, clip.truth, diffsp=str(stable_diffusion))

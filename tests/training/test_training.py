"""Training: samples and their augmentation, losses, runs that are stopped and go on, several processes."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.state import AcceleratorState, GradientState
from safetensors.numpy import save_file
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from vector_quantize_pytorch.vector_quantize_pytorch import Codebook

from tests.training.ddp_gradients import learn
from vidamodal import cli
from vidamodal.data.augment import AugmentConfig
from vidamodal.data.clips import ClipConfig, TrainingBatch, TrainingClips, _transformed
from vidamodal.data.crops import TrackCrops, boxes_and_areas
from vidamodal.data.first_pass import simulate_first_boxes
from vidamodal.formats import find_dataset
from vidamodal.heads.coarse import CoarseConfig, CoarseHead
from vidamodal.models.amodal import AmodalModel, AmodalOutput, ModelConfig
from vidamodal.models.folder import load_model
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import TransformerConfig
from vidamodal.training import trainer
from vidamodal.training.checkpoint import Checkpoints
from vidamodal.training.losses import LossConfig, Weights, amodal_loss, divisors, mask_loss, refined_loss
from vidamodal.training.sharding import Average
from vidamodal.training.stages.ours import AmodalStage
from vidamodal.training.trainer import StageConfig, TrainConfig, train
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig, track_windows
from vidamodal.worlds.sample import WorldBank, WorldConfig
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import true_tracks

ROOT = Path(__file__).parents[2]
CELLS = 16
MODEL = ModelConfig(
    TokenizerConfig(crop=CELLS, width=16, dim=8, codes=128),  # so many that some die and are drawn anew
    TransformerConfig(width=16, depth=2, heads=2, mlp=2, features=16, window=4),
)
CLIPS = ClipConfig(tracks=3, frames=5, world=WorldConfig(size=48, frames=7))
STAGE = StageConfig(steps=4, clips=2, warmup=2, average=0.9, sample=CLIPS)
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_accelerator_a_run() -> Iterator[None]:
    """Accelerate remembers the device and precision of a process's first run."""
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def tiny(output: Path, **changes: Any) -> TrainConfig:
    """A run of seconds: two stages of four steps each."""
    settings: dict[str, Any] = dict(
        output=str(output), device="cpu", precision="fp32", worlds="toy", workers=0, log_every=1, save_every=2,
        model=MODEL, head={"width": 8, "deep": 16}, tokenizer=STAGE, amodal=STAGE,
    )  # fmt: skip
    return TrainConfig(**{**settings, **changes})


def data(seed: int = 0, samples: int = 20, cells: int = CELLS, **augment: float) -> TrainingClips:
    config = replace(CLIPS, augment=replace(AugmentConfig(), **augment))
    return TrainingClips(toy_bank(seed), seed, 2, samples, config, View(WindowConfig(), cells))


def assert_same(first: TrainingBatch, second: TrainingBatch) -> None:
    for name in (f.name for f in fields(TrackCrops)):
        assert torch.equal(getattr(first.crops, name), getattr(second.crops, name)), name
    assert torch.equal(first.amodal, second.amodal) and torch.equal(first.counted, second.counted)


def logged(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def losses(output: Path) -> list[tuple[Any, ...]]:
    """All that is logged but how long it took."""
    timings = ("object_frames_per_second", "waiting_for_data")
    return [tuple((k, v) for k, v in line.items() if k not in timings) for line in logged(output)]


def weights(output: Path) -> dict[str, bytes]:
    """The bytes of the finished model's weights."""
    files = {p.name: p.read_bytes() for p in (output / "model").rglob("*.safetensors")}
    assert sorted(files) == ["conv.safetensors", "model.safetensors"]
    return files


# Samples


def test_sample_k_depends_on_seed_and_k_alone() -> None:
    one, two, other = data(), data(), data(seed=1)
    for index in (7, 3, 0, 7):  # in any order, however often
        assert_same(one[index], two[index])
    _ = one[5]
    assert_same(one[3], data()[3])
    assert not torch.equal(one[3].amodal, other[3].amodal)
    assert not torch.equal(one[2].amodal, one[3].amodal)


def test_all_samples_of_a_step_have_one_shape_and_some_steps_show_whole_clips() -> None:
    whole = replace(CLIPS, tracks=3, frames=5, whole=0.3)
    samples = TrainingClips(toy_bank(0), 0, 2, 40, whole, View(WindowConfig(), CELLS))
    shapes = [tuple(samples[k].amodal.shape) for k in range(40)]
    assert shapes[::2] == shapes[1::2]
    assert set(shapes) == {(3, 5, CELLS, CELLS), (2, 7, CELLS, CELLS)}


def test_samples_hold_what_they_promise() -> None:
    for index in range(20):
        batch = data(cells=32)[index]
        crops = batch.crops
        for name in ("visible", "others", "edges", "inside", "background"):
            values = getattr(crops, name)
            assert values.min() >= 0 and values.max() <= 1 + 1e-5, name
        assert batch.amodal.min() >= 0 and (batch.amodal - crops.inside).max() <= 1e-5
        assert (crops.time.diff(dim=1).abs() >= 1).all()
        assert crops.valid.all() and crops.known.unique().tolist() in ([0.0], [1.0], [0.0, 1.0])
        assert crops.visible.flatten(2).sum(2).any(dim=1).all() or not crops.known.all()


def test_clean_samples_have_the_visible_mask_inside_the_amodal_one() -> None:
    for index in range(10):
        batch = data(partial=0.0, unknown=0.0)[index]
        assert batch.crops.known.all()
        assert (batch.crops.visible - batch.amodal).max() <= 1e-5
        assert (batch.crops.visible + batch.crops.others + batch.crops.background - batch.crops.inside).max() <= 1e-5


def test_a_first_completion_is_near_the_truth_and_within_its_windows() -> None:
    """Boxes as a first pass finds them: the surer, the more is seen, and none beyond the window it looked at."""
    bank, rng = toy_bank(4), np.random.default_rng(0)
    clear, covered = [], []
    for _ in range(6):
        clip = bank.sample(rng, WorldConfig(size=64, frames=10))
        boxes, areas = boxes_and_areas(clip.visible)
        whole, truth = boxes_and_areas(clip.amodal)
        windows = track_windows(boxes, areas, WindowConfig())
        found, shares = simulate_first_boxes(clip, windows, areas, truth, rng)
        seen = areas > 0
        low, high = windows.center - windows.side / 2, windows.center + windows.side / 2
        assert (found[seen][:, :2] >= low[seen][:, ::-1] - 1e-9).all()
        assert (found[seen][:, 2:] <= high[seen][:, ::-1] + 1e-9).all()
        assert ((shares > 0) == seen).all() and shares.max() <= 1
        size = (whole[..., 2:] - whole[..., :2]).max(axis=2)
        off = np.abs(found - whole).max(axis=2) / size
        clear += off[shares > 0.95].tolist()
        covered += off[seen & (shares < 0.3)].tolist()
    assert np.median(clear) < 0.05 < np.median(covered) < 0.5


def test_unknown_frames_show_nothing_of_the_object() -> None:
    unknown = 0
    for index in range(10):
        crops = data(unknown=1.0)[index].crops
        hidden = crops.known == 0
        unknown += int(hidden.sum())
        assert not crops.visible[hidden].any() and not crops.background[hidden].any()
        assert not crops.box[hidden][:, 5:7].any()
        assert crops.visible[~hidden].any()
    assert unknown > 20


def test_partial_clips_have_no_known_background() -> None:
    partial, clean = data(partial=1.0), data(partial=0.0, unknown=0.0)
    for index in range(8):
        assert not partial[index].crops.background.any() and not partial[index].crops.box[..., 7].any()
        assert clean[index].crops.background.any() and (clean[index].crops.box[..., 7] == 1).all()


@pytest.mark.parametrize(("reverse", "mirror"), [(True, False), (False, True), (True, True), (False, False)])
def test_turning_twice_is_nothing_and_once_is_what_it_says(reverse: bool, mirror: bool) -> None:
    batch = data()[4]
    once = _transformed(batch, reverse, mirror)
    assert_same(_transformed(once, reverse, mirror), batch)
    flips = [axis for axis, flip in ((1, reverse), (-1, mirror)) if flip]
    assert torch.equal(once.amodal, batch.amodal.flip(flips))
    assert torch.equal(once.crops.visible, batch.crops.visible.flip(flips))
    assert (once.crops.time.diff(dim=1) > 0).all()  # frame numbers still rise
    place = batch.crops.box.flip(1) if reverse else batch.crops.box
    sign = torch.ones(8)
    sign[0] = sign[3] = -1 if mirror else 1
    sign[3:5] *= -1 if reverse else 1
    assert torch.equal(once.crops.box, place * sign)


# Losses


def simple_batch(tracks: int = 2, frames: int = 3, hidden: float = 0.5) -> TrainingBatch:
    """Squares of which the right part, that share, is hidden; the top rows lie outside the image."""
    amodal = torch.zeros(tracks, frames, CELLS, CELLS)
    amodal[..., 6:14, 4:12] = 1
    visible = amodal.clone()
    visible[..., 12 - round(8 * hidden) :] = 0
    zeros, inside = torch.zeros_like(amodal), torch.ones_like(amodal)
    inside[..., :4, :] = 0
    times = torch.arange(float(frames)).expand(tracks, -1)
    known, box = torch.ones(tracks, frames), torch.zeros(tracks, frames, 8)
    nothing = zeros[:, :, None][:, :, :0]
    crops = TrackCrops(visible, zeros, zeros, inside, zeros, zeros, nothing, known, box, times, known.bool())
    return TrainingBatch(crops, amodal, torch.ones(tracks, frames))


def certain(masks: Tensor) -> Tensor:
    return 40 * masks - 20


def parts(batch: TrainingBatch, logits: Tensor, masked: Tensor | None = None) -> dict[str, Tensor]:
    """Losses of a model that gives these mask logits, and codes at random."""
    target = torch.randint(0, 16, (*batch.counted.shape, 4, 4), generator=torch.Generator().manual_seed(0))
    scores = torch.randn(*target.shape, 16, generator=torch.Generator().manual_seed(1))
    masked = torch.ones(len(target), 4, 4, dtype=torch.bool) if masked is None else masked
    weights = Weights.of(batch, masked, LossConfig())
    divide = divisors([weights.counts()])
    output, head = AmodalOutput(scores, logits, logits), CoarseHead(CoarseConfig(), 16, 16)
    found = amodal_loss(output, target, batch, weights, divide, LossConfig())
    found |= refined_loss(head, logits, batch, weights, divide, LossConfig())
    return found | {"loss": torch.stack(list(found.values())).sum()}


def test_mask_loss_of_the_truth_is_nothing_and_of_the_visible_part_is_much() -> None:
    batch = simple_batch()
    whole, hidden = mask_loss(certain(batch.amodal), batch, LossConfig())
    assert whole.max() < 1e-3 and hidden.max() < 1e-3
    whole, hidden = mask_loss(certain(batch.crops.visible), batch, LossConfig())
    assert whole.min() > 0.3 and hidden.min() > 0.9


def test_cells_outside_the_image_have_no_weight() -> None:
    batch = simple_batch()
    logits = torch.randn(2, 3, CELLS, CELLS, generator=torch.Generator().manual_seed(0), requires_grad=True)
    whole, hidden = mask_loss(logits, batch, LossConfig())
    (slope,) = torch.autograd.grad((whole + hidden).sum(), logits)
    assert not slope[..., :4, :].any() and slope[..., 4:, :].any(dim=(2, 3)).all()


@pytest.mark.parametrize(("share", "holds"), [(0.0, False), (0.125, True), (1.0, True)])
def test_the_hidden_loss_holds_only_where_something_is_hidden(share: float, holds: bool) -> None:
    batch = simple_batch(hidden=share)
    weights = Weights.of(batch, torch.ones(2, 4, 4, dtype=torch.bool), LossConfig())
    assert weights.hidden.bool().unique().tolist() == [holds]
    assert (parts(batch, torch.zeros_like(batch.amodal))["refined_hidden"] > 0) == holds


def test_the_hidden_loss_is_a_mean_over_the_frames_that_have_one() -> None:
    some = simple_batch()
    some.crops.visible[0] = some.amodal[0]  # nothing of the first track is hidden
    logits = certain(some.crops.visible)
    assert parts(some, logits)["refined_hidden"] == pytest.approx(
        float(parts(simple_batch(), certain(simple_batch().crops.visible))["refined_hidden"]), rel=1e-5
    )


def test_a_batch_in_which_nothing_counts_costs_nothing() -> None:
    batch = replace(simple_batch(), counted=torch.zeros(2, 3))
    logits = torch.zeros_like(batch.amodal, requires_grad=True)
    found = parts(batch, logits)
    (slope,) = torch.autograd.grad(found["loss"], logits)
    assert all(v == 0 for v in found.values()) and slope.isfinite().all() and not slope.any()


def test_frames_that_do_not_count_or_only_fill_the_batch_change_nothing() -> None:
    batch = simple_batch()
    batch.counted[0, 1] = 0
    batch.crops.valid[1, 2] = False
    first = parts(batch, torch.zeros_like(batch.amodal))
    batch.amodal[0, 1] = 0.3
    batch.amodal[1, 2] = 0.7
    second = parts(batch, torch.zeros_like(batch.amodal))
    assert all(torch.equal(first[name], second[name]) for name in first)
    batch.amodal[0, 0] = 0.3
    assert not torch.equal(first["loss"], parts(batch, torch.zeros_like(batch.amodal))["loss"])


def test_only_masked_codes_have_to_be_guessed() -> None:
    batch = simple_batch()
    logits = torch.zeros_like(batch.amodal)
    none = torch.zeros(2, 4, 4, dtype=torch.bool)
    one = none.clone()
    one[1, 2, 3] = True
    assert parts(batch, logits, none)["codes"] == 0
    assert parts(batch, logits, one)["codes"] != parts(batch, logits)["codes"] != 0


def test_masking_hides_at_least_half_the_places_and_mostly_all() -> None:
    config = replace(MODEL, tokenizer=replace(MODEL.tokenizer, crop=64))
    stage = AmodalStage(AmodalModel(config), LossConfig())
    batch = replace(simple_batch(), counted=torch.ones(2000, 3))
    masked = stage._mask(batch, range(50))
    share = masked.float().mean(dim=(1, 2))
    assert masked.shape == (2000, 16, 16)  # one answer for all frames
    assert 0.8 < (share == 1).float().mean() < 0.9
    assert share.min() > 0.35 and 0.7 < share[share < 1].mean() < 0.8
    one = stage._mask(replace(batch, counted=torch.ones(40, 3)), [7])
    assert torch.equal(one, masked[7 * 40 : 8 * 40])  # each clip's own, whoever it is trained with


def test_sums_are_divided_by_the_counts_of_all_batches_of_a_step() -> None:
    one, two = simple_batch(), simple_batch(tracks=1, hidden=0.125)
    two.counted[0, 0] = 0
    masked = [torch.ones(2, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)]
    weights = [Weights.of(batch, mask, LossConfig()) for batch, mask in zip((one, two), masked, strict=True)]
    divide = divisors([weight.counts() for weight in weights])
    assert {name: int(value) for name, value in divide.items()} == {"codes": 96, "hidden": 8, "whole": 8}


# Schedules and averages


def test_the_rate_warms_up_and_falls_to_a_hundredth() -> None:
    settings = StageConfig(steps=100, warmup=10)
    rates = [trainer._schedule(step, settings) for step in range(100)]
    assert rates[0] == 0.1 and rates[9] == 1.0 and max(rates) <= 1.0
    assert all(np.diff(rates[:10]) > 0) and all(np.diff(rates[10:]) < 0)
    assert 0.01 <= rates[-1] < 0.012
    assert all(math.isfinite(trainer._schedule(step, StageConfig(steps=3, warmup=0))) for step in range(3))


def test_the_average_follows_the_weights_and_copies_the_codebook() -> None:
    average, model = AmodalModel(MODEL), AmodalModel(MODEL)
    before = {k: v.clone() for k, v in average.state_dict().items()}
    model.tokenizer.codebook.normal_()
    kept = Average(average, model)
    kept.update(0.75)
    after, new = kept.gather().state_dict(), model.state_dict()
    buffers = {name for name, _ in model.named_buffers()}
    for name, value in after.items():
        wanted = new[name] if name in buffers else 0.75 * before[name] + 0.25 * new[name]
        torch.testing.assert_close(value, wanted)
    assert any("embed" in name for name in buffers)


# Runs


def write_worlds(folder: Path) -> Path:
    """A folder of two small worlds, each a clip of four frames."""
    bank = toy_bank(7, worlds=2)
    folder.mkdir()
    camera = bank.worlds[0].camera
    camera = replace(camera, positions=((6.0, 0.0, 3.0), (5.5, 1.5, 3.0)) * 2, targets=camera.targets * 4)
    worlds = [replace(world, size=48, frames=4, camera=camera) for world in bank.worlds]
    (folder / "worlds.jsonl").write_text("".join(json.dumps(world.to_json()) + "\n" for world in worlds))
    arrays = {f"{k}/{part}": getattr(m, part) for k, m in bank.meshes.items() for part in ("vertices", "faces")}
    save_file(arrays, folder / "meshes.safetensors")
    return folder


def test_a_folder_of_worlds_is_a_data_set(tmp_path: Path) -> None:
    dataset = find_dataset(write_worlds(tmp_path / "worlds"))
    bank = WorldBank.load(tmp_path / "worlds")
    assert dataset.format == "mask-only worlds" and len(dataset.clips) == len(bank.worlds) == 2
    for world, (key, clip) in zip(bank.worlds, dataset.clips.items(), strict=True):
        assert key == str(world.seed) and clip.frames() is None
        assert clip.tracks() == true_tracks(world, bank.meshes, f"{key}.mp4")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    train(tiny(folder), quiet=True)
    AcceleratorState._reset_state(True)
    return folder


def test_a_run_leaves_a_model_its_losses_and_nothing_half_written(unbroken: Path) -> None:
    loaded = load_model(str(unbroken / "model"))
    assert loaded.model.config == MODEL
    lines = logged(unbroken)
    assert [(line["stage"], line["step"]) for line in lines] == [
        (stage, step) for stage in ("tokenizer", "amodal") for step in (1, 2, 3, 4)
    ]
    for line in lines:
        assert all(math.isfinite(v) for k, v in line.items() if k != "stage"), line
    assert list((unbroken / "tensorboard").rglob("events*"))
    assert sorted(p.name for p in (unbroken / "checkpoints").iterdir()) == [
        f"{stage}-{step:08d}" for stage in ("amodal", "tokenizer") for step in (2, 4)
    ]
    assert not [p for p in unbroken.rglob("*") if "partial" in p.name]


def test_no_file_of_a_run_is_a_pickle(unbroken: Path) -> None:
    files = [p for p in unbroken.rglob("*") if p.is_file()]
    assert {p.suffix for p in files if "events" not in p.name} == {".safetensors", ".json", ".jsonl", ".md"}
    for path in files:
        start = path.read_bytes()[:2]
        assert start != b"PK" and not (start[:1] == b"\x80" and start[1] <= 5), path
    for path in unbroken.rglob("*.safetensors"):
        assert load_file(path)


def test_the_second_stage_leaves_the_tokenizer_as_the_first_one_made_it(unbroken: Path) -> None:
    first = load_file(unbroken / "checkpoints" / "tokenizer-00000004" / "average.safetensors")
    last = load_file(unbroken / "model" / "model.safetensors")
    begun = AmodalModel(MODEL).state_dict()
    for name, value in last.items():
        if name.startswith("tokenizer."):
            assert torch.equal(value, first[name]), name
    moved = [name for name, value in last.items() if not torch.equal(value, first[name])]
    assert {name.split(".")[0] for name in moved} == {"transformer"} and set(last) < set(begun)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(unbroken: Path, tmp_path: Path) -> None:
    train(tiny(tmp_path / "again"), quiet=True)
    assert weights(tmp_path / "again") == weights(unbroken)
    train(tiny(tmp_path / "other", seed=1), quiet=True)
    assert weights(tmp_path / "other") != weights(unbroken)


def test_a_finished_run_is_not_run_again(unbroken: Path) -> None:
    before, lines = weights(unbroken), logged(unbroken)
    train(tiny(unbroken), quiet=True)
    assert weights(unbroken) == before and logged(unbroken) == lines


class Killed(BaseException):
    """Stands in for a kill: nothing in the package may catch it."""


def stop(patch: pytest.MonkeyPatch, owner: object, name: str, calls: int) -> None:
    """Make the call of that number of a function end the run instead."""
    original, left = getattr(owner, name), [calls]

    def counted(*arguments: Any, **keywords: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return original(*arguments, **keywords)

    patch.setattr(owner, name, counted)


@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [
        (Average, "update", 1),  # in the first step
        (Average, "update", 4),  # past the first checkpoint
        (Average, "update", 7),  # in the second stage
        (os, "rename", 2),  # a checkpoint is written, not yet in place
        (os, "rename", 4),
        (shutil, "rmtree", 3),  # an old checkpoint is out of sight, not yet removed
        (trainer, "save_model", 1),
    ],
)
def test_a_run_that_was_stopped_goes_on_as_if_never_stopped(
    unbroken: Path, tmp_path: Path, owner: object, name: str, calls: int
) -> None:
    config = tiny(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        stop(patch, owner, name, calls)
        with pytest.raises(Killed):
            train(config, quiet=True)
    assert not (tmp_path / "run" / "model").exists()
    AcceleratorState._reset_state(True)
    train(config, quiet=True)
    assert weights(tmp_path / "run") == weights(unbroken)
    assert losses(tmp_path / "run") == losses(unbroken)
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


@pytest.mark.parametrize("stage", ["tokenizer", "amodal"])
def test_batches_of_a_step_change_nothing_but_memory(tmp_path: Path, stage: str) -> None:
    """Weights and losses to 1e-6, the codebook's average too; but for codes that are drawn from the last batch."""
    begun = tmp_path / "begun"
    train(tiny(begun, tokenizer=replace(STAGE, steps=40)), quiet=True)
    runs = {}
    for accumulate in (1, 2, 4):
        AcceleratorState._reset_state(True)
        settings = replace(STAGE, steps=1, clips=4, warmup=1, rate=1e-4, accumulate=accumulate)
        stages = {"tokenizer": replace(STAGE, steps=0), "amodal": replace(STAGE, steps=0), stage: settings}
        runs[accumulate] = tmp_path / f"{accumulate}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Codebook, "expire_codes_", lambda *_, **__: None)
            train(tiny(runs[accumulate], init=str(begun / "model"), save_every=1, **stages), quiet=True)
    one = load_file(runs[1] / "checkpoints" / f"{stage}-00000001" / "model.safetensors")
    start = load_model(str(begun / "model")).model.state_dict()
    moved = [name for name, value in one.items() if not torch.equal(value, start[name])]
    assert len(moved) > 10 and any("embed_avg" in name for name in moved) == (stage == "tokenizer")
    for accumulate in (2, 4):
        other = load_file(runs[accumulate] / "checkpoints" / f"{stage}-00000001" / "model.safetensors")
        for name, value in one.items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6, msg=name)
        for name in ("loss", "norm"):
            assert logged(runs[accumulate])[0][name] == pytest.approx(logged(runs[1])[0][name], rel=1e-5)


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_make_clips_change_nothing(unbroken: Path, tmp_path: Path, workers: int) -> None:
    train(tiny(tmp_path / "run", workers=workers), quiet=True)
    assert weights(tmp_path / "run") == weights(unbroken)
    assert [line["loss"] for line in logged(tmp_path / "run")] == [line["loss"] for line in logged(unbroken)]


def test_validation_scores_are_logged(tmp_path: Path) -> None:
    truth = write_worlds(tmp_path / "worlds")
    one, two = replace(STAGE, steps=1), replace(STAGE, steps=2)
    train(tiny(tmp_path / "run", validation=str(truth), tokenizer=one, amodal=two, validate_every=1), quiet=True)
    scores = [line for line in logged(tmp_path / "run") if "validation_full" in line]
    assert [(line["stage"], line["step"]) for line in scores] == [("amodal", 1), ("amodal", 2)]
    assert all(0 <= line["validation_full"] <= 1 and "validation_flicker" in line for line in scores)


def test_checkpoints_of_a_stage_are_kept_apart_and_few(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    store = Checkpoints(tmp_path, "one")
    assert store.load(model, model) is None
    kept = {}
    for step in (5, 10, 100):
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        store.save(step, model, model, optimizer, {"seed": 3})
        kept = {k: v.clone() for k, v in model.state_dict().items()}
        moments = [v["exp_avg"].clone() for v in optimizer.state_dict()["state"].values()]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one-00000010", "one-00000100"]
    assert Checkpoints(tmp_path, "other").load(model, model) is None
    fresh, average = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    again = torch.optim.AdamW(fresh.parameters(), lr=0.1)
    assert store.load(fresh, average) == {"step": 100, "seed": 3}
    store.load_optimizer(again)
    assert all(torch.equal(v, kept[k]) for k, v in fresh.state_dict().items())
    restored = again.state_dict()["state"]
    assert all(torch.equal(restored[n]["exp_avg"], m) and restored[n]["step"] == 3 for n, m in enumerate(moments))


# What is refused


def refused(config: TrainConfig, words: str) -> None:
    """The run ends with one line that holds these words, and leaves no folder that would refuse the next try."""
    existed = Path(config.output).exists()
    with pytest.raises(InputError, match=words) as error:
        train(config, quiet=True)
    assert "\n" not in str(error.value)
    assert Path(config.output).exists() == existed


def test_another_config_on_the_same_folder_is_refused(unbroken: Path) -> None:
    refused(tiny(unbroken, seed=5), "config.json")


@pytest.mark.parametrize("processes", [2, 8])
def test_fewer_processes_than_asked_for_are_refused(tmp_path: Path, processes: int) -> None:
    refused(tiny(tmp_path / "run", processes=processes), f"{processes} processes")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head": {"depth": 3}}, "depth"),
        ({"model": replace(MODEL, head="nosuch")}, "nosuch"),
        ({"model": replace(MODEL, transformer=replace(MODEL.transformer, window=5))}, "window"),
        ({"worlds": "no/such/folder"}, "worlds"),
        ({"precision": "fp7"}, "fp7"),
        ({"device": "abacus"}, "abacus"),
        ({"tokenizer": replace(STAGE, clips=3), "processes": 2}, "tokenizer.clips"),
        ({"amodal": replace(STAGE, clips=6, accumulate=4)}, "amodal.clips"),
        ({"amodal": replace(STAGE, accumulate=0)}, "amodal.clips"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    refused(tiny(tmp_path / "run", **changes), words)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Configs that would have been trained."""
    configs: list[TrainConfig] = []

    def note(config: TrainConfig, _quiet: bool = False) -> Path:
        configs.append(config)
        return Path(config.output)

    monkeypatch.setattr(trainer, "train", note)
    return configs


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_of_the_repository_is_one(parsed: list[TrainConfig], path: Path) -> None:
    trainer.main(["--amodal.steps", "7", "--config", str(path), "--processes", "3"])  # in any order
    (config,) = parsed
    assert config.amodal.steps == 7 and config.processes == 3
    written = yaml.safe_load(path.read_text())
    assert config.name == written["name"] == path.stem and config.output == written["output"]
    AmodalModel(config.model)


def exit_status(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(["train", *arguments])
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["steps: 3\n", "amodal: {step: 3}\n", "model: {transformer: {wide: 3}}\n", "amodal: {steps: many}\n", "- 1\n"],
)
def test_unknown_keys_and_wrong_values_of_a_file_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parsed: list[TrainConfig], text: str
) -> None:
    (tmp_path / "run.yaml").write_text(text)
    status, said = exit_status(["--config", str(tmp_path / "run.yaml")], capsys)
    assert status == 2 and said.count("\n") == 1 and "Traceback" not in said and not parsed


@pytest.mark.parametrize(
    "arguments", [[], ["--config", "no-such.yaml"], ["--config", "configs/smoke.yaml", "--nosuch", "1"]]
)
def test_wrong_arguments_are_refused(
    capsys: pytest.CaptureFixture[str], parsed: list[TrainConfig], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    status, said = exit_status(arguments, capsys)
    assert status == 2 and said.count("\n") == 1 and not parsed


# Several processes


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What `ddp_gradients` finds with one process and with two."""
    folder, script = tmp_path_factory.mktemp("ddp"), str(Path(__file__).with_name("ddp_gradients.py"))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script]
    done = subprocess.run([*launch, str(folder / "two")], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return learn(folder / "one"), load_file(folder / "two" / "learnt.safetensors")


@pytest.mark.parametrize("sharded", ["", "sharded "])
def test_two_processes_learn_what_one_does(
    one_and_two: tuple[dict[str, Tensor], dict[str, Tensor]], sharded: str
) -> None:
    """A step of four clips, in two batches of each process: its gradients, and the weights after it to 1e-6."""
    one, two = one_and_two
    for stage in ("tokenizer", "amodal"):
        whole, mine = float(one[f"{stage} counted"]), float(two[f"{sharded}{stage} counted"])
        assert 0 < mine < whole and mine != whole - mine  # each had its own share, of another size than the other's
        for kind, least in (("gradient", 10), ("weight", 30)):
            names = [name for name in one if name.startswith(f"{stage} {kind}")]
            assert len(names) > least
            for name in names:
                value, found = one[name].double(), two[sharded + name].double()
                exact = 1e-6 if kind == "weight" else 1e-5 * value.abs().max().item()
                torch.testing.assert_close(found, value, rtol=0, atol=exact, msg=name)
        moved = [name for name in one if name.startswith(f"{stage} weight") and one[name].is_floating_point()]
        begun = {name: one[f"{stage} begun{name.removeprefix(f'{stage} weight')}"] for name in moved}
        assert sum((one[name] - begun[name]).abs().max() > 1e-4 for name in moved) > 10


# Slow: whole runs through the script


def launch(config: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), "--config", str(config), "--quiet", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT,
    )  # fmt: skip


@pytest.mark.slow
def test_the_smoke_config_trains_every_stage_in_two_minutes(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = launch(ROOT / "configs" / "smoke.yaml", "--output", str(tmp_path / "run"))
    _, said = run.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0, said[-3000:]
    # Seconds of processor, so that a busy machine changes nothing.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 120
    lines = logged(tmp_path / "run")
    tokenizer, amodal = ([line for line in lines if line["stage"] == stage] for stage in ("tokenizer", "amodal"))
    assert tokenizer[-1]["iou"] > tokenizer[0]["iou"] and tokenizer[-1]["loss"] < tokenizer[0]["loss"]
    assert np.mean([line["loss"] for line in amodal[-3:]]) < np.mean([line["loss"] for line in amodal[:3]])
    load_model(str(tmp_path / "run" / "model"))


def write_config(folder: Path, output: Path, steps: int) -> Path:
    world = {"size": 48, "frames": 7}
    stage = {"steps": steps, "clips": 2, "warmup": 2, "sample": {"tracks": 3, "frames": 5, "world": world}}
    model = {
        "tokenizer": {"crop": 16, "width": 16, "dim": 8, "codes": 128},
        "transformer": {"width": 16, "depth": 2, "heads": 2, "mlp": 2, "features": 16, "window": 4},
    }
    config = {
        "output": str(output), "device": "cpu", "precision": "fp32", "worlds": "toy", "workers": 1, "save_every": 5,
        "model": model, "head": {"width": 8, "deep": 16}, "tokenizer": stage, "amodal": stage,
    }  # fmt: skip
    path = folder / f"{output.name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def events(folder: Path) -> list[tuple[int, float]]:
    """Step and value of the loss as TensorBoard shows them."""
    return [(event.step, event.value) for event in EventAccumulator(str(folder)).Reload().Scalars("loss")]


@pytest.mark.slow
def test_kill_9_and_the_same_command_goes_on(tmp_path: Path) -> None:
    for name in ("killed", "whole"):
        write_config(tmp_path, tmp_path / name, steps=60)
    run = launch(tmp_path / "killed.yaml")
    while not list((tmp_path / "killed").glob("checkpoints/amodal-0000001*")):
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    assert not (tmp_path / "killed" / "model").exists()
    for name in ("killed", "whole"):
        run = launch(tmp_path / f"{name}.yaml")
        _, said = run.communicate()
        assert run.returncode == 0, said[-3000:]
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    for stage in ("tokenizer", "amodal"):  # TensorBoard shows every step once
        shown = [events(tmp_path / name / "tensorboard" / stage) for name in ("killed", "whole")]
        assert shown[0] == shown[1] and len(shown[0]) == 3


@pytest.mark.slow
def test_the_script_leaves_with_2_and_one_line_when_processes_are_missing(tmp_path: Path) -> None:
    run = launch(ROOT / "configs" / "smoke.yaml", "--output", str(tmp_path / "run"), "--processes", "2")
    _, said = run.communicate()
    assert run.returncode == 2 and said.count("\n") == 1 and "2 processes" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_survives_kills_at_random_moments(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "kill.py"), "--kills", "4", "--steps", "12", "--seed", "1"]
    done = subprocess.run(script, capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nkill ") == 4 and "nothing lost" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("sharded", ["false", "true"])
def test_two_processes_train_to_the_end_and_one_goes_on(tmp_path: Path, sharded: str) -> None:
    """Weights that two processes hold together are written whole, and one process takes up where they stopped."""
    path, run = write_config(tmp_path, tmp_path / "run", steps=6), tmp_path / "run"
    script = [str(ROOT / "scripts" / "train.py"), "--config", str(path), "--quiet"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, *script, "--processes", "2", "--shard", sharded, "--validation", str(write_worlds(tmp_path / "w"))],
        capture_output=True, text=True, env=environment(), cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    load_model(str(run / "model"))
    lines = logged(run)
    assert lines[-1]["validation_full"] > 0
    both = [load_file(run / "model" / name) for name in ("model.safetensors", "heads/conv.safetensors")]
    for folder in (run / "model", run / "checkpoints" / "amodal-00000006"):
        shutil.rmtree(folder)
    one = [sys.executable, *script, "--validation", str(tmp_path / "w")]
    done = subprocess.run(one, capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = [load_file(run / "model" / name) for name in ("model.safetensors", "heads/conv.safetensors")]
    for first, second in zip(both, alone, strict=True):  # of six steps the last one was made by one process
        for name, value in first.items():
            torch.testing.assert_close(second[name], value, rtol=0, atol=1e-5, msg=name)
    scores = [{k: v for k, v in run[-1].items() if "validation" in k} for run in (lines, logged(run))]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_accelerate_reads_the_files_for_it(name: str) -> None:
    found = load_config_from_file(str(ROOT / "configs" / "accelerate" / f"{name}.yaml"))
    assert found.distributed_type.value == "MULTI_GPU" and found.num_processes == 8 and found.mixed_precision == "no"


def test_how_many_processes_share_a_run_may_change(tmp_path: Path) -> None:
    train(tiny(tmp_path / "run", tokenizer=replace(STAGE, steps=1), amodal=replace(STAGE, steps=1)), quiet=True)
    changed = tiny(tmp_path / "run", tokenizer=replace(STAGE, steps=1), amodal=replace(STAGE, steps=1), workers=1)
    before = weights(tmp_path / "run")
    train(changed, quiet=True)
    assert weights(tmp_path / "run") == before

"""Whole runs: their results, interruption, and what is refused."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from tests.training.helpers import CLIPS, MODEL, STAGE, logged, losses, refused, tiny_config, weights
from vidamodal.data.augment import AugmentConfig
from vidamodal.heads.conv import ConvHead
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model
from vidamodal.training import family
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.family import MaskFamily
from vidamodal.training.losses import LossConfig
from vidamodal.training.run import train, train_recipe
from vidamodal.training.sharding import Average
from vidamodal.training.stages.amodal import AmodalFamily


def test_a_run_writes_a_model_and_metrics_and_no_partial_files(unbroken: Path) -> None:
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


def test_the_second_stage_does_not_change_the_tokenizer(unbroken: Path) -> None:
    first = load_file(unbroken / "checkpoints" / "tokenizer-00000004" / "average.safetensors")
    last = load_file(unbroken / "model" / "model.safetensors")
    begun = AmodalModel(MODEL).state_dict()
    for name, value in last.items():
        if name.startswith("tokenizer."):
            assert torch.equal(value, first[name]), name
    moved = [name for name, value in last.items() if not torch.equal(value, first[name])]
    assert {name.split(".")[0] for name in moved} == {"transformer"} and set(last) < set(begun)


def test_weights_depend_on_the_seed_alone(unbroken: Path, tmp_path: Path) -> None:
    train(tiny_config(tmp_path / "again"), quiet=True)
    assert weights(tmp_path / "again") == weights(unbroken)
    train(tiny_config(tmp_path / "other", seed=1), quiet=True)
    assert weights(tmp_path / "other") != weights(unbroken)


def test_a_finished_run_is_not_trained_again(unbroken: Path) -> None:
    before, lines = weights(unbroken), logged(unbroken)
    train(tiny_config(unbroken), quiet=True)
    assert weights(unbroken) == before and logged(unbroken) == lines


def test_what_was_fitted_to_a_finished_model_stays_until_its_run_is_prolonged(tmp_path: Path) -> None:
    short = replace(STAGE, steps=1, schedule="stable", cooldown=0.0)
    path = tmp_path / "run" / "model" / "config.json"
    train(tiny_config(tmp_path / "run", short, short), quiet=True)
    fitted = json.loads(path.read_text())
    fitted["model"]["temperature"] = 1.5
    path.write_text(json.dumps(fitted))
    train(tiny_config(tmp_path / "run", short, short, workers=1), quiet=True)
    assert json.loads(path.read_text()) == fitted
    train(tiny_config(tmp_path / "run", short, replace(short, steps=2)), quiet=True)
    prolonged = json.loads(path.read_text())
    assert prolonged["model"]["temperature"] == 1.0
    assert prolonged["training"]["config"]["stages"][1]["steps"] == 2


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
        (family, "save_model", 1),
    ],
)
def test_an_interrupted_run_resumes_with_identical_results(
    unbroken: Path, tmp_path: Path, owner: object, name: str, calls: int
) -> None:
    config = tiny_config(tmp_path / "run")
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


def reads_depth(output: Path) -> TrainConfig:
    """Return the config of a run whose model reads depth and predicts presence."""
    network = replace(MODEL, transformer=replace(MODEL.transformer, depth_planes=True, presence=True))
    clips = replace(STAGE.sample, augment=AugmentConfig(depth=1.0), world=replace(STAGE.sample.world, vanish=1.0))
    model = AmodalFamily(network=network, head={"width": 8, "deep": 16, "depth": True})
    return tiny_config(output, amodal=replace(STAGE, sample=clips), model=model)


def test_depth_and_presence_are_learnt_and_an_interrupted_run_resumes(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop(patch, Average, "update", 7)
        with pytest.raises(Killed):
            train(reads_depth(tmp_path / "run"), quiet=True)
    AcceleratorState._reset_state(True)
    for name in ("run", "unbroken"):
        train(reads_depth(tmp_path / name), quiet=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "unbroken")
    assert losses(tmp_path / "run") == losses(tmp_path / "unbroken")
    assert all(line["presence"] > 0 for line in logged(tmp_path / "run") if line["stage"] == "amodal")
    model = load_model(str(tmp_path / "run" / "model")).model
    assert isinstance(model, AmodalModel) and isinstance(model.head, ConvHead) and model.view.depth
    assert model.transformer.extra.weight.any() and model.head.extra.weight.any()
    assert "depth where it is known" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_another_config_in_the_same_folder_is_refused(unbroken: Path) -> None:
    refused(tiny_config(unbroken, seed=5), "config.json")


@pytest.mark.parametrize("processes", [2, 8])
def test_another_number_of_processes_than_configured_is_refused(tmp_path: Path, processes: int) -> None:
    refused(tiny_config(tmp_path / "run", processes=processes), f"{processes} processes")


def spaced(*spacing: int) -> StageConfig:
    """Return a stage whose clips have these spacings."""
    return replace(STAGE, sample=replace(CLIPS, world=replace(CLIPS.world, spacing=spacing)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": AmodalFamily(network=MODEL, head={"depth": 3})}, "depth"),
        ({"model": AmodalFamily(network=replace(MODEL, head="nosuch"))}, "nosuch"),
        ({"model": AmodalFamily(network=replace(MODEL, transformer=replace(MODEL.transformer, window=5)))}, "window"),
        ({"worlds": "no/such/folder"}, "worlds"),
        ({"stages": ()}, "the list is empty"),
        ({"stages": (STAGE, STAGE)}, "'amodal' appears twice"),
        ({"stages": (replace(STAGE, kind="c2f"),)}, "no stage 'c2f'"),
        ({"precision": "fp7"}, "fp7"),
        ({"device": "abacus"}, "abacus"),
        ({"tokenizer": replace(STAGE, clips=3), "processes": 2}, "stages.tokenizer.clips"),
        ({"amodal": replace(STAGE, clips=6, accumulate=4)}, "stages.amodal.clips"),
        ({"amodal": replace(STAGE, accumulate=0)}, "stages.amodal.clips"),
        ({"amodal": replace(STAGE, clips=0)}, "stages.amodal.clips must be .* at least 1, not 0"),
        ({"tokenizer": replace(STAGE, rate=-1.0)}, "stages.tokenizer.rate must be .* at least 0, not -1"),
        ({"tokenizer": replace(STAGE, rate=math.nan)}, "stages.tokenizer.rate must be .* not nan"),
        ({"tokenizer": replace(STAGE, betas=(1.5, 0.9))}, "stages.tokenizer.betas must be at most"),
        ({"tokenizer": replace(STAGE, warmup=-1)}, "stages.tokenizer.warmup must be"),
        ({"amodal": replace(STAGE, sample=replace(CLIPS, frames=0))}, "stages.amodal.sample.frames must be"),
        ({"amodal": replace(STAGE, sample=replace(CLIPS, tracks=0))}, "stages.amodal.sample.tracks must be"),
        ({"amodal": spaced()}, "stages.amodal.sample.world.spacing: the list is empty"),
        ({"amodal": spaced(1, 0)}, "stages.amodal.sample.world.spacing must be .* at least 1, not 0"),
        ({"log_every": 0}, "log_every must be"),
        ({"save_every": 0}, "save_every must be"),
        ({"validate_every": 0}, "validate_every must be"),
        ({"workers": -1}, "workers must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**63}, "seed must be at most"),
        ({"loss": LossConfig(dice=-1.0)}, "loss.dice must be"),
        ({"model": AmodalFamily(network=replace(MODEL, tokenizer=replace(MODEL.tokenizer, crop=60)))}, "multiple of 8"),
    ],
)
def test_invalid_settings_are_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    refused(tiny_config(tmp_path / "run", **changes), words)


def test_the_number_of_workers_may_change_when_a_run_is_resumed(tmp_path: Path) -> None:
    train(tiny_config(tmp_path / "run", tokenizer=replace(STAGE, steps=1), amodal=replace(STAGE, steps=1)), quiet=True)
    changed = tiny_config(
        tmp_path / "run", tokenizer=replace(STAGE, steps=1), amodal=replace(STAGE, steps=1), workers=1
    )
    before = weights(tmp_path / "run")
    train(changed, quiet=True)
    assert weights(tmp_path / "run") == before


def test_parts_of_a_recipe_build_on_each_other_and_finished_ones_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(STAGE, steps=1)
    first = tiny_config(tmp_path / "first", tokenizer=short, amodal=short)
    second = tiny_config(
        tmp_path / "second", init=str(tmp_path / "first" / "model"), stages=(replace(short, kind="amodal"),)
    )
    assert train_recipe([first, second], quiet=True) == tmp_path / "second" / "model"
    before = weights(tmp_path / "first"), weights(tmp_path / "second")
    shutil.rmtree(tmp_path / "second" / "model")
    AcceleratorState._reset_state(True)
    monkeypatch.setattr(AmodalFamily, "save", _save_second)
    train_recipe([first, second], quiet=True)
    assert before[0] == weights(tmp_path / "first") and before[1] == weights(tmp_path / "second")


def test_a_part_without_steps_is_the_mean_of_earlier_parts(tmp_path: Path) -> None:
    short = replace(STAGE, steps=1)
    train(tiny_config(tmp_path / "first", tokenizer=short, amodal=short), quiet=True)
    models = [str(tmp_path / name / "model") for name in ("first", "second")]
    AcceleratorState._reset_state(True)
    train(tiny_config(tmp_path / "second", init=models[0], stages=(replace(short, kind="amodal"),)), quiet=True)
    AcceleratorState._reset_state(True)
    last = (replace(short, kind="amodal", steps=0),)
    train(tiny_config(tmp_path / "mean", init=",".join(models), stages=last), quiet=True)
    card = (tmp_path / "mean" / "model" / "README.md").read_text()
    assert f"from the mean of {models[0]} and {models[1]}." in card and "Trained on" not in card
    first, second, mean = (load_model(f"{tmp_path / name / 'model'}").model for name in ("first", "second", "mean"))
    for name, value in mean.state_dict().items():
        expected = (first.state_dict()[name].float() + second.state_dict()[name].float()) / 2
        assert torch.allclose(value.float(), expected, atol=1e-6), name
    assert weights(tmp_path / "first") != weights(tmp_path / "mean") != weights(tmp_path / "second")


def _save_second(self: AmodalFamily, folder: Path, *arguments: Any) -> None:
    """Write a model, which must not be that of the first part."""
    assert folder.parent.name == "second"
    MaskFamily.save(self, folder, *arguments)

"""Training of CondDiff heads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

import vidamodal
from tests.formats import image_data
from tests.helpers import ToyClip
from vidamodal.data.clips import ClipConfig
from vidamodal.heads.conddiff import CondDiffHead
from vidamodal.models.folder import load_model
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.run import train
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.training.stages.head import FramewiseFamily, HeadFamily
from vidamodal.types import InputError
from vidamodal.worlds.sample import WorldConfig


def short_run(output: Path, **changes: Any) -> TrainConfig:
    sample = ClipConfig(tracks=2, frames=3, whole=0.0, world=WorldConfig(size=32, frames=6))
    stage = StageConfig("head", steps=2, clips=2, warmup=1, rate=1e-2, sample=sample)
    return replace(
        TrainConfig(
            name="t", output=str(output), precision="fp32", device="cpu", worlds="toy", workers=0, stages=(stage,)
        ),
        **changes,
    )


HEAD = {
    "pyramid": {"widths": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1], "reductions": [1, 1, 1, 1],
                "ratios": [1, 1, 1, 1], "inputs": 4},
    "width": 8, "image": False, "context": True, "late": True, "start": "coarse",
}  # fmt: skip


def test_a_head_is_trained_for_an_existing_model(tmp_path: Path, model_folder: Path, clip: ToyClip) -> None:
    config = short_run(tmp_path / "run", init=str(model_folder), model=HeadFamily(name="conddiff", head=HEAD))
    folder = train(config, quiet=True)
    AcceleratorState._reset_state(True)
    for name in ("model.safetensors", "heads/conv.safetensors", "README.md"):
        assert (folder / name).read_bytes() == (model_folder / name).read_bytes()
    before, after = load_model(str(model_folder)), load_model(str(folder))
    assert after.model.config == before.model.config and after.weights_hash == before.weights_hash
    drawn = load_model(str(folder), "conddiff").model
    assert drawn.config.head == "conddiff" and drawn.config.temperature == 1.0
    torch.manual_seed(0)
    assert isinstance(drawn.head, CondDiffHead)
    assert any(parameter.any() for parameter in drawn.head.denoise.leave[-1].parameters())
    kept = json.loads((folder / "config.json").read_text())
    assert (
        sorted(kept["heads"]) == ["conddiff", "conv"]
        and kept["heads_training"]["conddiff"]["config"]["model"]["family"] == "head"
    )
    (folder / "config.json").write_text(json.dumps(kept | {"temperatures": {"conddiff": 1.5}}))
    train(config, quiet=True)  # the run is finished, so that what was fitted to its head stays
    AcceleratorState._reset_state(True)
    assert load_model(str(folder), "conddiff").model.config.temperature == 1.5
    one, two = (
        vidamodal.predict(clip.video, clip.tracks, model=str(folder), head="conddiff", seed=seed, hypotheses=2)
        for seed in (0, 1)
    )
    assert [t.visible for t in one.tracks] == [t.visible for t in two.tracks]
    assert [t.hypotheses for t in one.tracks] != [t.hypotheses for t in two.tracks]


def test_a_head_without_transformer_is_trained_as_a_model(tmp_path: Path) -> None:
    alone_head = {**HEAD, "late": False, "start": "visible"}
    folder = train(
        short_run(tmp_path / "run", model=FramewiseFamily(network=FramewiseConfig(crop=32), head=alone_head)),
        quiet=True,
    )
    AcceleratorState._reset_state(True)
    loaded = load_model(str(folder)).model
    assert isinstance(loaded, FramewiseModel) and loaded.config.head == "conddiff"
    lines = (tmp_path / "run" / "metrics.jsonl").read_text() if (tmp_path / "run" / "metrics.jsonl").exists() else ""
    assert "tokenizer" not in lines


@pytest.mark.parametrize("layout", ["kins", "cocoa", "gestalt"])
def test_an_image_model_is_trained_on_image_data_sets(tmp_path: Path, layout: str) -> None:
    if layout == "gestalt":
        image_data.gestalt(tmp_path / "data")
    elif layout == "kins":
        image_data.save(tmp_path / "data/update_train_2020.json", image_data.kins())
        image_data.picture(tmp_path / "data/training/image_2/000003.png")
    else:
        image_data.save(tmp_path / "data/annotations/COCO_amodal_val2014.json", image_data.cocoa())
        image_data.picture(tmp_path / "data/val2014/COCO_val2014_7.png")
    config = short_run(tmp_path / "run", worlds=str(tmp_path / "data"))
    sample = ClipConfig(tracks=2, frames=1, whole=0.0, world=WorldConfig(frames=1))
    alone_head = {**HEAD, "image": True, "start": "visible"}
    folder = train(
        replace(
            config,
            model=FramewiseFamily(network=FramewiseConfig(crop=32), head=alone_head),
            stages=(replace(config.stages[0], sample=sample),),
        ),
        quiet=True,
    )
    AcceleratorState._reset_state(True)
    model = load_model(str(folder)).model
    assert model.view.pixels and isinstance(model.head, CondDiffHead)
    assert any(p.any() for p in model.head.denoise.second.two.parameters())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": HeadFamily()}, "Set init to its folder or name"),
        ({"model": HeadFamily(name="nosuch"), "init": "tiny"}, "there is no head 'nosuch'"),
        ({"model": HeadFamily(), "init": "aisdiff"}, "is a segmenter"),
        ({"model": AmodalFamily(), "stages": (StageConfig("head"),)}, "the family 'amodal' has no stage 'head'"),
        ({"model": FramewiseFamily(head={"stride": 3})}, "unknown key 'stride'"),
        ({"model": FramewiseFamily(head={"start": "coarse"})}, "no coarse mask without a transformer"),
    ],
)
def test_invalid_configs_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        train(short_run(tmp_path / "run", **changes), quiet=True)
    AcceleratorState._reset_state(True)
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()

"""Stages of C2F-Seg: losses, masking, whole runs, presets."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from tests.models.c2f.helpers import CONFIG, RESNET, millions, model, random_batch, seeded
from tests.training.helpers import single_step
from vidamodal.data.augment import AugmentConfig, Degradation
from vidamodal.data.clips import ClipConfig, TrainingBatch
from vidamodal.models.c2f.model import C2F, C2FConfig
from vidamodal.models.c2f.vqgan import Variant
from vidamodal.models.folder import load_model
from vidamodal.training.command import read_recipe
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.losses import LossConfig
from vidamodal.training.optimizers import make_optimizer
from vidamodal.training.run import train
from vidamodal.training.stage import Stage
from vidamodal.training.stages.amodal import TokenizerStage
from vidamodal.training.stages.c2f import C2FFamily, C2FStage, VqGanStage, _adaptive_weight, degrade_masks, mask_places
from vidamodal.types import InputError
from vidamodal.worlds.sample import WorldConfig

pytest.importorskip("transformers")


def stage_one(variant: Variant) -> tuple[VqGanStage, TrainingBatch]:
    return VqGanStage(model(replace(CONFIG, variant=variant)), LossConfig()).train(), random_batch()


@pytest.mark.parametrize("variant", ["released", "paper"])
@pytest.mark.parametrize("stage", [VqGanStage, TokenizerStage, C2FStage])
def test_a_step_gives_every_trained_parameter_a_gradient(variant: Variant, stage: type[Stage[Any]]) -> None:
    """The released optimiser forgets all biases and norms, 127 tensors."""
    torch.manual_seed(0)
    c2f = C2F(replace(CONFIG, variant=variant, codec="light" if stage is TokenizerStage else "vqgan"))
    module = stage(c2f, LossConfig()).train()
    before = {name: value.clone() for name, value in module.named_parameters()}
    optimizer = make_optimizer(module, StageConfig(rate=1e-2))
    losses = single_step(module, random_batch(4, 4))
    assert all(value.isfinite() for value in losses.values())
    losses["loss"].backward()
    optimizer.step()
    trained = [name for name, value in module.named_parameters() if value.requires_grad]
    for name, value in module.named_parameters():
        if name not in trained:
            assert value.grad is None and torch.equal(value, before[name]), name
            continue
        assert value.grad is not None and value.grad.isfinite().all() and value.grad.any(), name
        assert not torch.equal(value, before[name]), name
    frozen = "model.tokenizer." if stage is C2FStage else "nothing"
    assert len(trained) == sum(not name.startswith(frozen) for name in before) > 5


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_one_backward_pass_gives_each_player_its_own_gradient(variant: Variant) -> None:
    stage, batch = stage_one(variant)
    critic = stage.tokenizer.discriminator
    losses = single_step(stage, batch)
    losses["loss"].backward()
    found = {name: value.grad for name, value in critic.named_parameters()}
    masks = batch.amodal.flatten(0, 1)
    other, _ = stage_one(variant)
    with torch.no_grad():
        image = other.tokenizer.reconstruct(masks).image
    real, fake = (other.tokenizer.discriminator(x)[0] for x in (masks[:, None], image))
    if variant == "paper":
        alone = -(torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean())
    else:
        alone = ((1 - real).clamp_min(0).mean() + (1 + fake).clamp_min(0).mean()) / 2
    alone.backward()
    for name, value in other.tokenizer.discriminator.named_parameters():
        torch.testing.assert_close(found[name], value.grad, msg=name, rtol=1e-4, atol=1e-6)
    # The third pass, as a constant, does not update the running statistics: they are those of two passes.
    for (name, buffer), expected in zip(critic.named_buffers(), other.tokenizer.discriminator.buffers(), strict=True):
        torch.testing.assert_close(buffer, expected, msg=name)


def test_the_adaptive_weight_is_the_ratio_of_gradients() -> None:
    weights = torch.tensor([1.0, 2.0], requires_grad=True)
    rebuild, deceive = (3 * weights).sum(), (weights * torch.tensor([0.0, 5.0])).sum()
    ratio = math.sqrt(18) / 5
    assert _adaptive_weight(rebuild, deceive, weights, "paper") == pytest.approx(ratio, rel=1e-5)
    assert _adaptive_weight(rebuild, deceive, weights, "released") == pytest.approx(0.75 * ratio, rel=1e-4)
    assert _adaptive_weight(rebuild, 0 * deceive, weights, "released") == pytest.approx(7500)


def test_the_codec_learns() -> None:
    torch.manual_seed(0)
    stage = VqGanStage(C2F(CONFIG), LossConfig()).train()
    optimizer = torch.optim.Adam(stage.parameters(), lr=2e-3, betas=(0.5, 0.9))
    scores = []
    for step in range(40):
        losses = single_step(stage, random_batch(4, 4, seed=step))
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        scores.append(float(losses["reconstruction"]))
    assert sum(scores[-5:]) < 0.6 * sum(scores[:5])


def test_codes_are_masked_as_in_paper_and_released_code() -> None:
    target = torch.zeros(4000, 2, 16, 16, dtype=torch.long)
    paper, released = (mask_places(target, r, seeded(0)).float().mean(dim=(2, 3)) for r in (False, True))
    assert torch.equal(paper[:, 0], paper[:, 1])  # one ratio a track
    assert not torch.equal(*mask_places(target[:1], False, seeded(1))[0])  # but not the same places
    assert 0.5 <= paper.min() < 0.51 and 0.99 < paper.max() <= 1 and 0.74 < paper.mean() < 0.76
    assert (released == 0.5).float().mean() == pytest.approx(1 / 3, abs=0.03)
    assert released.min() == 0.5 and released.mean() == pytest.approx(
        1 / 6 + math.sin(math.pi / 3) * 2 / math.pi, abs=0.01
    )


def test_visible_masks_are_degraded_frame_by_frame() -> None:
    masks = random_batch(10, 20).crops.visible
    before = masks.clone()
    found = degrade_masks(masks, seeded(0))
    assert torch.equal(masks, before) and torch.equal(found, degrade_masks(masks, seeded(0)))
    same = (found == masks).flatten(2).all(dim=2)
    assert 0.3 < same.float().mean() < 0.5 and not same.all(dim=1).any()
    grown = ((found >= masks).flatten(2).all(dim=2) & ~same).float().mean()
    shrunk = ((found <= masks).flatten(2).all(dim=2) & ~same).float().mean()
    assert grown > 0.15 and shrunk > 0.15
    assert found.min() >= 0 and found.max() <= 1


def tiny_run(output: Path, codec: Literal["vqgan", "light"], **changes: Any) -> TrainConfig:
    clean = AugmentConfig(partial=0.0, unknown=0.0, jitter=0.0)
    clips = ClipConfig(tracks=2, frames=6, whole=0.0, world=WorldConfig(size=48, frames=6), augment=clean)
    stage = StageConfig(
        "c2f", steps=4, clips=2, warmup=1, average=0.0, schedule="linear", betas=(0.5, 0.9), sample=clips
    )
    settings: dict[str, Any] = {
        "output": str(output), "device": "cpu", "precision": "fp32", "worlds": "toy", "workers": 0, "log_every": 1,
        "save_every": 2, "model": C2FFamily(network=replace(CONFIG, codec=codec)),
        "stages": (replace(stage, kind="vqgan" if codec == "vqgan" else "tokenizer"), stage),
    }  # fmt: skip
    return TrainConfig(**{**settings, **changes})


@pytest.mark.parametrize("codec", ["vqgan", "light"])
def test_an_interrupted_run_of_both_stages_resumes_with_identical_results(
    codec: Literal["vqgan", "light"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train(tiny_run(tmp_path / "whole", codec), quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["tokenizer"] * 4 + ["amodal"] * 4
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert [line["rate"] for line in lines[:4]] == pytest.approx([2e-3, 2e-3, 2e-3 * 2 / 3, 2e-3 / 3])
    assert isinstance(load_model(str(folder)).model, C2F)

    class StoppedError(Exception):
        pass

    forward, steps = C2FStage.forward, 0

    def stop(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise StoppedError
        return forward(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(C2FStage, "forward", stop)
        with pytest.raises(StoppedError):
            train(tiny_run(tmp_path / "stopped", codec), quiet=True)
    again = train(tiny_run(tmp_path / "stopped", codec), quiet=True)
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": C2FFamily(network=replace(CONFIG, codec="light", variant="best"))}, "variant"),  # type: ignore[arg-type]
        ({"model": C2FFamily(network=CONFIG)}, "'tokenizer' cannot train the codec 'vqgan'"),
        (
            {
                "model": C2FFamily(
                    network=replace(CONFIG, codec="light", backbone=replace(RESNET, pretrained="./nowhere"))
                )
            },
            "nowhere",
        ),
        ({"stages": (StageConfig("c2f", schedule="steps"),)}, "schedule"),  # type: ignore[arg-type]
    ],
)
def test_invalid_runs_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        train(tiny_run(tmp_path / "run", "light", **changes), quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["full", "small", "image"])
def test_the_presets_have_the_sizes_of_their_headers(name: str) -> None:
    options = [("model.network.steps", "1"), ("model.network.transformer.roll", "false")]
    (run,) = read_recipe(f"c2f/{name}", options)
    assert isinstance(run.model, C2FFamily)
    config = run.model.network
    assert config.steps == 1 and not config.transformer.roll
    assert config.windows.mode == "boxes" and config.tokenizer.grid == 16 and config.tokenizer.codes == 256
    with FakeTensorMode():
        c2f = C2F(config)
    layers = {"full": (768, 8, True), "small": (128, 4, True), "image": (768, 12, False)}[name]
    assert (config.transformer.width, config.transformer.depth, config.transformer.temporal) == layers
    assert run.stages[1].sample.augment.sample_degradation(np.random.default_rng(0), False) == Degradation()
    discriminator = 0.66 if config.codec == "vqgan" else 0
    size = {"full": 182.0, "small": 2.2, "image": 190.8}[name]
    assert millions(c2f) - discriminator == pytest.approx(size, rel=0.005)


@pytest.mark.slow
def test_two_processes_train_the_codec_against_its_discriminator(tmp_path: Path) -> None:
    """Adaptive weight, constants and batch norms do not disturb synchronised gradients."""
    config = asdict(tiny_run(tmp_path / "run", "vqgan", processes=2))
    (tmp_path / "run.yaml").write_text(json.dumps(config))  # which is YAML
    root = Path(__file__).parents[3]
    script = [str(root / "scripts" / "train.py"), "--config", str(tmp_path / "run.yaml"), "--quiet"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *script]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(root)}
    done = subprocess.run(launch, capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = load_model(str(tmp_path / "run" / "model")).model
    assert all(value.isfinite().all() for value in loaded.state_dict().values())
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 8 and all(math.isfinite(line["loss"]) for line in lines)


@pytest.mark.slow
def test_a_training_step_of_the_full_model() -> None:
    """Both stages on two frames: finite losses, a gradient for every trained parameter, and that in 16 GB."""
    torch.manual_seed(0)
    c2f = C2F(C2FConfig())
    for kind in (VqGanStage, C2FStage):
        stage = kind(c2f, LossConfig()).train()
        optimizer = make_optimizer(stage, StageConfig(rate=3e-4))
        began, used = time.perf_counter(), time.process_time()
        losses = single_step(stage, random_batch(1, 2, 256))
        losses["loss"].backward()
        optimizer.step()
        spent, used = time.perf_counter() - began, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        loss = float(losses["loss"].detach())
        print(f"{kind.__name__}: {spent:.1f} s, {used:.1f} s of processor, peak {peak:.1f} GB, loss {loss:.3f}")
        assert losses["loss"].isfinite() and peak < 16
        for name, value in stage.named_parameters():
            assert (value.grad is not None and bool(value.grad.isfinite().all())) == value.requires_grad, name
        optimizer.zero_grad()
        c2f.zero_grad()

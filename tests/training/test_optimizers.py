"""Optimisers, their state in checkpoints, and learning rates."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from tests.helpers import small_model
from tests.training.helpers import STAGE, refused, tiny_config, weights
from vidamodal.training.config import StageConfig
from vidamodal.training.optimizers import SeveralOptimizers, make_optimizer, schedule
from vidamodal.training.run import train
from vidamodal.types import InputError


def test_the_rate_warms_up_and_decays_to_one_per_cent() -> None:
    settings = StageConfig(steps=100, warmup=10)
    rates = [schedule(step, settings) for step in range(100)]
    assert rates[0] == 0.1 and rates[9] == 1.0 and max(rates) <= 1.0
    assert all(np.diff(rates[:10]) > 0) and all(np.diff(rates[10:]) < 0)
    assert 0.01 <= rates[-1] < 0.012
    assert all(math.isfinite(schedule(step, StageConfig(steps=3, warmup=0))) for step in range(3))


def test_the_stable_rate_does_not_depend_on_the_length_of_the_run_before_the_cooldown() -> None:
    short, long = (StageConfig(steps=steps, warmup=5, schedule="stable", cooldown=0.2) for steps in (50, 100))
    rates = [schedule(step, short) for step in range(50)]
    assert rates[:41] == [schedule(step, long) for step in range(41)] and rates[5:41] == [1.0] * 36
    np.testing.assert_allclose(rates[40:], 1 - np.arange(10) / 10)


def test_muon_updates_the_matrices_of_blocks_and_adamw_the_rest() -> None:
    model = small_model()
    optimizer = make_optimizer(model, StageConfig(optimizer="muon"))
    assert isinstance(optimizer, SeveralOptimizers)
    muon, adamw = optimizer.parts
    names = {id(weight): name for name, weight in model.named_parameters()}
    turned = {names[id(weight)] for group in muon.param_groups for weight in group["params"]}
    rest = {names[id(weight)] for group in adamw.param_groups for weight in group["params"]}
    assert turned and all(".blocks." in name and name.endswith("weight") for name in turned)
    assert turned | rest == set(names.values()) and not turned & rest
    assert isinstance(make_optimizer(model, StageConfig()), torch.optim.AdamW)


def test_several_optimizers_step_and_restore_as_each_would() -> None:
    def begin() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = small_model()
        return model, make_optimizer(model, StageConfig(optimizer="muon", rate=0.01))

    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for number, weight in enumerate(model.parameters()):
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
        optimizer.step()

    model, optimizer = begin()
    start = copy.deepcopy(model.state_dict())
    step(model, optimizer)
    saved, halfway = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    step(model, optimizer)
    assert all(not torch.equal(start[name], weight) for name, weight in model.named_parameters())
    other, restored = begin()
    other.load_state_dict(halfway)
    restored.load_state_dict(saved)
    step(other, restored)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


def test_a_closure_computes_the_gradients_once() -> None:
    model = small_model()
    optimizer = make_optimizer(model, StageConfig(optimizer="muon", rate=0.01))
    before, calls = copy.deepcopy(model.state_dict()), []

    def closure() -> float:
        optimizer.zero_grad()
        loss = torch.stack([weight.square().sum() for weight in model.parameters()]).sum()
        loss.backward()
        calls.append(loss.item())
        return loss.item()

    assert optimizer.step(closure) == calls[0] and len(calls) == 1
    assert any(not torch.equal(before[name], weight) for name, weight in model.named_parameters())


def stable_stages(steps: int, cooldown: float) -> dict[str, StageConfig]:
    settings = replace(STAGE, steps=steps, optimizer="muon", schedule="stable", cooldown=cooldown)
    return {"tokenizer": replace(STAGE, steps=0), "amodal": settings}


def test_a_run_with_a_stable_rate_can_be_prolonged(tmp_path: Path) -> None:
    for name, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
        AcceleratorState._reset_state(True)
        train(tiny_config(tmp_path / name, **stable_stages(steps, 0.0)), quiet=True)
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")


def test_a_run_that_has_cooled_down_cannot_be_prolonged(tmp_path: Path) -> None:
    train(tiny_config(tmp_path / "run", **stable_stages(4, 0.5)), quiet=True)
    refused(tiny_config(tmp_path / "run", **stable_stages(8, 0.5)), "another config .stages.")


def test_muon_refuses_split_weights(tmp_path: Path) -> None:
    settings = replace(STAGE, steps=1, optimizer="muon")
    with pytest.raises(InputError, match="needs whole matrices"):
        train(tiny_config(tmp_path / "run", shard=True, tokenizer=replace(STAGE, steps=0), amodal=settings), quiet=True)

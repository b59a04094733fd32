"""Checkpoints that survive a kill at any moment: staged beside, fsynced, renamed, then the old ones retired."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one stage of a run: folders `<stage>-<step>`; the highest step that is there is whole."""

    folder: Path
    stage: str
    keep: int = 2

    def save(
        self, step: int, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
    ) -> None:
        """Write model, EMA, optimiser and plain state as of after ``step`` steps."""
        final = self.folder / f"{self.stage}-{step:08d}"
        staged = self.folder / f".{final.name}.partial"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        save_file(_tensors(model.state_dict()), staged / "model.safetensors")
        save_file(_tensors(average.state_dict()), staged / "average.safetensors")
        save_file(_optimizer_tensors(optimizer), staged / "optimizer.safetensors")
        (staged / "state.json").write_text(json.dumps({"step": step, **state}))
        for path in staged.iterdir():
            _sync(path)
        _sync(staged)
        if final.exists():
            shutil.rmtree(final)
        os.rename(staged, final)
        _sync(self.folder)
        for old in self._all()[: -self.keep]:
            shutil.rmtree(old)

    def load(self, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """Put back the newest checkpoint and return its state; None if there is none."""
        found = self._all()
        if not found:
            return None
        model.load_state_dict(load_file(found[-1] / "model.safetensors"))
        average.load_state_dict(load_file(found[-1] / "average.safetensors"))
        _load_optimizer(optimizer, load_file(found[-1] / "optimizer.safetensors"))
        state: dict[str, Any] = json.loads((found[-1] / "state.json").read_text())
        return state

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.stage}-[0-9]*"))


def _tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone().contiguous() for k, v in state.items()}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts by the parameter's number. Rates come from the schedule, not from here."""
    state = optimizer.state_dict()["state"]
    return {f"{n}/{k}": v.detach().cpu().clone().contiguous() for n, entry in state.items() for k, v in entry.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, key = name.split("/")
        entries.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Checkpoints that survive a kill at any moment: staged in a hidden folder, fsynced, renamed, then old ones removed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vidamodal.training.sharding import full, shard_like
from vidamodal.types import InputError


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one stage of a run, in folders `<stage>-<step>`. Every folder of such a name is complete."""

    folder: Path
    stage: str
    keep: int = 2

    def save(
        self,
        step: int,
        model: nn.Module,
        average: nn.Module,
        optimizer: torch.optim.Optimizer,
        state: dict[str, Any],
        write: bool = True,
    ) -> None:
        """Write a checkpoint, and remove all but the newest ``keep``.

        Split tensors are gathered, so that any number of processes can resume: all of them must call this.

        Args:
            step: Number of steps so far.
            model: The model in training.
            average: The moving average of its weights.
            optimizer: The optimiser.
            state: Further plain values.
            write: True if this process writes; exactly one must.
        """
        files = {
            "model": _tensors(model.state_dict()),
            "average": _tensors(average.state_dict()),
            "optimizer": _optimizer_tensors(optimizer),
        }
        if not write:
            return
        final = self.folder / f"{self.stage}-{step:08d}"
        staged = self.folder / f".{final.name}.partial"
        shutil.rmtree(staged, ignore_errors=True)
        try:
            _stage(staged, files, {"step": step, **state})
        except BaseException:  # a full disk stays as full as it was
            shutil.rmtree(staged, ignore_errors=True)
            raise
        if final.exists():
            self._retire(final)
        os.rename(staged, final)
        _sync(self.folder)
        for old in self._all()[: -self.keep]:
            self._retire(old)

    def load(self, model: nn.Module, average: nn.Module) -> dict[str, Any] | None:
        """Load the weights of the newest checkpoint and return its state; None if there is no checkpoint."""
        folders = self._all()
        if not folders:
            return None
        model.load_state_dict(load_file(folders[-1] / "model.safetensors"))
        average.load_state_dict(load_file(folders[-1] / "average.safetensors"))
        state: dict[str, Any] = json.loads((folders[-1] / "state.json").read_text())
        return state

    def load_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Load the moments of the newest checkpoint, if there is one, into an optimiser of whole or split weights."""
        if folders := self._all():
            _load_optimizer(optimizer, load_file(folders[-1] / "optimizer.safetensors"))

    def last_step(self) -> int:
        """Return the number of steps of the newest checkpoint; 0 if there is none."""
        folders = self._all()
        return int(folders[-1].name.rpartition("-")[2]) if folders else 0

    def sweep(self) -> None:
        """Remove what an interruption left half written or half removed."""
        for path in self.folder.glob(f".{self.stage}-[0-9]*"):
            shutil.rmtree(path)

    def _retire(self, old: Path) -> None:
        """Remove a checkpoint after renaming it, so that no folder with its name is incomplete."""
        hidden = self.folder / f".{old.name}.retired"
        shutil.rmtree(hidden, ignore_errors=True)
        os.rename(old, hidden)
        shutil.rmtree(hidden)

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.stage}-[0-9]*"))


def _stage(folder: Path, files: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    """Write the files of a checkpoint, and wait until they are on the disk."""
    folder.mkdir(parents=True)
    for name, tensors in files.items():
        _save(tensors, folder / f"{name}.safetensors")
    (folder / "state.json").write_text(json.dumps(state))
    for path in folder.iterdir():
        _sync(path)
    _sync(folder)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # such as a full disk
        raise OSError(f"{path}: {error}") from error


def _tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    return {k: full(v.detach()).cpu().clone().contiguous() for k, v in state.items()}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return moments and step counts by the number of the parameter. Learning rates come from the schedule."""
    state = optimizer.state_dict()["state"]
    return _tensors({f"{n}/{k}": v for n, entry in state.items() for k, v in entry.items()})


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if any(int(name.split("/")[0]) >= len(parameters) for name in tensors):
        raise InputError(
            "the checkpoint has more trained weights than this version trains. Finish the run with the version that "
            "began it, or choose another output folder."
        )
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, key = name.split("/")
        parameter = parameters[int(number)]
        value = shard_like(value, parameter) if value.shape == parameter.shape else value  # step counts are not split
        entries.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Checkpoints on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from vidamodal.training import checkpoint
from vidamodal.training.checkpoint import Checkpoints


def test_stages_have_separate_checkpoints_and_old_ones_are_removed(tmp_path: Path) -> None:
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


def test_a_checkpoint_that_does_not_fit_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, store = torch.nn.Linear(3, 2), Checkpoints(tmp_path, "one")
    optimizer = torch.optim.AdamW(model.parameters())
    store.save(5, model, model, optimizer, {})

    def fail(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"part")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match=r"model\.safetensors: No space left"):
        store.save(6, model, model, optimizer, {})
    assert [path.name for path in tmp_path.iterdir()] == ["one-00000005"] and store.last_step() == 5

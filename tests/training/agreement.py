"""Agreement of training with any number of processes and accumulated batches."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor
from vector_quantize_pytorch.vector_quantize_pytorch import Codebook

from tests.training import ddp_gradients
from tests.training.helpers import STAGE, environment, logged, tiny_config
from vidamodal.models.folder import load_model
from vidamodal.training.run import train

Learnt = dict[str, Tensor]
"""Gradients and weights as `ddp_gradients` returns them."""


def learn_alone_and_together(folder: Path) -> tuple[Learnt, Learnt]:
    """Return what `ddp_gradients` learns with one process and with two."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = [*launch, ddp_gradients.__file__, str(folder / "two")]
    done = subprocess.run(script, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return ddp_gradients.learn(folder / "one"), load_file(folder / "two" / "learnt.safetensors")


def check_agreement(one: Learnt, two: Learnt, sharded: str) -> None:
    """Compare a step of four clips, in two batches of each process: its gradients, and the weights after it.

    Weights agree to 1e-6, or to 1e-6 of the largest.

    Args:
        one: What one process learnt.
        two: What two processes learnt.
        sharded: "" for whole weights (DDP) or "sharded " (FSDP2).
    """
    for stage in ("tokenizer", "amodal"):
        whole, mine = float(one[f"{stage} counted"]), float(two[f"{sharded}{stage} counted"])
        assert 0 < mine < whole and mine != whole - mine  # each had its own share, of another size than the other's
        for kind, least in (("gradient", 10), ("weight", 30)):
            names = [name for name in one if name.startswith(f"{stage} {kind}")]
            assert len(names) > least
            for name in names:
                value, found = one[name].double(), two[sharded + name].double()
                largest = value.abs().max().item()
                exact = 1e-6 * max(1.0, largest) if kind == "weight" else 1e-5 * largest
                torch.testing.assert_close(found, value, rtol=0, atol=exact, msg=name)
        moved = [name for name in one if name.startswith(f"{stage} weight") and one[name].is_floating_point()]
        begun = {name: one[f"{stage} begun{name.removeprefix(f'{stage} weight')}"] for name in moved}
        assert sum((one[name] - begun[name]).abs().max() > 1e-4 for name in moved) > 10


def check_accumulation(folder: Path, stage: str) -> None:
    """Compare a step in one batch with the same step in two and four.

    Weights and losses agree to 1e-6, the codebook's average too; but for codes that are drawn from the last batch.
    """
    begun = folder / "begun"
    train(tiny_config(begun, tokenizer=replace(STAGE, steps=40)), quiet=True)
    runs = {}
    for accumulate in (1, 2, 4):
        AcceleratorState._reset_state(True)
        settings = replace(STAGE, steps=1, clips=4, warmup=1, rate=1e-4, accumulate=accumulate)
        stages = {"tokenizer": replace(STAGE, steps=0), "amodal": replace(STAGE, steps=0), stage: settings}
        runs[accumulate] = folder / f"{accumulate}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Codebook, "expire_codes_", lambda *_, **__: None)
            train(tiny_config(runs[accumulate], init=str(begun / "model"), save_every=1, **stages), quiet=True)
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

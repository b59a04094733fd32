"""The loop over steps: accumulation and data workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from vector_quantize_pytorch.vector_quantize_pytorch import Codebook

from tests.training.helpers import STAGE, logged, tiny_config, weights
from vidamodal.models.folder import load_model
from vidamodal.training.run import train


@pytest.mark.parametrize("stage", ["tokenizer", "amodal"])
def test_accumulation_does_not_change_the_result(tmp_path: Path, stage: str) -> None:
    """Weights and losses to 1e-6, the codebook's average too; but for codes that are drawn from the last batch."""
    begun = tmp_path / "begun"
    train(tiny_config(begun, tokenizer=replace(STAGE, steps=40)), quiet=True)
    runs = {}
    for accumulate in (1, 2, 4):
        AcceleratorState._reset_state(True)
        settings = replace(STAGE, steps=1, clips=4, warmup=1, rate=1e-4, accumulate=accumulate)
        stages = {"tokenizer": replace(STAGE, steps=0), "amodal": replace(STAGE, steps=0), stage: settings}
        runs[accumulate] = tmp_path / f"{accumulate}"
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


@pytest.mark.parametrize("workers", [1, 2])
def test_data_workers_do_not_change_the_result(unbroken: Path, tmp_path: Path, workers: int) -> None:
    train(tiny_config(tmp_path / "run", workers=workers), quiet=True)
    assert weights(tmp_path / "run") == weights(unbroken)
    assert [line["loss"] for line in logged(tmp_path / "run")] == [line["loss"] for line in logged(unbroken)]

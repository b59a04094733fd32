"""Networks larger than their files are not built, and damaged weights are refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.helpers import CONFIG
from vidamodal.models.construction import check_numbers, construct, count_values
from vidamodal.models.folder import load_model, load_segmenter
from vidamodal.types import InputError


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_network_many_times_larger_than_its_files_is_not_built(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(nn.Linear(100, 10).state_dict(), path)
    assert count_values(path) == 1010
    assert construct(lambda: nn.Linear(100, 10), "config.json", "a model", [path]).weight.shape == (10, 100)
    message = refusal(lambda: construct(lambda: nn.Linear(2**16, 2**16), "config.json", "a model", [path]))
    assert message.startswith("config.json does not describe a model: it has more than ")
    deep = refusal(
        lambda: construct(lambda: [nn.Linear(64, 64) for _ in range(10**9)], "config.json", "a model", [path])
    )
    assert "many more than the files with its weights" in deep


def test_settings_that_do_not_fit_each_other_are_refused() -> None:
    message = refusal(lambda: construct(lambda: 1 // 0, "config.json", "a model"))
    assert message == "config.json does not describe a model: integer division or modulo by zero"


@pytest.mark.parametrize("value", [0, -1, 2**16 + 1])
def test_integers_outside_their_range_are_refused(value: int) -> None:
    check_numbers(replace(CONFIG, overlap=0), "model")
    broken = replace(CONFIG, tokenizer=replace(CONFIG.tokenizer, crop=value))
    assert refusal(lambda: check_numbers(broken, "model")) == (
        f"model.tokenizer.crop must lie between 1 and 65536, not {value}"
    )


def test_numbers_that_are_not_finite_are_refused() -> None:
    assert "model.threshold must be a finite number" in refusal(
        lambda: check_numbers(replace(CONFIG, threshold=float("nan")), "model")
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name, tensor in weights.items() if tensor.is_floating_point() and tensor.numel() > 1)
    weights[name].view(-1)[1] = value
    save_file(weights, folder / "model.safetensors")
    assert f"{name} holds values that are not finite" in refusal(lambda: load_model(str(folder)))


def test_a_pipe_is_not_read(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    assert "no regular file" in refusal(lambda: load_model(str(folder)))


def test_a_segmenter_larger_than_its_files_is_refused(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "vidamodal/assets/models/cumulative"
    folder = shutil.copytree(source, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    torch.manual_seed(0)
    assert load_segmenter(str(folder)).head == "cumulative"
    config["segmenter"]["settings"]["denoiser"]["widths"] = [65536, 65536, 65536]
    (folder / "config.json").write_text(json.dumps(config))
    assert "does not describe a segmenter" in refusal(lambda: load_segmenter(str(folder)))

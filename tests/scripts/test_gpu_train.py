"""Training within a time limit, with a stand-in for the interpreter that trains nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.helpers import ROOT

INTERPRETER = """#!/bin/bash
case "$*" in
    *"cli train"*)
        echo "$*" >> trainings
        [ -d weights ] || exit 3
        while [ "$1" != --output ]; do shift; done
        mkdir -p "$2" && cp -r weights "$2/model" ;;
    *"import torch"*) echo fp32 ;;
    *) exec {python} "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with the script, the worlds it needs, and the stand-in."""
    (tmp_path / "scripts" / "dev").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "dev" / "gpu_train.sh", tmp_path / "scripts" / "dev")
    (tmp_path / "data" / "long-train").mkdir(parents=True)
    for place in ("street", "room", "field"):
        (tmp_path / "data" / f"long-{place}").mkdir()
        (tmp_path / "data" / f"long-{place}" / "worlds.jsonl").touch()
    (tmp_path / "python").write_text(INTERPRETER.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def run(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", "scripts/dev/gpu_train.sh", "run", "carried", "out", "tiny/10-anchors", "9"]
    environment = {**os.environ, "PYTHON": str(checkout / "python"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=checkout)


def test_every_weight_of_the_model_becomes_fp16_and_a_second_run_replaces_it(checkout: Path) -> None:
    files = [Path("model.safetensors"), Path("heads/conv.safetensors")]
    (checkout / "weights" / "heads").mkdir(parents=True)
    for file in files:
        save_file({"weight": torch.ones(2), "count": torch.ones(2, dtype=torch.int64)}, checkout / "weights" / file)
    for _ in range(2):
        done = run(checkout)
        assert done.returncode == 0, done.stderr
        model = checkout / "out" / "model"
        assert sorted(path.relative_to(model) for path in model.rglob("*.safetensors")) == sorted(files)
        for file in files:
            types = {name: value.dtype for name, value in load_file(model / file).items()}
            assert types == {"weight": torch.float16, "count": torch.int64}
    trainings = (checkout / "trainings").read_text().splitlines()
    assert len(trainings) == 6 and all("--validation null" in line for line in trainings)


def test_a_failed_training_ends_the_run_with_its_status(checkout: Path) -> None:
    assert run(checkout).returncode == 3
    assert len((checkout / "trainings").read_text().splitlines()) == 1
    assert not (checkout / "out" / "model").exists()

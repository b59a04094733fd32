"""Several processes, and runs through the script."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from tests.training.agreement import check_agreement, learn_alone_and_together
from tests.training.helpers import ROOT, environment, logged, weights, write_config, write_worlds
from vidamodal.models.folder import load_model


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return learn_alone_and_together(tmp_path_factory.mktemp("ddp"))


@pytest.mark.parametrize("sharded", ["", "sharded "])
def test_two_processes_give_the_gradients_and_weights_of_one(
    one_and_two: tuple[dict[str, Tensor], dict[str, Tensor]], sharded: str
) -> None:
    check_agreement(*one_and_two, sharded)


def launch(config: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), "--config", str(config), "--quiet", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT,
    )  # fmt: skip


@pytest.mark.slow
def test_the_smoke_config_trains_both_stages(tmp_path: Path) -> None:
    run = launch(ROOT / "configs" / "smoke.yaml", "--output", str(tmp_path / "run"))
    _, said = run.communicate()
    assert run.returncode == 0, said[-3000:]
    lines = logged(tmp_path / "run")
    tokenizer, amodal = ([line for line in lines if line["stage"] == stage] for stage in ("tokenizer", "amodal"))
    assert tokenizer[-1]["iou"] > tokenizer[0]["iou"] and tokenizer[-1]["loss"] < tokenizer[0]["loss"]
    assert np.mean([line["loss"] for line in amodal[-3:]]) < np.mean([line["loss"] for line in amodal[:3]])
    load_model(str(tmp_path / "run" / "model"))


def events(folder: Path) -> list[tuple[int, float]]:
    """Step and value of the loss as TensorBoard shows them."""
    return [(event.step, event.value) for event in EventAccumulator(str(folder)).Reload().Scalars("loss")]


@pytest.mark.slow
def test_the_same_command_resumes_after_sigkill(tmp_path: Path) -> None:
    for name in ("killed", "whole"):
        write_config(tmp_path, tmp_path / name, steps=60)
    run = launch(tmp_path / "killed.yaml")
    while not list((tmp_path / "killed").glob("checkpoints/amodal-0000001*")):
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    assert not (tmp_path / "killed" / "model").exists()
    for name in ("killed", "whole"):
        run = launch(tmp_path / f"{name}.yaml")
        _, said = run.communicate()
        assert run.returncode == 0, said[-3000:]
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    for stage in ("tokenizer", "amodal"):  # TensorBoard shows every step once
        shown = [events(tmp_path / name / "tensorboard" / stage) for name in ("killed", "whole")]
        assert shown[0] == shown[1] and len(shown[0]) == 3


@pytest.mark.slow
def test_the_script_exits_with_status_2_if_processes_are_missing(tmp_path: Path) -> None:
    run = launch(ROOT / "configs" / "smoke.yaml", "--output", str(tmp_path / "run"), "--processes", "2")
    _, said = run.communicate()
    assert run.returncode == 2 and said.count("\n") == 1 and "2 processes" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sharded", ["false", "true"])
def test_one_process_resumes_a_run_of_two(tmp_path: Path, sharded: str) -> None:
    """Weights that two processes hold together are written whole, and one process takes up where they stopped."""
    path, run = write_config(tmp_path, tmp_path / "run", steps=6), tmp_path / "run"
    script = [str(ROOT / "scripts" / "train.py"), "--config", str(path), "--quiet"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, *script, "--processes", "2", "--shard", sharded, "--validation", str(write_worlds(tmp_path / "w"))],
        capture_output=True, text=True, env=environment(), cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    load_model(str(run / "model"))
    lines = logged(run)
    assert lines[-1]["validation_full"] > 0
    both = [load_file(run / "model" / name) for name in ("model.safetensors", "heads/conv.safetensors")]
    for folder in (run / "model", run / "checkpoints" / "amodal-00000006"):
        shutil.rmtree(folder)
    one = [sys.executable, *script, "--validation", str(tmp_path / "w")]
    done = subprocess.run(one, capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = [load_file(run / "model" / name) for name in ("model.safetensors", "heads/conv.safetensors")]
    for first, second in zip(both, alone, strict=True):  # of six steps the last one was made by one process
        for name, value in first.items():
            torch.testing.assert_close(second[name], value, rtol=0, atol=1e-5, msg=name)
    scores = [{k: v for k, v in run[-1].items() if "validation" in k} for run in (lines, logged(run))]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_accelerate_reads_its_config_files(name: str) -> None:
    found = load_config_from_file(str(ROOT / "configs" / "accelerate" / f"{name}.yaml"))
    assert found.distributed_type.value == "MULTI_GPU" and found.num_processes == 8 and found.mixed_precision == "no"

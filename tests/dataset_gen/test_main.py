"""The command line of `python -m dataset_gen`: workers, resuming, errors; with Blender, rendered scenes."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dataset_gen.scene_shards import read_shard
from tests.dataset_gen.helpers import (
    ROOT,
    command,
    environment,
    file_hashes,
    needs_blender,
    needs_physics,
    run_command_line,
)
from vidamodal.media.video import open_bytes


@needs_physics
def test_the_number_of_workers_changes_no_byte_and_other_runs_are_refused(tmp_path: Path) -> None:
    base = ("--scenes", 3, "--seed", 0, "--masks-only", "--quiet")
    for workers, hash_seed in ((1, "1"), (2, "2")):
        result = run_command_line("--out", tmp_path / str(workers), *base, "--workers", workers, hash_seed=hash_seed)
        assert result.returncode == 0, result.stderr
    files = file_hashes(tmp_path / "1")
    assert files == file_hashes(tmp_path / "2")
    assert sorted(files) == ["manifest.json", "meshes.safetensors", "worlds.jsonl"]
    other = run_command_line("--out", tmp_path / "1", *base, "--split", "test")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1) and "split is 'train', not 'test'" in other.stderr
    assert file_hashes(tmp_path / "1") == files


@needs_physics
def test_a_killed_run_resumes_with_the_same_result(tmp_path: Path) -> None:
    base = ("--scenes", 10, "--seed", 0, "--masks-only", "--quiet")  # 8 and 2 in a process
    process = subprocess.Popen(command("--out", tmp_path / "killed", *base), cwd=ROOT, env=environment())
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed" / ".work").glob("train-*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "manifest.json").exists()
    for name in ("killed", "whole"):
        assert run_command_line("--out", tmp_path / name, *base).returncode == 0
    assert file_hashes(tmp_path / "killed") == file_hashes(tmp_path / "whole")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenes", "0"], "--scenes"),
        (["--seed", "-1"], "--seed"),
        (["--split", "dev"], "--split"),
        (["--shard", "4/4"], "--shard"),
        (["--shard", "x"], "--shard"),
        (["--size", "65"], "even"),
        (["--masks-only", "--shard", "0/2"], "--shard"),
        (["--masks-only", "--verify", "1"], "--verify"),
        (["--masks-only", "--depth"], "--depth"),
        (["--executor", "slurm"], "--executor"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_bad_arguments_are_one_line_and_write_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run_command_line("--out", tmp_path / "set", "--scenes", 1, "--seed", 0, *arguments)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and message in result.stderr
    assert not (tmp_path / "set").exists()


@pytest.mark.blender
@needs_blender
def test_rendered_scenes_agree_with_their_ground_truth_and_have_the_same_bytes(tmp_path: Path) -> None:
    base = ("--scenes", 2, "--seed", 0, "--split", "test", "--size", 128, "--frames", 2, "--samples", 1, "--quiet")
    one = run_command_line("--out", tmp_path / "one", *base, "--verify", 2)
    assert one.returncode == 0, one.stdout + one.stderr
    assert "core-hours" in one.stdout.splitlines()[0]
    assert re.fullmatch(
        r"2 scenes: visible IoU mean 0\.\d+, least .*; amodal IoU .* objects", one.stdout.splitlines()[-1]
    )
    assert one.stdout.count(": agrees; visible IoU") == 2  # every sufficiently large object has an IoU >= 0.99
    two = run_command_line("--out", tmp_path / "two", *base, "--workers", 2)
    assert two.returncode == 0, two.stderr
    assert file_hashes(tmp_path / "one") == file_hashes(tmp_path / "two")
    assert sorted(file_hashes(tmp_path / "one")) == ["manifest.json", "test-000000.tar"]
    for sample in read_shard(tmp_path / "one" / "test-000000.tar"):
        frames = list(open_bytes(sample.members["mp4"], sample.key).frames())
        assert len(frames) == 2 and frames[0].shape == (128, 128, 3) and frames[0].std() > 10

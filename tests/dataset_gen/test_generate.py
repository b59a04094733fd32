"""Generation gives the same files after killed and concurrent runs, a full disk, and on Ray. stand_in.py renders."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dataset_gen.helpers import ROOT, file_hashes, wait_for

pytestmark = pytest.mark.needs("pybullet", "kubric", "bpy")
STAND_IN = Path(__file__).with_name("stand_in.py")
SCENES = ("--scenes", 3, "--seed", 2**31, "--split", "test", "--size", 32, "--frames", 2, "--quiet")
WORLDS = ("--scenes", 4, "--seed", 0, "--masks-only", "--quiet")


def stand_in_command(out: Path, *arguments: object, program: tuple[object, ...] = (STAND_IN,)) -> list[str]:
    return [sys.executable, *map(str, program), "--out", str(out), *map(str, arguments)]


class Bench:
    """Runs the command with its own log and temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.log, self.temporary = folder / "log", folder / "tmp"
        self.temporary.mkdir()
        self.log.touch()

    def start(self, words: list[str], seconds: float = 0, **options: Any) -> subprocess.Popen[str]:
        variables = {"STAND_IN_LOG": str(self.log), "STAND_IN_SECONDS": str(seconds), "TMPDIR": str(self.temporary)}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
        return subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1", **variables}, **pipes, **options)

    def run(self, words: list[str], status: int = 0, **options: Any) -> str:
        """Run a command to its end; return stderr if it should fail, otherwise stdout."""
        process = self.start(words, **options)
        out, err = process.communicate(timeout=600)
        assert process.returncode == status, out + err
        return err if status else out

    def begun(self) -> list[list[int]]:
        """Return seed, process and parent of each scene that was begun."""
        return [[int(word) for word in line.split()] for line in self.log.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the file hashes of an undisturbed run with one worker."""
    folder = tmp_path_factory.mktemp("whole")
    text = Bench(folder).run(stand_in_command(folder / "set", *SCENES))
    assert "ground truth and writing" in text and "core-hours" in text  # the summary of a rendering run
    return file_hashes(folder / "set")


def test_two_workers_make_the_same_files(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    bench.run(stand_in_command(tmp_path / "set", *SCENES, "--workers", 2))
    assert file_hashes(tmp_path / "set") == whole
    assert sorted(whole) == ["manifest.json", "test-000000.tar"]
    assert len({process for _, process, _ in bench.begun()}) == 3  # a process for each scene


def test_a_killed_run_leaves_no_temporary_files_and_resumes(
    bench: Bench, tmp_path: Path, whole: dict[str, str]
) -> None:
    process = bench.start(stand_in_command(tmp_path / "set", *SCENES, "--workers", 2), seconds=2)
    wait_for(lambda: list((tmp_path / "set" / ".work").glob("test-*")) and len(bench.begun()) == 3)
    process.kill()
    process.communicate()
    (tmp_path / "set" / ".work" / ".0123456789abcdef").mkdir()  # a scene that was being written
    assert list(bench.temporary.iterdir()) and not (tmp_path / "set" / "manifest.json").exists()
    bench.run(stand_in_command(tmp_path / "set", *SCENES))
    assert file_hashes(tmp_path / "set") == whole
    assert not list(bench.temporary.iterdir())


def test_a_killed_worker_is_one_line_and_the_run_resumes(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    process = bench.start(stand_in_command(tmp_path / "set", *SCENES), seconds=0.5)
    wait_for(bench.begun)
    os.kill(bench.begun()[0][1], signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1 and err.count("\n") == 1 and "a worker process died (exit status -9)" in err
    bench.run(stand_in_command(tmp_path / "set", *SCENES))
    assert file_hashes(tmp_path / "set") == whole


def test_two_runs_at_once_share_the_work(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    runs = [bench.start(stand_in_command(tmp_path / "set", *SCENES), seconds=1) for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=600)
        assert run.returncode == 0, out + err
    assert file_hashes(tmp_path / "set") == whole
    assert Counter(seed - 2**31 for seed, *_ in bench.begun()) == dict.fromkeys(range(3), 1)


def test_a_run_takes_over_from_one_that_was_killed(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    other = bench.start(stand_in_command(tmp_path / "set", *SCENES), seconds=600)
    wait_for(bench.begun)
    run = bench.start(stand_in_command(tmp_path / "set", *SCENES))
    wait_for(lambda: len(list((tmp_path / "set" / ".work").glob("test-*"))) == 2)  # all but the first
    time.sleep(1)
    assert run.poll() is None
    other.kill()
    other.communicate()
    out, err = run.communicate(timeout=600)
    assert run.returncode == 0, out + err
    assert file_hashes(tmp_path / "set") == whole


def test_runs_with_different_seeds_cannot_share_a_folder(bench: Bench, tmp_path: Path) -> None:
    runs = [bench.start(stand_in_command(tmp_path / "set", *SCENES, "--seed", seed)) for seed in (1, 2)]
    texts = [run.communicate(timeout=600)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2]
    assert sum("holds a different run (seed" in text for text in texts) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_one_line_and_the_run_resumes(
    bench: Bench, tmp_path: Path, small_disk: Path, whole: dict[str, str]
) -> None:
    out = small_disk / "set"
    (small_disk / "other").write_bytes(bytes(200_000))
    err = bench.run(stand_in_command(out, *SCENES, "--workers", 2), status=1)
    assert err.count("\n") == 1 and "No space left on device" in err
    assert not (out / "manifest.json").exists()
    assert not list((out / ".work").glob(".*"))  # nothing half written
    (small_disk / "other").unlink()
    bench.run(stand_in_command(out, *SCENES))
    assert file_hashes(out) == whole


@pytest.mark.parametrize("arguments", [SCENES, WORLDS])
def test_a_file_that_cannot_be_written_is_one_line_and_the_run_resumes(
    bench: Bench, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    """Only the final files are large enough to exceed the limit."""
    program: tuple[object, ...] = (STAND_IN,) if arguments is SCENES else ("-m", "dataset_gen")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    words = stand_in_command(tmp_path / "set", *arguments, program=program)
    err = bench.run(words, status=1, preexec_fn=limit)
    assert err.count("\n") == 1 and "File too large" in err
    assert [path.name for path in (tmp_path / "set").iterdir()] == [".work"]
    bench.run(words)
    bench.run(stand_in_command(tmp_path / "again", *arguments, program=program))
    assert file_hashes(tmp_path / "set") == file_hashes(tmp_path / "again")


@pytest.mark.slow
@pytest.mark.needs("ray")
def test_a_cluster_of_two_machines_makes_the_same_files(
    bench: Bench, tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("STAND_IN_LOG", str(bench.log))  # Ray's processes have the environment of their machine
    monkeypatch.setenv("STAND_IN_SECONDS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    machine: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=machine)
    try:
        cluster.add_node(**machine)
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        bench.run(stand_in_command(tmp_path / "set", *SCENES, "--executor", "ray"))
        assert file_hashes(tmp_path / "set") == whole
        _, processes, machines = zip(*bench.begun(), strict=True)
        assert (len(processes), len(set(processes)), len(set(machines))) == (3, 3, 2)
        module = ("-m", "dataset_gen")
        bench.run(stand_in_command(tmp_path / "worlds", *WORLDS, "--executor", "ray", program=module))
        bench.run(stand_in_command(tmp_path / "local", *WORLDS, program=module))
        assert file_hashes(tmp_path / "worlds") == file_hashes(tmp_path / "local")
    finally:
        cluster.shutdown()

"""Jobs: killed and crowded runs, a full disk, Ray: the same files in the end. A stand-in renders (stand_in.py)."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_gen.jobs import Run
from dataset_gen.locks import Locks, scratch_folder
from dataset_gen.timing import summary
from vidamodal.media.files import atomic_folder

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("stand_in.py")


pytestmark = pytest.mark.needs("pybullet", "kubric", "bpy")
SCENES = ("--scenes", 3, "--seed", 2**31, "--split", "test", "--size", 32, "--frames", 2, "--quiet")
WORLDS = ("--scenes", 4, "--seed", 0, "--masks-only", "--quiet")


def command(out: Path, *arguments: object, program: tuple[object, ...] = (STAND_IN,)) -> list[str]:
    return [sys.executable, *map(str, program), "--out", str(out), *map(str, arguments)]


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Bench:
    """Runs the command with a log and a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.log, self.temporary = folder / "log", folder / "tmp"
        self.temporary.mkdir()
        self.log.touch()

    def start(self, words: list[str], seconds: float = 0, **options: Any) -> subprocess.Popen[str]:
        own = {"STAND_IN_LOG": str(self.log), "STAND_IN_SECONDS": str(seconds), "TMPDIR": str(self.temporary)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
        return subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1", **own}, **pipes, **options)

    def run(self, words: list[str], status: int = 0, **options: Any) -> str:
        """Its last word: stderr where it fails, else stdout."""
        process = self.start(words, **options)
        out, err = process.communicate(timeout=600)
        assert process.returncode == status, out + err
        return err if status else out

    def begun(self) -> list[list[int]]:
        """Seed, process and parent of each scene that was begun."""
        return [[int(word) for word in line.split()] for line in self.log.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of an undisturbed run with one worker."""
    folder = tmp_path_factory.mktemp("whole")
    text = Bench(folder).run(command(folder / "set", *SCENES))
    assert "truth and writing" in text and "core-hours" in text  # the summary of a rendering run
    return hashes(folder / "set")


def test_two_workers_make_the_same_files(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    bench.run(command(tmp_path / "set", *SCENES, "--workers", 2))
    assert hashes(tmp_path / "set") == whole
    assert sorted(whole) == ["manifest.json", "test-000000.tar"]
    assert len({process for _, process, _ in bench.begun()}) == 3  # a process for each scene


def test_a_killed_run_leaves_nothing_and_ends_the_same(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    process = bench.start(command(tmp_path / "set", *SCENES, "--workers", 2), seconds=2)
    wait_for(lambda: list((tmp_path / "set" / ".work").glob("test-*")) and len(bench.begun()) == 3)
    process.kill()
    process.communicate()
    (tmp_path / "set" / ".work" / ".0123456789abcdef").mkdir()  # a scene that was being written
    assert list(bench.temporary.iterdir()) and not (tmp_path / "set" / "manifest.json").exists()
    bench.run(command(tmp_path / "set", *SCENES))
    assert hashes(tmp_path / "set") == whole
    assert not list(bench.temporary.iterdir())


def test_a_killed_worker_is_one_line_and_the_run_goes_on(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    process = bench.start(command(tmp_path / "set", *SCENES), seconds=0.5)
    wait_for(bench.begun)
    os.kill(bench.begun()[0][1], signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1 and err.count("\n") == 1 and "a worker process died (exit status -9)" in err
    bench.run(command(tmp_path / "set", *SCENES))
    assert hashes(tmp_path / "set") == whole


def test_two_runs_at_once_share_the_work(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    runs = [bench.start(command(tmp_path / "set", *SCENES), seconds=1) for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=600)
        assert run.returncode == 0, out + err
    assert hashes(tmp_path / "set") == whole
    assert Counter(seed - 2**31 for seed, *_ in bench.begun()) == dict.fromkeys(range(3), 1)


def test_a_run_takes_over_from_one_that_was_killed(bench: Bench, tmp_path: Path, whole: dict[str, str]) -> None:
    other = bench.start(command(tmp_path / "set", *SCENES), seconds=600)
    wait_for(bench.begun)
    run = bench.start(command(tmp_path / "set", *SCENES))
    wait_for(lambda: len(list((tmp_path / "set" / ".work").glob("test-*"))) == 2)  # all but the first
    time.sleep(1)
    assert run.poll() is None
    other.kill()
    other.communicate()
    out, err = run.communicate(timeout=600)
    assert run.returncode == 0, out + err
    assert hashes(tmp_path / "set") == whole


def test_runs_of_different_seeds_cannot_begin_in_one_folder(bench: Bench, tmp_path: Path) -> None:
    runs = [bench.start(command(tmp_path / "set", *SCENES, "--seed", seed)) for seed in (1, 2)]
    texts = [run.communicate(timeout=600)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2]
    assert sum("holds another run (seed" in text for text in texts) == 1


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_one_line_and_the_run_goes_on(
    bench: Bench, tmp_path: Path, small_disk: Path, whole: dict[str, str]
) -> None:
    out = small_disk / "set"
    (small_disk / "other").write_bytes(bytes(200_000))
    err = bench.run(command(out, *SCENES, "--workers", 2), status=1)
    assert err.count("\n") == 1 and "No space left on device" in err
    assert not (out / "manifest.json").exists()
    assert not list((out / ".work").glob(".*"))  # nothing half written
    (small_disk / "other").unlink()
    bench.run(command(out, *SCENES))
    assert hashes(out) == whole


@pytest.mark.parametrize("arguments", [SCENES, WORLDS])
def test_a_file_that_cannot_be_written_is_one_line_and_the_run_goes_on(
    bench: Bench, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    """The files of a finished set are larger than those it is made of: none but they fail here."""
    program: tuple[object, ...] = (STAND_IN,) if arguments is SCENES else ("-m", "dataset_gen")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    words = command(tmp_path / "set", *arguments, program=program)
    err = bench.run(words, status=1, preexec_fn=limit)
    assert err.count("\n") == 1 and "File too large" in err
    assert [path.name for path in (tmp_path / "set").iterdir()] == [".work"]
    bench.run(words)
    bench.run(command(tmp_path / "again", *arguments, program=program))
    assert hashes(tmp_path / "set") == hashes(tmp_path / "again")


# Ray


@pytest.mark.slow
@pytest.mark.needs("ray")
def test_a_cluster_of_two_machines_makes_the_same_files(
    bench: Bench, tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("STAND_IN_LOG", str(bench.log))  # Ray's processes have the environment of their machine
    monkeypatch.setenv("STAND_IN_SECONDS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    machine = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=machine)
    try:
        cluster.add_node(**machine)
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        bench.run(command(tmp_path / "set", *SCENES, "--executor", "ray"))
        assert hashes(tmp_path / "set") == whole
        _, processes, machines = zip(*bench.begun(), strict=True)
        assert (len(processes), len(set(processes)), len(set(machines))) == (3, 3, 2)
        module = ("-m", "dataset_gen")
        bench.run(command(tmp_path / "worlds", *WORLDS, "--executor", "ray", program=module))
        bench.run(command(tmp_path / "local", *WORLDS, program=module))
        assert hashes(tmp_path / "worlds") == hashes(tmp_path / "local")
    finally:
        cluster.shutdown()


def test_ray_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataset_gen.__main__ import main

    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["--out", str(tmp_path / "set"), *map(str, WORLDS), "--executor", "ray"]) == 2
    assert "install the extra [ray]" in capsys.readouterr().err


# Parts


def test_locks_hold_between_processes_and_end_with_theirs(tmp_path: Path) -> None:
    code = f"""
import sys, time; from pathlib import Path; from dataset_gen.locks import Locks
locks = Locks(Path({str(tmp_path / "locks")!r})); print(locks.take(3), flush=True); time.sleep(600)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert other.stdout is not None and other.stdout.readline() == "True\n"
    locks = Locks(tmp_path / "locks")
    assert (locks.take(3), locks.take(4)) == (False, True)
    other.kill()
    other.communicate()
    wait_for(lambda: locks.take(3))
    assert not locks.lost
    (tmp_path / "locks").unlink()
    assert locks.lost
    locks.close()


def test_scratch_of_the_dead_is_removed_and_that_of_the_living_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "vidamodal-scratch-dead").mkdir()
    (tmp_path / "vidamodal-scratch-dead" / "frame.exr").touch()
    with scratch_folder() as first, scratch_folder() as second:
        assert sorted(tmp_path.iterdir()) == sorted([first, second])
    assert not list(tmp_path.iterdir())


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), atomic_folder(tmp_path / "scene") as folder:
        (folder / "a").touch()
        raise OSError("full")
    assert not list(tmp_path.iterdir())
    for content in ("first", "second"):
        with atomic_folder(tmp_path / "scene") as folder:
            (folder / "a").write_text(content)
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]
    assert (tmp_path / "scene" / "a").read_text() == "first"


def test_settings_of_a_run_name_newer_fields_only_where_they_are_used() -> None:
    plain = Run(1, 0, "test", "movid_a", 128, 24, 16, False)
    names = ["scenes", "seed", "split", "preset", "size", "frames", "samples", "masks_only", "generator"]
    assert list(plain.settings()) == names
    assert Run(1, 0, "test", "movid_a", 128, 24, 16, False, depth=True).settings() == {
        **plain.settings(),
        "depth": True,
    }
    assert json.loads(json.dumps(plain.settings())) == plain.settings()


def test_summary_of_where_the_time_went() -> None:
    line = summary(2, 24, {"all": 140.0, "blender": 130.0, "cycles": 126.0, "truth": 2.0, "write": 1.0, "own": 1.0})
    assert line == (
        "70.5 CPU-s a scene (2.94 a frame): Cycles 63.0, rest of Blender 2.0, truth and writing 2.0, "
        "start-up and settling 3.5; all is 1.12 x Cycles, truth and writing 3.2% of it; "
        "838 such videos: 16.4 core-hours"
    )

"""Prediction of many videos: results, the manifest, resume, failures and killed processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import vidamodal
from tests.batch.helpers import LocalWorker, results, write_videos
from vidamodal.batch import workers
from vidamodal.batch.predict_videos import BatchResult, predict_videos
from vidamodal.cli import main
from vidamodal.media.mask_images import write_object_masks
from vidamodal.tracks import read_tracks
from vidamodal.types import InputError

ROOT = Path(__file__).parents[2]
KEYS = ["a", "b", "c"]


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> type[LocalWorker]:
    """Workers in the process of the test, and no waiting for the disk."""
    monkeypatch.setattr(workers, "_Process", lambda _: LocalWorker())
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(LocalWorker, "calls", 0)
    monkeypatch.setattr(LocalWorker, "dies_in", frozenset())
    return LocalWorker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("set")
    write_videos(path, KEYS)
    return path


@pytest.fixture
def predict(folder: Path, model_folder: Path, tmp_path: Path, local: type[LocalWorker]) -> partial[BatchResult]:
    return partial(
        predict_videos, videos=folder / "videos", masks=folder / "masks", out=tmp_path / "out",
        model=str(model_folder), formats=["tracks", "png"],
    )  # fmt: skip


Predict = partial[BatchResult]


def test_each_result_is_that_of_a_single_prediction(
    predict: Predict, folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    done = predict(workers=2)
    assert done.status == 0 and not done.failures and done.manifest == tmp_path / "out" / "manifest.json"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*KEYS, "manifest.json"]
    for key in KEYS:
        vidamodal.predict(
            folder / "videos" / f"{key}.mp4", folder / "masks" / f"{key}.tracks.json", tmp_path / "single" / key,
            model=str(model_folder), formats=["tracks", "png"],
        )  # fmt: skip
        assert results(tmp_path / "single" / key) == results(tmp_path / "out" / key)


def test_the_manifest_lists_every_outcome_and_no_time_or_place(predict: Predict, folder: Path, tmp_path: Path) -> None:
    predict()
    text = (tmp_path / "out" / "manifest.json").read_text()
    record = json.loads(text)
    assert record["format"] == "vidamodal-predictions" and list(record["videos"]) == KEYS
    assert {entry["outcome"] for entry in record["videos"].values()} == {"done"}
    assert str(tmp_path) not in text and str(folder) not in text and "seconds" not in text


def test_a_failure_is_listed_and_does_not_stop_the_others(
    predict: Predict, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "set")
    paths = {"videos": tmp_path / "set" / "videos", "masks": tmp_path / "set" / "masks"}
    (paths["videos"] / "b.mp4").write_bytes(b"nothing")
    done = predict(**paths)
    assert done.status == 2 and list(done.failures) == ["b"] and done.entries["c"]["outcome"] == "done"
    assert done.failures["b"].startswith("b.mp4: cannot be read")
    shutil.copy(folder / "videos" / "b.mp4", paths["videos"])
    again = predict(**paths)
    assert again.status == 0 and again.resumed == 2

    def full(*arguments: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(vidamodal.inference.prediction.Prediction, "_write", full)
    assert predict(**paths, out=tmp_path / "full").status == 1


def test_only_what_is_not_complete_is_predicted_again(
    predict: Predict, tmp_path: Path, local: type[LocalWorker]
) -> None:
    predict()
    whole = results(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "a")
    (tmp_path / "out" / "b" / "amodal").rename(tmp_path / "elsewhere")
    (tmp_path / "out" / "c" / ".vidamodal-killed00").mkdir()  # what a killed prediction leaves
    local.calls = 0
    assert predict().resumed == 0 and local.calls == 1 + 3
    assert results(tmp_path / "out") == whole and not (tmp_path / "out" / "c" / ".vidamodal-killed00").exists()
    local.calls = 0
    assert predict().resumed == 3 and local.calls == 1


def test_other_settings_and_changed_inputs_are_predicted_again(predict: Predict, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "set")
    paths = {"videos": tmp_path / "set" / "videos", "masks": tmp_path / "set" / "masks"}
    predict(**paths)
    later = (tmp_path / "out" / "a" / "run.json").stat().st_mtime + 5
    os.utime(paths["masks"] / "a.tracks.json", (later, later))
    assert predict(**paths).resumed == 2
    shutil.copytree(paths["masks"], tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        os.utime(path, (0, 0))
    assert predict(**paths | {"masks": tmp_path / "other"}).resumed == 0
    other = predict(**paths, formats=["tracks"])
    assert other.resumed == 0 and any("other settings" in note for note in other.notes)
    assert not (tmp_path / "out" / "b" / "amodal").exists()


def test_shards_divide_the_videos(predict: Predict, tmp_path: Path) -> None:
    assert list(predict(shard="0/2").entries) == ["a", "c"]
    assert list(predict(shard="1/2").entries) == ["b"]
    assert sorted(p.name for p in (tmp_path / "out").glob("*.json")) == ["manifest-0-of-2.json", "manifest-1-of-2.json"]
    assert predict().resumed == 3
    assert [p.name for p in (tmp_path / "out").glob("*.json")] == ["manifest.json"]
    for wrong in ("2/2", "x", "1/0"):
        with pytest.raises(InputError, match="shard"):
            predict(shard=wrong)


def test_parts_count_after_a_whole_run_that_was_interrupted(predict: Predict, tmp_path: Path) -> None:
    path = predict().manifest
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "videos": {key: {"outcome": "waiting"} for key in KEYS}}))
    for shard in ("0/2", "1/2"):
        predict(shard=shard)
    assert predict().resumed == 3


def test_a_removed_mask_is_noticed(predict: Predict, folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for key in KEYS:
        for track in read_tracks(folder / "masks" / f"{key}.tracks.json").tracks:
            write_object_masks(masks / key, track.id, track.visible)
    predict(masks=masks)
    removed = min((masks / "b").rglob("*.png"))
    removed.unlink()
    later = (tmp_path / "out" / "b" / "run.json").stat().st_mtime + 5
    os.utime(removed.parent, (later, later))
    assert predict(masks=masks).resumed == 2


def test_a_call_whose_worker_dies_is_repeated(predict: Predict, local: type[LocalWorker]) -> None:
    local.dies_in = frozenset({2, 4})
    assert predict().status == 0
    local.calls, local.dies_in = 0, frozenset({2, 3, 4})  # every try of the first video
    failed = predict(formats=["tracks"])
    assert failed.status == 1 and list(failed.failures) == ["a"] and "exit status -9" in failed.failures["a"]


def test_what_would_mix_results_and_inputs_is_refused(predict: Predict, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which is read"):
        predict(out=folder / "videos" / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not the manifest of predictions"):
        predict()
    with pytest.raises(InputError, match="unknown format"):
        predict(formats=["nosuch"])
    with pytest.raises(TypeError, match="'nosuch'"):
        predict(nosuch=1)


def test_the_command_reports_failures_and_its_status(
    predict: Predict, folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "set")
    (tmp_path / "set" / "videos" / "b.mp4").write_bytes(b"nothing")
    words = ["predict", str(tmp_path / "set" / "videos"), "--masks", str(tmp_path / "set" / "masks"), "--model"]
    with pytest.raises(SystemExit) as left:
        main([*words, str(model_folder), "--out", str(tmp_path / "out"), "--formats", "tracks"])
    out, err = capsys.readouterr()
    assert left.value.code == 2 and "2 of 3 videos predicted" in out
    assert "note: videos: 3 videos" in err and "failed: b: b.mp4: cannot be read" in err and "Traceback" not in err
    with pytest.raises(SystemExit) as left:
        main([*words[:1], str(folder / "videos" / "a.mp4"), "--out", str(tmp_path / "one"), "--workers", "2"])
    assert left.value.code == 2 and "is one video" in capsys.readouterr().err


def command(folder: Path, model_folder: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "vidamodal.cli", "predict", str(folder / "videos"), "--masks", str(folder / "masks"),
        "--out", str(out), "--model", str(model_folder), *more,
    ]  # fmt: skip


def children(process: int) -> list[int]:
    """Return the processes that a process has started, without Python's own helper."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [pid for pid in map(int, listed) if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def wait_for(condition: Any) -> None:
    for _ in range(24000):  # a busy machine starts slowly
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="lists child processes")
def test_killed_workers_and_drivers_leave_the_same_files(model_folder: Path, tmp_path: Path) -> None:
    write_videos(tmp_path / "set", [f"v{k}" for k in range(8)], frames=6)
    arguments = partial(command, tmp_path / "set", model_folder)
    subprocess.run(arguments(tmp_path / "whole"), check=True)
    out = tmp_path / "out"

    def started() -> bool:
        return any(out.glob("v*"))

    driver = subprocess.Popen(arguments(out, "--workers", "2"))
    wait_for(started)
    worker = children(driver.pid)[0]
    os.kill(worker, signal.SIGKILL)  # a worker: its video is predicted again by another one
    assert driver.wait() == 0 and results(out) == results(tmp_path / "whole")
    shutil.rmtree(out)

    driver = subprocess.Popen(arguments(out, "--workers", "2"))
    wait_for(started)
    left = children(driver.pid)
    driver.kill()  # the driver: its workers end, and the same command goes on
    driver.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    subprocess.run(arguments(out, "--workers", "2"), check=True)
    assert results(out) == results(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.needs("ray")
def test_a_cluster_of_two_machines_makes_the_same_files(
    folder: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    subprocess.run(command(folder, model_folder, tmp_path / "local"), check=True)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    machine: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=machine)
    try:
        cluster.add_node(**machine)
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        subprocess.run(command(folder, model_folder, tmp_path / "ray", "--executor", "ray"), check=True)
    finally:
        cluster.shutdown()
    assert results(tmp_path / "ray") == results(tmp_path / "local")

"""dataset_gen: assets, sampling, settling, files, resuming; with Blender also whole rendered scenes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.assets import SPLITS, asset, asset_ids, reserved_ids
from dataset_gen.jobs import Run, generate
from dataset_gen.sample import sample_scene
from dataset_gen.truth import meshes_of, rendered_truth
from dataset_gen.write import hidden_shares, read_shard, scene_line, write_scene
from vidamodal.formats.tracks import dumps_tracks
from vidamodal.media.video import open_bytes, open_video
from vidamodal.types import InputError
from vidamodal.worlds.spec import SceneSpec, place

ROOT = Path(__file__).parents[2]
needs_things = pytest.mark.needs("pybullet_data")
needs_physics = pytest.mark.needs("pybullet", "kubric")
needs_blender = pytest.mark.needs("pybullet", "kubric", "bpy")

ALL_IDS = [name for split in SPLITS for family in asset_ids(split).values() for name in family]


def run_cli(*arguments: object, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, env=environment(hash_seed))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dataset_gen", *map(str, arguments)]


def environment(hash_seed: str = "0") -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": hash_seed}


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


# Assets


@needs_things
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ALL_IDS))
def test_asset_is_made_of_closed_convex_parts_with_outward_faces(name: str) -> None:
    item = asset(name)
    assert np.ptp(item.mesh.vertices, axis=0).max() == pytest.approx(1, abs=1e-5)
    for part in item.parts:
        edges = Counter((a, b) for f in part.faces.tolist() for a, b in zip(f, f[1:] + f[:1], strict=True))
        assert all(n == 1 and edges[b, a] == 1 for (a, b), n in edges.items())
        corners = part.vertices[part.faces].astype(float)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        outward = np.einsum("fc,fc->f", normals, corners[:, 0] - part.vertices.mean(axis=0))
        assert outward.min() > -1e-6 and outward.sum() > 0


def test_no_split_shares_an_asset_or_uses_a_reserved_one() -> None:
    assert len(ALL_IDS) == len(set(ALL_IDS))
    assert len(reserved_ids()) == 300 and not reserved_ids() & set(ALL_IDS)
    assert all(asset_ids(split).keys() == asset_ids("train").keys() for split in SPLITS)


@pytest.mark.parametrize("name", ["random_urdfs/001", "mug/9999", "teapot/0001", "../mug"])
def test_asset_outside_the_splits_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="in no split"):
        asset(name)


# Sampling


@needs_things
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_scene_depends_on_its_seed_alone(seed: int) -> None:
    program = (
        "import sys; from dataset_gen.sample import sample_scene; from dataset_gen.write import scene_line;"
        "sys.stdout.write(scene_line(sample_scene('movid_a', 'test', int(sys.argv[1]))))"
    )
    lines = {
        subprocess.run(
            [sys.executable, "-c", program, str(seed)],
            cwd=ROOT, env=environment(hash_seed), capture_output=True, text=True, check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }  # fmt: skip
    assert lines == {scene_line(sample_scene("movid_a", "test", seed))}


@needs_things
def test_seed_split_and_frames_make_the_difference_they_should() -> None:
    scene = sample_scene("movid_a", "train", 0)
    assert scene.objects != sample_scene("movid_a", "train", 1).objects
    assert scene.objects != sample_scene("movid_a", "test", 0).objects
    short = sample_scene("movid_a", "train", 0, size=64, frames=5)
    assert (short.objects, short.light, short.camera.positions[0]) == (
        scene.objects, scene.light, scene.camera.positions[0],
    )  # fmt: skip
    assert len(short.camera.positions) == len(short.camera.targets) == short.frames == 5


@needs_things
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(SPLITS))
def test_scene_survives_json_and_starts_without_contact(seed: int, split: str) -> None:
    scene = sample_scene("movid_a", split, seed, size=64, frames=4)
    assert SceneSpec.from_json(json.loads(scene_line(scene))) == scene
    assert 10 <= len(scene.objects) <= 20
    assert {o.asset for o in scene.objects} <= {name for ids in asset_ids(split).values() for name in ids}
    points = [place(asset(o.asset).mesh, o.scale, o.poses[0]) for o in scene.objects]
    centres = [np.array(o.poses[0].position) for o in scene.objects]
    radii = [np.linalg.norm(p - c, axis=1).max() for p, c in zip(points, centres, strict=True)]
    gaps = [np.linalg.norm(centres[i] - centres[j]) - radii[i] - radii[j] for i in range(len(radii)) for j in range(i)]
    assert min(gaps) > -1e-3 and min(p[:, 2].min() for p in points) > 0


# Settling


@needs_physics
def test_objects_come_to_rest_in_a_heap_that_occludes_itself() -> None:
    from dataset_gen.simulate import ARENA, settle

    scenes = [settle(sample_scene("movid_a", "train", seed, size=128, frames=3)) for seed in range(4)]
    again = settle(sample_scene("movid_a", "train", 3, size=128, frames=3))
    assert again == scenes[3]  # whatever was settled before in the same process
    shares = []
    for scene in scenes:
        assert 10 <= len(scene.objects) <= 20
        assert [o.id for o in scene.objects] == list(range(1, len(scene.objects) + 1))
        for item in scene.objects:
            points = place(asset(item.asset).mesh, item.scale, item.poses[0])
            assert points[:, 2].min() > -0.05
            assert np.abs(item.poses[0].position[:2]).max() < ARENA
        clip = rendered_truth(scene, meshes_of(scene), "clip.mp4")
        dumps_tracks(clip)  # checks the format's promises
        shares += hidden_shares(clip)
    assert 0.25 < np.mean(shares) < 0.6
    assert np.mean(np.array(shares) == 1) < 0.2


# Files


def noise(frames: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (frames, size // 8, size // 8, 3), dtype=np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


@needs_physics
def test_scene_files_have_the_same_bytes_every_time_and_nearly_the_frames(tmp_path: Path) -> None:
    spec = sample_scene("movid_a", "train", 5, 64, 5)
    clip, rgb = rendered_truth(spec, meshes_of(spec), "train-00000005.mp4"), noise(5, 64)
    for name in ("a", "b"):
        write_scene(tmp_path / name, spec, clip, rgb)
    video = tmp_path / "a" / "train-00000005.mp4"
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    frames = np.stack(list(open_video(video).frames()))
    assert open_video(video).info.fps == 12.0
    assert np.abs(frames.astype(int).mean(axis=3) - rgb.mean(axis=3)).mean() < 4


@pytest.fixture
def scene_folders(tmp_path: Path) -> tuple[Run, Path]:
    """A run of 20 tiny scenes of which nothing is missing but the shards: unsettled objects, noise for pictures."""
    run = Run(20, 5, "train", "movid_a", size=32, frames=2, samples=1, masks_only=False)
    out = tmp_path / "set"
    work = out / ".work"
    work.mkdir(parents=True)
    (work / "run.json").write_text(json.dumps(run.settings()))
    for seed in run.seeds:
        spec = sample_scene(run.preset, run.split, seed, run.size, run.frames)
        folder = work / f"train-{seed:08d}"
        folder.mkdir()
        write_scene(folder, spec, rendered_truth(spec, meshes_of(spec), f"{folder.name}.mp4"), noise(2, 32))
    return run, out


@needs_physics
def test_shards_hold_sixteen_scenes_in_seed_order_with_constant_headers(scene_folders: tuple[Run, Path]) -> None:
    run, out = scene_folders
    assert not generate(run, out, part=(1, 2), quiet=True).finished  # the first part's shard is missing yet
    assert not (out / "manifest.json").exists()
    assert generate(run, out, part=(0, 2), quiet=True).finished
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "train-000000.tar", "train-000001.tar"]
    samples = [list(read_shard(out / f"train-00000{k}.tar")) for k in (0, 1)]
    assert [len(part) for part in samples] == [16, 4]
    assert [sample.spec.seed for part in samples for sample in part] == list(run.seeds)
    assert all(sample.clip.exhaustive and sample.clip.order for sample in samples[0])
    with tarfile.open(out / "train-000000.tar") as tar:
        infos = tar.getmembers()
    assert [info.name for info in infos[:4]] == [
        "train-00000005.mp4", "train-00000005.tracks.json", "train-00000005.scene.json", "train-00000006.mp4",
    ]  # fmt: skip
    assert {(info.mtime, info.uid, info.gid, info.uname, info.mode) for info in infos} == {(0, 0, 0, "", 0o644)}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"]["scenes"] == 20
    assert manifest["counts"]["object_frames"] == sum(manifest["occlusion"]["object_frames"])
    before = hashes(out)
    assert generate(run, out, quiet=True).finished and hashes(out) == before


# Command line


@needs_physics
def test_workers_change_no_byte_and_other_runs_are_refused(tmp_path: Path) -> None:
    base = ("--scenes", 3, "--seed", 0, "--masks-only", "--quiet")
    for workers, hash_seed in ((1, "1"), (2, "2")):
        result = run_cli("--out", tmp_path / str(workers), *base, "--workers", workers, hash_seed=hash_seed)
        assert result.returncode == 0, result.stderr
    files = hashes(tmp_path / "1")
    assert files == hashes(tmp_path / "2")
    assert sorted(files) == ["manifest.json", "meshes.safetensors", "worlds.jsonl"]
    other = run_cli("--out", tmp_path / "1", *base, "--split", "test")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1) and "split 'train' not 'test'" in other.stderr
    assert hashes(tmp_path / "1") == files


@needs_physics
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
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
        assert run_cli("--out", tmp_path / name, *base).returncode == 0
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


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
    result = run_cli("--out", tmp_path / "set", "--scenes", 1, "--seed", 0, *arguments)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and message in result.stderr
    assert not (tmp_path / "set").exists()


@needs_physics
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    result = run_cli("--out", tmp_path, "--scenes", 1, "--seed", 0, "--masks-only")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


# Blender


@pytest.mark.blender
@needs_blender
def test_rendered_scenes_agree_with_their_truth_and_have_the_same_bytes(tmp_path: Path) -> None:
    base = ("--scenes", 2, "--seed", 0, "--split", "test", "--size", 128, "--frames", 2, "--samples", 1, "--quiet")
    one = run_cli("--out", tmp_path / "one", *base, "--verify", 2)
    assert one.returncode == 0, one.stdout + one.stderr
    assert "core-hours" in one.stdout.splitlines()[0]
    assert re.fullmatch(
        r"2 scenes: visible IoU mean 0\.\d+, least .*; amodal IoU .* objects", one.stdout.splitlines()[-1]
    )
    assert one.stdout.count(": agrees; visible IoU") == 2  # every object of some size, IoU >= 0.99
    two = run_cli("--out", tmp_path / "two", *base, "--workers", 2)
    assert two.returncode == 0, two.stderr
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert sorted(hashes(tmp_path / "one")) == ["manifest.json", "test-000000.tar"]
    for sample in read_shard(tmp_path / "one" / "test-000000.tar"):
        frames = list(open_bytes(sample.members["mp4"], sample.key).frames())
        assert len(frames) == 2 and frames[0].shape == (128, 128, 3) and frames[0].std() > 10

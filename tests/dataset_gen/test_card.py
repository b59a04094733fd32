"""What is said of a data set: numbers of object-frames, depth, the data card, benchmark sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_gen.__main__ import main
from dataset_gen.benchmark import benchmarks
from dataset_gen.card import Numbers
from dataset_gen.jobs import Run
from dataset_gen.truth import object_frames, rendered_truth
from dataset_gen.write import read_shard, shard_keys, write_manifest, write_scene, write_shard, write_worlds
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo
from vidamodal.worlds.rasterize import FLOOR_HALF_WIDTH, camera_axes
from vidamodal.worlds.spec import CameraSpec, SceneSpec
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import object_depths, scene_depth

needs_datagen = pytest.mark.needs("pybullet", "kubric", "bpy")
RUN = Run(5, 7, "test", "movid_a", 64, 3, 1, False)


def toy_scene(seed: int, frames: int = 3, size: int = 64) -> SceneSpec:
    """Boxes and balls on the floor under the sky; the camera rises."""
    world = toy_bank(3).worlds[seed]
    positions = tuple((6.0, 0.0, 0.8 + 0.1 * t) for t in range(frames))
    camera = CameraSpec(35.0, 32.0, positions, ((0.0, 0.0, 0.5),) * frames)
    return SceneSpec(seed, "test", "toy", size, frames, 12.0, world.objects, camera, world.light)


def square(height: int, width: int, top: int, left: int, side: int) -> Rle:
    mask = np.zeros((height, width), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return Rle.encode(mask)


@pytest.fixture
def clip() -> ClipTracks:
    """At 256 px: an object that is hidden for two frames and then half seen, and a tiny one."""
    empty, whole = Rle.empty(256, 256), square(256, 256, 10, 20, 40)
    half = Rle.encode(np.pad(np.ones((40, 20), dtype=bool), ((10, 206), (20, 216))))
    visible = (whole, empty, empty, half)
    tiny = (square(256, 256, 0, 0, 7),) * 4
    tracks = (Track(1, visible, (whole,) * 4, label="box"), Track(2, tiny, tiny, label="ball"))
    return ClipTracks(VideoInfo("v.mp4", 256, 256, 4, 12.0), tracks, True, ((),) * 4)


def test_numbers_of_object_frames(clip: ClipTracks) -> None:
    numbers = object_frames(clip)
    assert numbers.boxes[0].tolist() == [[10, 20, 50, 60]] * 4
    assert numbers.visible[0].tolist() == [1600, 0, 0, 800] and numbers.amodal[0].tolist() == [1600] * 4
    assert numbers.hidden[0].tolist() == [0, 1, 1, 0.5]
    assert numbers.counted.tolist() == [[True] * 4, [False] * 4]
    unknown = ClipTracks(clip.video, (Track(1, (None, *clip.tracks[0].visible[1:]), clip.tracks[0].amodal),))
    assert np.isnan(object_frames(unknown).hidden[0, 0]) and not object_frames(unknown).counted[0, 0]


def test_numbers_of_clips(clip: ClipTracks) -> None:
    numbers = Numbers()
    numbers.add(clip)
    assert (numbers.spells, numbers.bridged, numbers.never_seen) == ([2], 1, 0)
    assert numbers.copied == [0.75] and numbers.shares == [0, 1, 1, 0.5]
    assert numbers.sizes == [15.625] * 4 and numbers.labels == {"box": 1, "ball": 1}


# Depth


def test_depth_is_that_of_the_nearest_object_of_the_floor_and_of_the_sky() -> None:
    spec, meshes = toy_scene(0), toy_bank(3).meshes
    depth = scene_depth(spec, meshes)
    assert depth.shape == (3, 64, 64) and depth.dtype == np.float16
    for t, alone in enumerate(object_depths(spec, meshes)):
        inside = np.isfinite(alone).any(axis=0)
        assert inside.any() and np.isinf(depth[t, 0]).all()  # the sky
        assert (depth[t][inside] <= alone.min(axis=0)[inside].astype(np.float16)).all()
        position, (right, up, forward) = camera_axes(spec.camera, t)
        y, x = np.nonzero(~inside & np.isfinite(depth[t]))
        assert len(y) > 500
        ray = forward + ((x + 0.5 - 32) / 70)[:, None] * right - ((y + 0.5 - 32) / 70)[:, None] * up
        points = position + depth[t, y, x].astype(float)[:, None] * ray
        near = depth[t, y, x] < 10
        assert np.abs(points[near, 2]).max() < 0.01 and np.abs(points[:, :2]).max() < 1.01 * FLOOR_HALF_WIDTH


@needs_datagen
def test_depth_in_a_shard_is_read_without_pickle_and_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    spec, meshes = toy_scene(1), toy_bank(3).meshes
    rgb, depth = np.zeros((3, 64, 64, 3), dtype=np.uint8), scene_depth(spec, meshes)
    for name in ("a", "b"):
        folder = tmp_path / name / "test-00000001"
        write_scene(folder, spec, rendered_truth(spec, meshes, "test-00000001.mp4"), rgb, depth)
        write_shard(tmp_path / f"{name}.tar", [folder])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    (sample,) = read_shard(tmp_path / "a.tar")
    (tmp_path / "depth.npz").write_bytes(sample.members["depth.npz"])
    with np.load(tmp_path / "depth.npz", allow_pickle=False) as arrays:
        assert list(arrays) == ["depth"] and np.array_equal(arrays["depth"], depth)


# Cards


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """A finished folder of five toy scenes, with depth."""
    folders, meshes = [], toy_bank(3).meshes
    for seed in RUN.seeds:
        spec = toy_scene(seed)
        folders.append(tmp_path / "scenes" / f"test-{seed:08d}")
        rgb = np.full((3, 64, 64, 3), 90, dtype=np.uint8)
        truth = rendered_truth(spec, meshes, f"{folders[-1].name}.mp4")
        write_scene(folders[-1], spec, truth, rgb, scene_depth(spec, meshes))
    out = tmp_path / "set"
    write_shard(out / "test-000000.tar", folders[:3])
    write_shard(out / "test-000001.tar", folders[3:])
    write_manifest(out, RUN.settings(), sorted(out.glob("*.tar")))
    return out


@needs_datagen
def test_only_the_chosen_scenes_of_a_shard_are_read(data_set: Path) -> None:
    shard = data_set / "test-000000.tar"
    assert shard_keys(shard) == ["test-00000007", "test-00000008", "test-00000009"]
    (sample,) = read_shard(shard, {"test-00000008"})
    assert sample.spec == toy_scene(8) and sorted(sample.members) == ["depth.npz", "mp4", "scene.json", "tracks.json"]


@needs_datagen
def test_card_of_a_data_set(data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(data_set), "--out", str(tmp_path / "card"), "--quiet"]) == 0
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == ["card.md", "card.png", "sheet.png"]
    text = (tmp_path / "card" / "card.md").read_text()
    assert "5 videos: preset movid_a, split test, seeds 7 to 11" in text and "| scenes | 5 |" in text
    assert text.split("\n![")[0] in capsys.readouterr().out
    assert Image.open(tmp_path / "card" / "sheet.png").width > 4 * 512  # frame, visible, whole, order
    assert sorted(path.suffix for path in data_set.iterdir()) == [".json", ".tar", ".tar"]


@needs_datagen
def test_card_of_worlds(tmp_path: Path) -> None:
    from dataset_gen.write import scene_line

    bank = toy_bank(3)
    (tmp_path / "worlds").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dataset_gen.write.meshes_of", lambda spec, library: bank.meshes)
        patch.setattr("dataset_gen.write.Counter", lambda names: {})
        lines = [scene_line(toy_scene(seed)) for seed in range(3)]
        write_worlds(tmp_path / "worlds", Run(3, 0, "test", "toy", 64, 3, 1, True).settings(), lines)
    assert main(["card", str(tmp_path / "worlds"), "--out", str(tmp_path / "card"), "--quiet"]) == 0
    assert "3 mask-only worlds" in (tmp_path / "card" / "card.md").read_text()


def test_card_refuses_what_is_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(tmp_path), "--out", str(tmp_path.parent / "card")]) == 2
    assert "no finished data set" in capsys.readouterr().err
    assert main(["card", str(tmp_path), "--out", str(tmp_path / "card")]) == 2
    assert not list(tmp_path.iterdir())


# Benchmark sets


def test_benchmark_is_defined_and_its_finished_folders_are_recognised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = benchmarks()["movid-a-mini"]
    assert {name: (part.run.scenes, part.run.seed) for name, part in parts.items()} == {
        "test": (40, 700_000), "validation": (40, 600_000), "train": (200, 0),
    }  # fmt: skip
    for name, part in parts.items():
        settings = {
            "scenes": part.run.scenes, "seed": part.run.seed, "split": name, "preset": "movid_a", "size": 128,
            "frames": 24, "samples": 16, "masks_only": False, "generator": 1,
        }  # fmt: skip
        (tmp_path / name).mkdir()
        manifest = {"run": settings, "truth_hash": part.truth_hash or "abc"}
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    words = ["benchmark", "movid-a-mini", "--out", str(tmp_path), "--quiet"]
    assert main(words) == 0
    assert capsys.readouterr().out.count("recorded") == 3
    document = json.loads((tmp_path / "train" / "manifest.json").read_text())
    for name, part in parts.items():
        parts[name] = type(part)(part.run, "abc" if name != "train" else document["truth_hash"] + "0")
    monkeypatch.setattr("dataset_gen.benchmark.benchmarks", lambda: {"movid-a-mini": parts})
    for name in ("test", "validation"):
        path = tmp_path / name / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "truth_hash": "abc"}))
    assert main(words) == 1
    out = capsys.readouterr().out
    assert out.count("as recorded") == 2 and out.count("DIFFERENT") == 1

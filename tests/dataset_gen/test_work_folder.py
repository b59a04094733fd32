"""Parts of a run in one folder: shards, manifest, and folders with other content."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from dataset_gen.generate import generate
from dataset_gen.library import scene_meshes
from dataset_gen.run import Run
from dataset_gen.scene_files import scene_tracks, write_scene
from dataset_gen.scene_shards import read_shard
from dataset_gen.scenes import sample_scene
from dataset_gen.work_folder import Part
from tests.dataset_gen.helpers import file_hashes, needs_physics, noise, run_command_line


@pytest.fixture
def scene_folders(tmp_path: Path) -> tuple[Run, Path]:
    """Return a run of 20 tiny scenes that only lacks its shards: unsettled objects with noise for images."""
    run = Run(20, 5, "train", "movid_a", size=32, frames=2, samples=1, masks_only=False)
    out = tmp_path / "set"
    work = out / ".work"
    work.mkdir(parents=True)
    (work / "run.json").write_text(json.dumps(run.settings()))
    for seed in run.seeds:
        spec = sample_scene(run.preset, run.split, seed, run.size, run.frames)
        folder = work / f"train-{seed:08d}"
        folder.mkdir()
        write_scene(folder, spec, scene_tracks(spec, scene_meshes(spec), f"{folder.name}.mp4"), noise(2, 32))
    return run, out


@needs_physics
def test_shards_hold_sixteen_scenes_in_seed_order_with_constant_headers(scene_folders: tuple[Run, Path]) -> None:
    run, out = scene_folders
    assert not generate(
        run, out, part=Part(1, 2), quiet=True
    ).is_finished  # the shard of the other part is still missing
    assert not (out / "manifest.json").exists()
    assert generate(run, out, part=Part(0, 2), quiet=True).is_finished
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
    before = file_hashes(out)
    assert generate(run, out, quiet=True).is_finished and file_hashes(out) == before


@needs_physics
def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    result = run_command_line("--out", tmp_path, "--scenes", 1, "--seed", 0, "--masks-only")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

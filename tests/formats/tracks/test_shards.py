"""Shards are read, and written with constant headers."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.scene_shards import write_shard
from tests.formats.image_data import HEIGHT, WIDTH, frames, scene, scenes, truths
from vidamodal.convert import convert
from vidamodal.formats import find_dataset
from vidamodal.tracks import dumps_tracks, loads_tracks, write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo


def test_shards_iterate_with_webdataset(tmp_path: Path) -> None:
    folders = scenes(tmp_path / "scenes", "test-00000000", "test-00000001")
    write_shard(tmp_path / "test-000000.tar", folders)
    samples = list(webdataset.WebDataset(str(tmp_path / "test-000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["test-00000000", "test-00000001"]
    for sample, folder in zip(samples, folders, strict=True):
        members = {name: content for name, content in sample.items() if not name.startswith("__")}
        assert members == {file.name.removeprefix(f"{folder.name}."): file.read_bytes() for file in folder.iterdir()}
        assert loads_tracks(sample["tracks.json"].decode(), "sample") == scene()


@settings(max_examples=15)
@given(st.lists(truths(), min_size=1, max_size=3))
def test_shards_read_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, truth: list[ClipTracks]) -> None:
    path = tmp_path_factory.mktemp("shards") / "test-000000.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for k, clip in enumerate(truth):
            content = dumps_tracks(clip).encode()
            info = tarfile.TarInfo(f"test-{k}.tracks.json")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    clips = find_dataset(path).clips
    assert [clip.tracks() for clip in clips.values()] == truth
    assert [clip.frames() for clip in clips.values()] == [None] * len(truth)


def test_shards_and_folders_of_the_same_files_are_one_data_set(tmp_path: Path) -> None:
    folders = scenes(tmp_path / "scenes", "test-00000000", "test-00000001")
    (tmp_path / "shards").mkdir()
    write_shard(tmp_path / "shards/test-000000.tar", folders)
    flat = tmp_path / "flat"
    flat.mkdir()
    for folder in folders:
        for member in folder.iterdir():
            (flat / member.name).write_bytes(member.read_bytes())
    reference = find_dataset(tmp_path / "shards")
    assert reference.format == "WebDataset shards" and list(reference.clips) == ["test-00000000", "test-00000001"]
    dataset = find_dataset(flat)
    for key, clip in reference.clips.items():
        assert clip.tracks() == dataset.clips[key].tracks() == scene()
        assert np.array_equal(frames(clip), frames(dataset.clips[key]))
        assert frames(clip)[0].shape == (HEIGHT, WIDTH, 3) and len(frames(clip)) == 2


def test_shards_hold_sixteen_clips_each(tmp_path: Path) -> None:
    """In their order, with nothing of when and by whom they were written; the same bytes twice."""
    mask = Rle.encode(np.ones((4, 4), dtype=bool))
    clip = ClipTracks(VideoInfo("x.mp4", 4, 4, 1, 1.0), (Track(1, (mask,)),))
    for number in range(17):
        write_tracks(tmp_path / f"source/clip-{number:02d}.tracks.json", clip)
    for out in ("a", "b"):
        convert(tmp_path / "source", tmp_path / out, "shards")
    shards = sorted((tmp_path / "a").iterdir())
    assert [path.name for path in shards] == ["clips-000000.tar", "clips-000001.tar"]
    for path, keys in zip(shards, (range(16), [16]), strict=True):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        with tarfile.open(path) as tar:
            assert [m.name for m in tar] == [f"clip-{number:02d}.tracks.json" for number in keys]
            assert {(m.mtime, m.uid, m.uname) for m in tar} == {(0, 0, "")}
    assert len(find_dataset(tmp_path / "a").clips) == 17


def test_long_keys_are_written_and_read_back(tmp_path: Path) -> None:
    key = "x" * 150  # a tar of the oldest kind has room for 100
    (tmp_path / "source").mkdir()
    write_tracks(tmp_path / f"source/{key}.tracks.json", scene())
    convert(tmp_path / "source", tmp_path / "shards", "shards")
    clips = find_dataset(tmp_path / "shards").clips
    assert list(clips) == [key] and clips[key].tracks().tracks == scene().tracks

"""MOViD-A is written as its loaders read it, and reads back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from tests.formats.image_data import (
    BACK,
    FRONT,
    HEIGHT,
    SEEN,
    WIDTH,
    checked,
    clip_of,
    frames,
    masks,
    only,
    refusal,
    same,
    scene,
    truths,
)
from tests.formats.video_data import SCENE, T, save
from vidamodal.convert import convert
from vidamodal.formats import Clip, find_dataset
from vidamodal.formats.videos.movid_a import write_split
from vidamodal.media.video_writer import write_video
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo


@settings(max_examples=25)
@given(truths())
def test_movid_a_reads_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, truth: ClipTracks) -> None:
    folder = tmp_path_factory.mktemp("movid")
    assert write_split(folder, [clip_of(truth)], "test") == 1
    dataset = find_dataset(folder)
    clip = dataset.clips["test-00000012"]
    assert dataset.format == "MOViD-A"
    assert checked(clip) == replace(truth, provenance={**truth.provenance, "layout": "MOViD-A"})
    assert [int(frame.max()) for frame in frames(clip)] == list(range(truth.video.frames))
    metadata = json.loads((folder / "test/0/metadata.json").read_text())
    for k, (track, record) in enumerate(zip(truth.tracks, metadata["instances"], strict=True)):
        seen = [mask for mask in track.visible if mask is not None]
        assert record["visibility"] == [mask.area() for mask in seen]
        assert record["bbox_frames"] == [t for t, mask in enumerate(seen) if mask.area()]
        for t, shares in zip(record["bbox_frames"], record["bboxes"], strict=True):  # as the published loaders do it
            sides = [truth.video.height, truth.video.width] * 2
            assert tuple(int(side * share) for side, share in zip(sides, shares, strict=True)) == seen[t].box()
        lines = (folder / "test_instance.txt").read_text().split()
        assert (f"0_{k}_{k + 1}" in lines) == track.ever_visible


def test_movid_a_is_written_as_its_loaders_read_it(tmp_path: Path) -> None:
    write_split(tmp_path, [clip_of(scene()), clip_of(scene(), "test-00000013")], "test")
    video = tmp_path / "test" / "1"
    assert sorted(path.name for path in video.iterdir()) == sorted(
        ["metadata.json"]
        + [
            f"{kind}_{t:05d}.png"
            for kind in ("rgba_full", "segmentation_full", "segmentation_0", "segmentation_1")
            for t in (0, 1)
        ]
    )
    ids = np.array(Image.open(video / "segmentation_full_00000.png"))
    assert np.array_equal(ids == 1, FRONT) and np.array_equal(ids == 2, SEEN)
    assert np.array_equal(np.array(Image.open(video / "segmentation_1_00000.png")) == 2, BACK)
    assert np.array(Image.open(video / "rgba_full_00001.png")).shape == (HEIGHT, WIDTH, 4)
    metadata = json.loads((video / "metadata.json").read_text())
    assert metadata["metadata"]["num_frames"] == 2 and metadata["instances"][1]["bbox_frames"] == [0]
    assert metadata["instances"][0]["bboxes"][0] == [2 / 12, 2 / 16, 8 / 12, 8 / 16]
    assert (tmp_path / "test_instance.txt").read_text() == "0_0_1\n0_1_2\n1_0_1\n1_1_2\n"
    assert (tmp_path / "test_frame_list.txt").read_text().split()[:3] == ["0_0_0", "0_0_1", "0_1_0"]


def test_movid_a_as_published_has_defaults(tmp_path: Path) -> None:
    write_split(tmp_path, [clip_of(scene())], "train")
    path = tmp_path / "train/0/metadata.json"
    document = json.loads(path.read_text())
    del document["vidamodal"], document["metadata"]["frame_rate"], document["instances"][1]["category"]
    path.write_text(json.dumps(document))
    for start, key in ((tmp_path, "train-0"), (tmp_path / "train", "0"), (tmp_path / "train/0", "0")):
        clip = checked(find_dataset(start).clips[key])
        assert same(masks(clip), (FRONT, FRONT), (SEEN, BACK)) and [t.id for t in clip.tracks] == [1, 2]
        assert [t.label for t in clip.tracks] == ["mug", None]
        assert clip.exhaustive and clip.order is None and clip.video == VideoInfo("0", HEIGHT, WIDTH, 2, 12.0)
    (tmp_path / "train/0/rgba_full_00000.png").unlink()
    assert only(tmp_path).frames() is None


def changed(**changes: Any) -> ClipTracks:
    """The scene with another second track."""
    first, second = scene().tracks
    return replace(scene(), tracks=(first, replace(second, **changes)))


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (clip_of(changed(visible=(None, None))), "the visible mask of track 2 in frame 0 is unknown"),
        (clip_of(changed(amodal=None)), "the amodal mask of track 2 in frame 0 is unknown"),
        (clip_of(changed(visible=(Rle.encode(BACK),) * 2, amodal=(Rle.encode(BACK),) * 2)), "tracks 1 and 2 overlap"),
        (clip_of(scene(), "../evil"), "not a plain name"),
        (replace(clip_of(scene()), frames=lambda: None), "has no images"),
        (
            replace(clip_of(scene()), frames=lambda: iter([np.zeros((12, 16, 3), np.uint8)])),
            "1 RGB frames for 2 frames",
        ),
        (replace(clip_of(scene()), frames=lambda: iter([np.zeros((9, 9, 3), np.uint8)])), "frames of 9 x 9 pixels"),
        (clip_of(replace(scene(), tracks=tuple(replace(scene().tracks[1], id=k) for k in range(256)))), "256 objects"),
    ],
)
def test_clips_that_movid_a_cannot_hold_leave_no_files(tmp_path: Path, clip: Clip, words: str) -> None:
    with pytest.raises(InputError) as error:
        write_split(tmp_path / "out", [clip_of(scene(), "test-1"), clip], "test")
    assert words in str(error.value) and "\n" not in str(error.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_existing_splits_are_not_overwritten(tmp_path: Path) -> None:
    write_split(tmp_path, [clip_of(scene())], "test")
    for split, words in (("test", "already exists"), ("../test", "letters")):
        with pytest.raises(InputError, match=words):
            write_split(tmp_path, [clip_of(scene())], split)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("metadata", "num_frames"), "2", "metadata.num_frames must be an integer"),
        (("metadata", "num_frames"), 3, "vidamodal.order is not a list of pairs of ids for each of 3 frames"),
        (("metadata", "height"), 13, "12 x 16 pixels, the video has 13 x 16"),
        (("metadata", "width"), 10**9, "at most"),
        (("metadata", "frame_rate"), 0, "fps"),
        (("instances",), [{}, {}, {}], "vidamodal.ids"),
        (("instances",), [1, 2], "instances[0] must be an object"),
        (("vidamodal", "key"), "../evil", "plain name"),
        (("vidamodal", "ids"), [1, 1], "vidamodal.ids"),
        (("vidamodal", "ids"), [1, [2]], "vidamodal.ids"),
        (("vidamodal", "order"), [[[1, 3]], []], "vidamodal.order"),
        (("vidamodal", "order"), [[[1, [2]]], []], "vidamodal.order"),
        (("vidamodal", "path"), "/etc/passwd", "absolute path"),
    ],
)
def test_damaged_metadata_is_refused(tmp_path: Path, place: tuple[str, ...], value: Any, words: str) -> None:
    write_split(tmp_path, [clip_of(scene())], "test")
    path = tmp_path / "test/0/metadata.json"
    document = record = json.loads(path.read_text())
    for key in place[:-1]:
        record = record[key]
    record[place[-1]] = value
    path.write_text(json.dumps(document))
    assert words in refusal(tmp_path)


def test_a_cut_off_metadata_and_a_missing_mask_are_refused(tmp_path: Path) -> None:
    write_split(tmp_path, [clip_of(scene())], "test")
    (tmp_path / "test/0/segmentation_1_00001.png").unlink()
    assert "segmentation_1_00001.png: this file is missing" in refusal(tmp_path)
    (tmp_path / "test/0/metadata.json").write_text("{")
    assert "metadata.json" in refusal(tmp_path)


def test_movid_a_takes_pictures_from_a_video(tmp_path: Path) -> None:
    clip = replace(SCENE, tracks=tuple(replace(track, confidence=None) for track in SCENE.tracks))
    write_video(tmp_path / "film.mp4", np.full((T, 6, 6, 3), 90, dtype=np.uint8), 12.0)
    wide = replace(clip, video=replace(clip.video, width=6), tracks=tuple(map(_widened, clip.tracks)))
    source = save(tmp_path / "source", wide)
    with pytest.raises(InputError, match="it has no images"):
        convert(source, tmp_path / "out", "movid-a")
    convert(source, tmp_path / "out", "movid-a", video=tmp_path / "film.mp4")
    found = find_dataset(tmp_path / "out").clips["clip-0"].tracks()
    assert found == replace(wide, provenance={"layout": "MOViD-A"})


def _widened(track: Track) -> Track:
    visible, amodal = (
        tuple(Rle.encode(np.pad(mask.decode(), ((0, 0), (0, 1)))) for mask in masks if mask)
        for masks in (track.visible, track.amodal or ())
    )
    return replace(track, visible=visible, amodal=amodal)

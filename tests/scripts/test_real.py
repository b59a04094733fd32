"""The experiment on real video, with toy clips in the layout of the real sets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.experiments.real.__main__ import Method, score_depths, score_settings
from scripts.experiments.real.depth import DEGRADATIONS
from scripts.experiments.real.page import render_page
from scripts.experiments.real.pictures import write_strips, write_video_strips
from scripts.experiments.real.sets import read_boxes, read_composites, read_kitti
from vidamodal.baselines import predict_baseline
from vidamodal.errors import InputError
from vidamodal.inference.predictor import Predictor
from vidamodal.media.video_writer import write_video
from vidamodal.metrics.primary import score_video
from vidamodal.models.amodal import AmodalModel
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

FRAMES, SIZE = 3, (48, 64)


def clip_of(masks: dict[int, tuple[np.ndarray, np.ndarray]]) -> ClipTracks:
    tracks = [
        Track(k, (Rle.encode(visible),) * FRAMES, (Rle.encode(whole),) * FRAMES)
        for k, (visible, whole) in masks.items()
    ]
    return ClipTracks(VideoInfo("video.mp4", *SIZE, FRAMES, 10.0), tuple(tracks))


def rectangle(left: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[8:40, left:right] = True
    return mask


def without_amodal(clip: ClipTracks, *ids: int) -> ClipTracks:
    return replace(clip, tracks=tuple(replace(t, amodal=None) for t in clip.tracks if t.id in ids))


@pytest.fixture
def composites(tmp_path: Path) -> Path:
    whole, front = rectangle(8, 40), rectangle(24, 56)
    for name, tracks in {
        "whole/camel": {1: (whole, whole)},
        "behind/camel_wall": {1: (whole & ~front, whole), 2: (front, front)},
        "behind/man_swan": {1: (whole & ~front, whole), 2: (front, front)},
    }.items():
        folder, clip = tmp_path / name, clip_of(tracks)
        write_tracks(folder / "truth.json", replace(clip, tracks=clip.tracks[:1]))
        write_tracks(folder / "visible.json", replace(without_amodal(clip, 1, 2), exhaustive=True))
        write_tracks(folder / "alone.json", without_amodal(clip, 1))
        write_video(folder / "video.mp4", [np.full((*SIZE, 3), 90, dtype=np.uint8)] * FRAMES, 10.0)
    return tmp_path


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    folder = tmp_path / "kitti" / "0001"
    write_tracks(folder / "visible.json", without_amodal(clip_of({7: (rectangle(8, 24), rectangle(8, 24))}), 7))
    (folder / "boxes.json").write_text(json.dumps({"7": {"0": [0, 0, 8, 8, 24, 40], "1": [2, 1, 8, 8, 40, 40]}}))
    return tmp_path / "kitti"


def test_every_setting_has_its_inputs(composites: Path) -> None:
    clips = read_composites(composites)
    assert [clip.key for clip in clips["whole, alone"]] == ["camel"]
    inputs = {setting: each[0].inputs for setting, each in clips.items()}
    assert len(inputs["behind, alone"].tracks) == 1 and not inputs["behind, alone"].exhaustive
    assert len(inputs["behind, partial"].tracks) == 2 and not inputs["behind, partial"].exhaustive
    assert inputs["behind, exhaustive"].exhaustive
    assert [clip.strata for clip in clips["behind, alone"]] == [("animals", "wall"), ("people", "moving occluder")]


def test_depth_is_made_from_the_ground_truth(composites: Path) -> None:
    clips = read_composites(composites)
    assert all((clip.depth is None) == ("depth" not in setting) for setting, each in clips.items() for clip in each)
    clip = next(clip for clip in clips["behind, alone with depth"] if clip.key == "camel_wall")
    assert clip.depth is not None
    maps = {name: clip.depth(name).read(0) for name in DEGRADATIONS}
    right, subject, wall = maps["right"], rectangle(8, 24), rectangle(24, 56)
    assert right is not None and len(np.unique(right[subject])) == len(np.unique(right[wall])) == 1
    assert right[wall].min() > right[subject].max() > right[:8].max()
    for name in DEGRADATIONS:
        frames = [clip.depth(name).read(t) for t in range(FRAMES)]
        assert all(values is not None and values.shape == right.shape for values in frames)
        assert (name == "right") == all(np.array_equal(values, right) for values in frames if values is not None)
    flipped, coarse = maps["flipped"], maps["coarse"]
    assert flipped is not None and flipped[wall].max() < flipped[subject].min()
    assert coarse is not None and np.array_equal(coarse, coarse.round()) and coarse.max() == 255


def test_every_degradation_of_depth_is_scored(composites: Path, model: AmodalModel) -> None:
    predictor = Predictor(model, "cpu")
    rows = score_depths(read_composites(composites), predictor)
    assert list(rows) == [f"{name}, rule" for name in DEGRADATIONS]  # the model reads no depth
    assert all(
        len(run.counts) + run.refused == (1 if "whole" in s else 2) for row in rows.values() for s, run in row.items()
    )
    assert rows["flipped, rule"]["behind, alone with depth"].refused == 2
    assert rows["right, rule"]["behind, alone with depth"].refused == 0


def test_boxes_are_read_with_their_levels(kitti: Path) -> None:
    (clip,) = read_kitti(kitti)
    (track,) = clip.truth.tracks
    assert track.boxes == ((8, 8, 24, 40), (8, 8, 40, 40), None)
    assert track.occlusion == (0, 2, None) and track.truncated == (False, True, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "must be an object"),
        ('{"7": {"5": [0, 0, 1, 1, 2, 2]}}', "frame 5 is beyond"),
        ('{"7": {"0": [0, 0, 1]}}', "must be .x0"),
        ("nothing", "boxes.json"),
    ],
)
def test_damaged_boxes_are_one_line(kitti: Path, content: str, message: str) -> None:
    (clip,) = read_kitti(kitti)
    path = kitti / "0001" / "boxes.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_boxes(path, clip.inputs)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clips"):
        read_composites(tmp_path)
    with pytest.raises(InputError, match="no folder with a boxes"):
        read_kitti(tmp_path)


def test_the_page_holds_every_method_and_its_strips(composites: Path, kitti: Path, tmp_path: Path) -> None:
    clips = {**read_composites(composites), "kitti": read_kitti(kitti)}

    def method(name: str) -> Method:
        return lambda clip: predict_baseline(name, clip.inputs)

    names = ("hull-under-occluders", "copy-visible")
    runs = score_settings(clips, {name: method(name) for name in names})
    hull, copied = (score_video(runs["behind, exhaustive"][name].counts[0]) for name in names)
    assert copied.full == pytest.approx(0.5) and hull.occ == copied.occ == 0  # a straight cut has no hull to add
    strips = {
        "behind, alone": write_strips(
            tmp_path / "real.md", "behind, alone", clips["behind, alone"], runs["behind, alone"][names[1]]
        )
    }
    depths = {"right, rule": {setting: runs[setting][names[1]] for setting in clips if "depth" in setting}}
    text = render_page(clips, runs, strips, depths)
    assert "| right, rule | 100.0 |" in text
    assert "largely occluded" in text and "0 in 1" not in text.split("## KITTI")[0]
    assert all((tmp_path / name).is_file() for each in strips.values() for name in each.values())
    assert len(strips["behind, alone"]) == 3 and "![worst: " in text


def test_videos_with_masks_are_shown_with_the_predictions_of_each_model(tmp_path: Path) -> None:
    folder = tmp_path / "walk"
    (folder / "masks").mkdir(parents=True)
    masks = np.zeros((6, 48, 64), dtype=np.uint8)
    for t in range(6):
        masks[t, 10:40, 8 + 4 * t : 24 + 4 * t] = 1
        Image.fromarray(masks[t]).save(folder / "masks" / f"{t:05d}.png")
    write_video(folder / "walk.mp4", np.repeat(masks[..., None] * 90, 3, axis=3), 8.0)
    names = write_video_strips(tmp_path / "real.md", [folder], ["tiny"], "cpu")
    ((title, name),) = names.items()
    assert title == "walk, object 1: visible mask, tiny"
    with Image.open(tmp_path / name) as picture:
        assert picture.height == 2 * 128

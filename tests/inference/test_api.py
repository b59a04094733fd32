"""`vidamodal.predict`: known masks, sizes and orders."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from tests.helpers import clip_tracks, disc_scene, small_reader, write_disc_clip
from tests.inference.depth.depth_scenes import disc_behind_bar
from tests.inference.depth.test_depth_model import save_depth_model
from tests.inference.helpers import H, W, behind_a_bar, check_prediction, clip_of, disc
from vidamodal.inference.api import hash_masks, predict
from vidamodal.media.video import open_video
from vidamodal.media.video_decoding import decode_frames
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import save_model
from vidamodal.tracks import write_tracks
from vidamodal.types import Frame, InputError, Rle, Track


def test_the_confidence_of_an_earlier_prediction_is_ignored(model_folder: Path, tmp_path: Path) -> None:
    clip = behind_a_bar(4)
    frames = tmp_path / "frames"
    frames.mkdir()
    for t in range(4):
        iio.imwrite(frames / f"{t:05d}.png", np.zeros((H, W, 3), dtype=np.uint8))
    once = predict(frames, clip, model=str(model_folder))
    assert predict(frames, once.clip, model=str(model_folder)).tracks == once.tracks


@pytest.mark.parametrize("size", [(1, 1), (7, 31), (33, 5)])
def test_odd_sizes_are_kept(size: tuple[int, int], model: AmodalModel, model_folder: Path, tmp_path: Path) -> None:
    height, width = size
    (tmp_path / "frames").mkdir()
    for t in range(3):
        iio.imwrite(tmp_path / "frames" / f"{t}.png", np.full((height, width, 3), 60 * t, dtype=np.uint8))
    clip = clip_of({1: [disc(width / 2, height / 2, 3, height, width)] * 3}, height=height, width=width)
    result = predict(tmp_path / "frames", clip, tmp_path / "out", model=str(model_folder))
    assert all(m is not None and (m.height, m.width) == size for m in result.tracks[0].amodal or ())
    check_prediction(clip, replace(result.clip, video=clip.video))


def test_no_frame_is_decoded_for_tracks_of_a_model_that_reads_masks(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_disc_clip(tmp_path / "set", disc_scene(6))
    video, tracks = folder / "clip.mp4", folder / "clip.tracks.json"
    decoded: list[int] = []

    def count(source: object, index: object, start: int, stop: int) -> Iterator[Frame]:
        decoded.append(stop - start)
        return decode_frames(source, index, start, stop)  # type: ignore[arg-type]

    monkeypatch.setattr("vidamodal.media.video.decode_frames", count)
    predict(video, tracks, tmp_path / "out", model=str(model_folder), formats=("tracks",))
    assert decoded == []
    predict(video, tracks, tmp_path / "out", model=str(model_folder), formats=("overlay",))
    assert decoded == [open_video(video).info.frames]
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(InputError, match="cut off"):
        predict(video, tracks, tmp_path / "out", model=str(model_folder), formats=("tracks",))


def test_an_order_that_is_missing_or_does_not_fit_is_rejected(tmp_path: Path) -> None:
    folder = write_disc_clip(tmp_path / "set", disc_scene(6))
    video, tracks = folder / "clip.mp4", folder / "clip.tracks.json"
    save_model(tmp_path / "blind", small_reader(), {}, "")
    save_model(tmp_path / "reader", small_reader(order=True), {}, "")
    with pytest.raises(InputError, match='has no "order"'):
        predict(video, tracks, model=str(tmp_path / "reader"), order=tracks)
    told, short = (
        replace(clip_tracks(disc_scene(6)), order=(((1, 2),),) * 5),
        replace(clip_tracks(disc_scene(6, 4)), order=((),) * 4),
    )
    write_tracks(tmp_path / "told.json", told)
    write_tracks(tmp_path / "short.json", short)
    with pytest.raises(InputError, match="does not read the order"):
        predict(video, tracks, model=str(tmp_path / "blind"), order=tmp_path / "told.json")
    with pytest.raises(InputError, match="has 4 frames, but the clip has 5"):
        predict(video, tracks, model=str(tmp_path / "reader"), order=tmp_path / "short.json")
    assert predict(video, tracks, model=str(tmp_path / "reader"), order=tmp_path / "told.json").order


def _frames(folder: Path, count: int) -> Path:
    folder.mkdir()
    for t in range(count):
        iio.imwrite(folder / f"{t:05d}.png", np.full((H, W, 3), 20 * t, dtype=np.uint8))
    return folder


def test_depth_is_read_from_files_and_recorded(model_folder: Path, tmp_path: Path) -> None:
    clip, disparity = disc_behind_bar(4, listed=False)
    frames, maps = _frames(tmp_path / "frames", 4), tmp_path / "depth"
    maps.mkdir()
    for t in range(4):
        iio.imwrite(maps / f"{t:05d}.png", (40000 * disparity[t]).astype(np.uint16))
    result = predict(frames, clip, tmp_path / "out", model=str(model_folder), depth=maps)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["depth"] == "depth"
    assert record["notes"] == [
        "depth: larger values are read as nearer, as the ground and the surroundings of the objects show"
    ]
    assert "depth" not in result.clip.provenance
    assert predict(frames, clip, model=str(model_folder), depth=maps).tracks == result.tracks
    assert predict(frames, clip, model=str(model_folder)).tracks != result.tracks
    stated = predict(frames, clip, model=str(model_folder), depth=maps, depth_kind="depth")
    assert stated.notes[-1].endswith("but depth_kind= says otherwise")


def test_a_depth_model_is_recorded_with_its_hashes(model_folder: Path, tmp_path: Path) -> None:
    clip, _ = disc_behind_bar(4, listed=False)
    folder = save_depth_model(tmp_path / "tiny-depth")
    result = predict(
        _frames(tmp_path / "frames", 4), clip, model=str(model_folder), depth=folder, depth_kind="disparity"
    )
    assert sorted(result.clip.provenance["depth"]) == ["config", "weights"]
    assert result.run["depth"] == "depth model tiny-depth"


def test_anchors_are_read_from_a_file_and_recorded(model_folder: Path, tmp_path: Path) -> None:
    folder = write_disc_clip(tmp_path / "set", disc_scene(4))
    video, masks, truth = folder / "clip.mp4", folder / "clip.tracks.json", clip_tracks(disc_scene(4))
    corrected = tuple(
        replace(track, amodal=(track.amodal or ())[:1] + (None,) * (truth.video.frames - 1)) for track in truth.tracks
    )
    write_tracks(tmp_path / "corrections.json", replace(truth, tracks=corrected))
    result = predict(
        video,
        masks,
        tmp_path / "out",
        model=str(model_folder),
        anchors=tmp_path / "corrections.json",
        formats=["tracks"],
    )
    assert [(track.amodal or ())[0] for track in result.tracks] == [(track.amodal or ())[0] for track in truth.tracks]
    assert result.run["anchors"] == "corrections.json"
    assert "anchors: 3 frames of 3 tracks" in result.notes
    in_memory = predict(video, masks, model=str(model_folder), anchors=replace(truth, tracks=corrected))
    assert in_memory.tracks == result.tracks and in_memory.run["anchors"] == "in memory"
    (tmp_path / "out" / "tracks.json").rename(tmp_path / "old.json")
    with pytest.raises(InputError, match=r"would replace this input"):
        predict(
            video, masks, tmp_path / "out", model=str(model_folder), anchors=tmp_path / "out" / "tracks.json",
            formats=["tracks"],
        )  # fmt: skip
    assert not (tmp_path / "out" / "tracks.json").exists()


def test_segmenters_read_no_depth(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not by a segmenter. Leave it out"):
        predict(_frames(tmp_path / "frames", 1), head="aisdiff", depth=tmp_path)


def test_the_hash_of_visible_masks_takes_no_memory_for_their_text() -> None:
    outline = Rle.encode(disc(W / 2, H / 2, 5))
    masks = (*[outline] * 20_000, None)
    tracemalloc.start()
    both = hash_masks([Track(1, masks), Track(2, masks)])
    assert tracemalloc.get_traced_memory()[1] < 100_000  # their text has megabytes
    tracemalloc.stop()
    assert both == hash_masks([Track(3, masks), Track(4, masks)])  # of masks, not of ids
    other = [Track(1, masks), Track(2, (*masks[:-1], outline))]
    assert len({both, hash_masks(other), hash_masks(other[::-1]), hash_masks([Track(1, masks + masks)])}) == 4

"""Masks as videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vidamodal.formats import VideoContext, find_dataset, read_masks
from vidamodal.media.video_writer import write_mask_video
from vidamodal.types import ClipTracks, InputError, Rle, VideoInfo

H, W, T = 48, 64, 4
VIDEO = VideoInfo("v.mp4", H, W, T, 10.0)


def id_maps() -> np.ndarray:
    """(t, h, w): object 1 moves to the right, 2 stands still."""
    maps: np.ndarray = np.zeros((T, H, W), np.uint8)
    for t in range(T):
        maps[t, 8:32, 2 + 4 * t : 26 + 4 * t] = 1
        maps[t, 34:46, 40:62] = 2
    return maps


IDS = id_maps()
COLOURS = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)


def inside(number: int) -> np.ndarray:
    return np.equal(IDS, number)


LOSSLESS = [("ffv1", "gray", ".mkv"), ("png", "rgb24", ".mov"), ("huffyuv", "rgb24", ".avi")]
LOSSY = [("libx264", "yuv420p", ".mp4"), ("mjpeg", "yuvj420p", ".avi"), ("mpeg4", "yuv420p", ".mp4")]


def write(path: Path, frames: Sequence[np.ndarray], codec: str, pix_fmt: str, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = H, W, pix_fmt
        for frame in frames:
            source = "gray" if frame.ndim == 2 else "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=source)))
        container.mux(stream.encode())
    return path


def tracks(path: Path, frames: int = T) -> ClipTracks:
    return read_masks(path, VideoContext(VideoInfo("v.mp4", H, W, frames, 10.0)))


def overlap(clip: ClipTracks, place: int, number: int) -> float:
    """The smallest IoU of a track with an object."""
    masks = [mask.decode() for mask in clip.tracks[place].visible[:T] if mask is not None]
    return min(float((m & i).sum() / (m | i).sum()) for m, i in zip(masks, inside(number), strict=True))


@pytest.mark.parametrize("encoding", LOSSLESS)
def test_lossless_videos_hold_ids(tmp_path: Path, encoding: tuple[str, str, str]) -> None:
    codec, pix_fmt, suffix = encoding
    frames = IDS if pix_fmt == "gray" else np.repeat(IDS[..., None], 3, axis=-1)
    clip = tracks(write(tmp_path / f"masks{suffix}", list(frames), codec, pix_fmt))
    assert [track.id for track in clip.tracks] == [1, 2]
    for track in clip.tracks:
        assert track.visible == tuple(map(Rle.encode, inside(track.id)))


def test_a_folder_written_by_predict(tmp_path: Path) -> None:
    for number in (1, 12):
        write_mask_video(tmp_path / f"masks/{number}.mkv", inside(min(number, 2)), 10.0)
    clip = tracks(tmp_path / "masks")
    assert [track.id for track in clip.tracks] == [1, 12]
    assert [overlap(clip, 0, 1), overlap(clip, 1, 2)] == [1, 1]
    (alone,) = find_dataset(tmp_path / "masks").clips.values()
    assert alone.tracks().tracks == clip.tracks and alone.tracks().video.frames == T


def test_a_folder_of_objects_with_names(tmp_path: Path) -> None:
    for name, number in (("dog", 2), ("cat", 1)):
        write_mask_video(tmp_path / f"masks/{name}.mkv", inside(number), 10.0)
    clip = tracks(tmp_path / "masks")
    assert [(track.id, track.label) for track in clip.tracks] == [(1, "cat"), (2, "dog")]
    assert clip.notes == ("masks: a file for each of 2 objects: cat.mkv is 1, dog.mkv is 2",)
    assert overlap(clip, 0, 1) == 1


@pytest.mark.parametrize("encoding", LOSSY)
@pytest.mark.parametrize("colours", [np.array([0, 255, 0], np.uint8), COLOURS, np.array([0, 127, 255], np.uint8)])
def test_lossy_videos_snap_to_clear_values(tmp_path: Path, encoding: tuple[str, str, str], colours: np.ndarray) -> None:
    codec, pix_fmt, suffix = encoding
    clip = tracks(write(tmp_path / f"masks{suffix}", list(colours[IDS]), codec, pix_fmt))
    assert len(clip.tracks) == (2 if colours[2].any() else 1)
    assert max(overlap(clip, 0, 1), overlap(clip, 0, 2)) > 0.9


def test_a_shorter_video_leaves_the_rest_unknown(tmp_path: Path) -> None:
    clip = tracks(write(tmp_path / "masks.mkv", list(IDS), "ffv1", "gray"), frames=T + 2)
    assert clip.tracks[0].visible[T:] == (None, None)
    assert clip.notes == ("masks.mkv: masks for the first 4 of 6 frames; the others are unknown",)


def test_bad_videos_are_refused_in_one_line(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (T, H, W, 3), dtype=np.uint8)
    bad = {
        "photographs, not masks": write(tmp_path / "a.mkv", list(noise), "ffv1", "bgr0"),
        "cannot survive lossy compression": write(tmp_path / "b.mp4", list(IDS), "mpeg4", "yuv420p"),
        "8 bits": write(tmp_path / "c.mkv", list(IDS), "ffv1", "gray16le"),
    }
    for message, path in bad.items():
        with pytest.raises(InputError, match=message) as error:
            tracks(path)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="4 masks of 48 x 64 pixels, the video has 3 frames"):
        tracks(write(tmp_path / "d.mkv", list(IDS), "ffv1", "gray"), frames=3)


def test_damaged_videos_end_in_masks_or_one_line(tmp_path: Path) -> None:
    content = write(tmp_path / "m.mkv", list(IDS), "ffv1", "gray").read_bytes()
    generator = np.random.default_rng(2)
    for _ in range(40):
        damaged = bytearray(content)
        for place in generator.integers(4, len(content), 3):
            damaged[place] = generator.integers(256)
        (tmp_path / "m.mkv").write_bytes(damaged)
        try:
            tracks(tmp_path / "m.mkv")
        except InputError:
            continue


@pytest.mark.parametrize("colours", [np.array([0, 255, 0], np.uint8), COLOURS, np.array([0, 1, 2], np.uint8)])
def test_gifs_are_read_like_lossless_videos(colours: np.ndarray, tmp_path: Path) -> None:
    first, *more = [Image.fromarray(colours[ids]) for ids in IDS]
    first.save(tmp_path / "masks.gif", save_all=True, append_images=more, duration=100)
    clip = tracks(tmp_path / "masks.gif")
    assert len(clip.tracks) == (2 if colours[2].any() else 1)
    assert overlap(clip, 0, 1) == 1


def test_masks_at_another_rate_are_refused_or_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "masks.mkv", list(IDS), "ffv1", "gray")
    for frames, fps in ((8, 20.0), (7, 20.0), (12, 30.0)):
        with pytest.raises(InputError, match=f"4 masks for {frames} frames, at 10 frames per second, the video has"):
            read_masks(path, VideoContext(VideoInfo("v.mp4", H, W, frames, fps)))
    notes = read_masks(path, VideoContext(VideoInfo("v.mp4", H, W, 40, 20.0))).notes
    assert any(note.endswith("unknown (10 frames per second, the video has 20)") for note in notes)

"""Videos: every frame in its place, exactly as many as shown, and damage named in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from vidamodal.media.video import FOLDER_FPS, open_bytes, open_video, probe
from vidamodal.media.video_writer import write_mask_video, write_video
from vidamodal.types import InputError, VideoInfo

N, H, W = 30, 48, 80


def picture(number: int, height: int = H, width: int = W) -> np.ndarray:
    """A frame whose number stands in its top rows as white and black blocks, above a red and a blue side."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, : width // 2, 0], image[:, width // 2 :, 2] = 200, 200
    for bit in range(8):
        image[:8, 8 * bit : 8 * bit + 8] = 255 if number >> bit & 1 else 0
    return image


def number_of(image: np.ndarray) -> int:
    return sum(1 << bit for bit in range(8) if image[2:6, 8 * bit + 2 : 8 * bit + 6].mean() > 128)


def make(
    path: Path,
    codec: str = "libx264",
    numbers: Iterable[int] = range(N),
    times: Iterable[int] | None = None,
    rotation: int | None = None,
    size: tuple[int, int] = (H, W),
    **muxing: str,
) -> Path:
    """A small video with B-frames and a key frame in every 10."""
    options = {"g": "10", "threads": "1"} if codec == "libx264" else {}
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, time in zip(numbers, times or range(1000), strict=False):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(source: Path, path: Path, skip: float) -> Path:
    """The stream from a time on, copied from the key frame before it: an edit list hides what lies between."""
    with av.open(str(source)) as old, av.open(str(path), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        start = round(skip / float(old.streams.video[0].time_base))
        old.seek(start, stream=old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.pts, packet.dts = packet.pts - start, packet.dts - start
                packet.stream = stream
                new.mux(packet)
    return path


def has_encoder(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


CODECS = [
    ("v.mp4", "libx264"),
    ("v.mkv", "libx264"),
    ("v.ts", "libx264"),
    ("v.h264", "libx264"),
    ("v.mp4", "libx265"),
    ("v.webm", "libvpx"),
    ("v.webm", "vp9"),
    ("v.avi", "mpeg4"),
    ("v.avi", "mjpeg"),
    ("v.mkv", "ffv1"),
    ("v.mp4", "libsvtav1"),
]


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_every_frame_is_in_its_place(name: str, codec: str, tmp_path: Path) -> None:
    if not has_encoder(codec):
        pytest.skip(f"this build of FFmpeg has no {codec}")
    reader = open_video(make(tmp_path / name, codec))
    fps = 25.0 if name.endswith("h264") else 30.0  # a bare stream has no times; 25 is what FFmpeg takes it for
    assert reader.info == VideoInfo(name, H, W, N, fps)
    assert [number_of(image) for image in reader.frames()] == list(range(N))
    for start, stop in ((0, 1), (5, 9), (10, 13), (19, 30), (29, 30), (7, 7)):
        assert [number_of(image) for image in reader.frames(start, stop)] == list(range(start, stop))
    picked = reader.pick([21, 4, 4, 12])
    assert picked.shape == (4, H, W, 3) and [number_of(image) for image in picked] == [21, 4, 4, 12]
    image = next(reader.frames())
    assert image.dtype == np.uint8 and image[30, 10, 0] > 150 > 80 > image[30, 10, 2] and image[30, 60, 2] > 150


def test_decord_and_pyav_give_the_same_pictures(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    reader = open_video(make(tmp_path / "v.mp4"))
    assert reader._pick is not None
    for number, image in zip((17, 3), reader.pick([17, 3]), strict=True):
        assert np.abs(image.astype(int) - next(reader.frames(number, number + 1))).max() <= 2


def test_without_decord_pyav_picks(tmp_path: Path) -> None:
    make(tmp_path / "v.mp4")
    code = (
        "import sys; sys.modules['decord'] = None\n"
        "from vidamodal.media.video import open_video\n"
        f"reader = open_video({str(tmp_path / 'v.mp4')!r})\n"
        "assert reader._pick is None and reader.pick([7, 3]).shape == (2, 48, 80, 3)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_video_in_memory(tmp_path: Path) -> None:
    reader = open_bytes(make(tmp_path / "v.mp4").read_bytes(), "clip.mp4")
    assert reader.info.path == "clip.mp4"
    assert [number_of(image) for image in reader.frames(8, 12)] == [8, 9, 10, 11]
    assert [number_of(image) for image in reader.pick([11, 2])] == [11, 2]
    with pytest.raises(InputError, match="^half.mp4: "):
        open_bytes((tmp_path / "v.mp4").read_bytes()[:1000], "half.mp4")


def test_an_edit_list_hides_frames(tmp_path: Path) -> None:
    path = remux(make(tmp_path / "v.mp4"), tmp_path / "edited.mp4", skip=14 / 30)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 20  # from key frame 10 on; 16 are shown
    reader = open_video(path)
    assert reader.info.frames == 16
    assert [number_of(image) for image in reader.frames()] == list(range(14, 30))
    assert [number_of(image) for image in reader.frames(3, 5)] == [17, 18]
    assert [number_of(image) for image in reader.pick([15, 0])] == [29, 14]


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_applied(rotation: int, tmp_path: Path) -> None:
    reader = open_video(make(tmp_path / "v.mp4", rotation=rotation))
    upright = np.rot90(picture(5), rotation // 90)
    assert (reader.info.height, reader.info.width) == upright.shape[:2]
    image = next(reader.frames(5, 6))
    assert np.abs(image.astype(int) - upright).mean() < 12
    assert np.abs(reader.pick([5])[0].astype(int) - upright).mean() < 12


def test_variable_rate_keeps_every_frame_once(tmp_path: Path) -> None:
    reader = open_video(make(tmp_path / "v.mp4", times=[i + i // 7 * 5 for i in range(N)]))
    assert reader.info.frames == N and 15 < reader.info.fps < 30
    assert [number_of(image) for image in reader.frames()] == list(range(N))
    assert [number_of(image) for image in reader.pick([28, 6])] == [28, 6]


def test_a_single_frame(tmp_path: Path) -> None:
    reader = open_video(make(tmp_path / "v.mp4", numbers=[9]))
    assert [number_of(image) for image in reader.frames()] == [9] and reader.info.frames == 1


# Damage


def refused(path: Path) -> str:
    """The one line that says why a video is not read to its end."""
    with pytest.raises(InputError) as error:
        for _ in open_video(path).frames():
            pass
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def cut(path: Path, name: str, share: float, after: bytes, before: bytes = b"") -> Path:
    """A copy that ends within what lies between two marks."""
    content = path.read_bytes()
    start, end = content.index(after) + 8, content.rindex(before) if before else len(content)
    (path.parent / name).write_bytes(content[: start + round((end - start) * share)])
    return path.parent / name


def test_files_that_are_no_video(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "missing.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in refused(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    assert "cannot be read as a video" in refused(tmp_path / "text.mp4")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "cannot be read as a video" in refused(tmp_path / "noise.mp4")
    (tmp_path / "folder").mkdir()
    assert "no PNG or JPEG" in refused(tmp_path / "folder")


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    make(tmp_path / "v.ts")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nv.ts\n#EXT-X-ENDLIST\n")
    assert "cannot be read as a video" in refused(tmp_path / "list.m3u8")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile v.ts\n")
    assert "cannot be read as a video" in refused(tmp_path / "list.mp4")


def test_audio_only(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        for start in range(0, 8000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "audio only" in refused(tmp_path / "sound.mp4")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_cut_files_say_how_much_of_them_is_left(share: float, tmp_path: Path) -> None:
    """``share`` is how much of the pictures is left, after headers."""
    whole = make(tmp_path / "whole.mp4")
    assert "cannot be read as a video" in refused(
        cut(whole, "cut.mp4", share, b"mdat", b"moov")
    )  # its index stood at the end
    fast = make(tmp_path / "fast.mp4", movflags="faststart")
    assert re.search(rf"only \d+ of {N} frames are in the file", refused(cut(fast, "half.mp4", share, b"mdat")))
    avi = make(tmp_path / "v.avi", "mpeg4")
    assert re.search(rf"only \d+ of {N} frames are in the file", refused(cut(avi, "half.avi", share, b"movi", b"idx1")))
    edited = remux(whole, tmp_path / "edited.mp4", skip=14 / 30)
    assert re.search(r"only \d+ of 16 frames are in the file", refused(cut(edited, "edited2.mp4", share, b"mdat")))


def test_a_cut_matroska_misses_part_of_its_length(tmp_path: Path) -> None:
    whole = make(tmp_path / "v.mkv", numbers=range(60))
    assert "frames are in the file; it is cut off" in refused(cut(whole, "cut.mkv", 0.6, b"\x1f\x43\xb6\x75"))


def test_damaged_frames_are_never_handed_on_as_whole(tmp_path: Path) -> None:
    path = make(tmp_path / "v.mp4")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    place, size = packets[10]
    content[place + size // 2 : place + size // 2 + 8] = bytes(8)
    path.write_bytes(content)
    message = refused(path)
    assert "damaged" in message or "cannot be decoded" in message or "could be decoded" in message


def test_a_change_of_size(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a.h264"), make(tmp_path / "b.h264", size=(64, 96))
    (tmp_path / "ab.h264").write_bytes(first.read_bytes() + second.read_bytes())
    assert f"frame {N} has 64 x 96 pixels, but the first has {H} x {W}" in refused(tmp_path / "ab.h264")


# Folders and images


def test_a_folder_of_frames_in_natural_order(tmp_path: Path) -> None:
    for number in range(12):
        Image.fromarray(picture(number)).save(tmp_path / f"f{number}.{'png' if number % 2 else 'jpg'}")
    (tmp_path / "notes.txt").write_text("x")
    reader = open_video(tmp_path)
    assert reader.info == VideoInfo(tmp_path.name, H, W, 12, FOLDER_FPS)
    assert reader.stems == tuple(f"f{number}" for number in range(12))
    assert [number_of(image) for image in reader.frames()] == list(range(12))
    assert [number_of(image) for image in reader.frames(9, 11)] == [9, 10]
    assert [number_of(image) for image in reader.pick([3, 11])] == [3, 11]


def test_bad_folders(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    Image.fromarray(picture(1, 50, 80)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match="1.png: 50 x 80 pixels, but the first frame has 48 x 80"):
        list(open_video(tmp_path).frames())
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    with pytest.raises(InputError, match="1.png: cannot be read as an image"):
        list(open_video(tmp_path).frames())
    Image.fromarray(picture(0)).save(tmp_path / "0.jpg")
    with pytest.raises(InputError, match="are the same frame"):
        open_video(tmp_path)


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(picture(77, 47, 81)).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    reader = open_video(tmp_path / "p.png")
    assert reader.info == VideoInfo("p.png", 47, 81, 1, 1.0) and reader.stems is None
    assert [number_of(image) for image in reader.frames()] == [77]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(picture(5)).save(tmp_path / "p.jpg", exif=exif, quality=95)
    reader = open_video(tmp_path / "p.jpg")
    assert (reader.info.height, reader.info.width) == (W, H)
    assert np.abs(next(reader.frames()).astype(int) - np.rot90(picture(5), -1)).mean() < 12


# Writing


@pytest.mark.parametrize("size", [(48, 80), (49, 81), (1, 1), (270, 480)])
def test_written_videos_hold_every_frame_and_the_same_bytes(size: tuple[int, int], tmp_path: Path) -> None:
    frames = [picture(number, *size) for number in range(12)]
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, iter(frames), 29.97)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    reader = open_video(tmp_path / "a.mp4")
    height, width = (side + side % 2 for side in size)
    assert reader.info == VideoInfo("a.mp4", height, width, 12, 29.97)
    for image, frame in zip(reader.frames(), frames, strict=True):
        assert np.abs(image[: size[0], : size[1]].astype(int) - frame).mean() < 30 if min(size) > 1 else True
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_colours_survive_writing(tmp_path: Path) -> None:
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [240, 240, 240]], dtype=np.uint8)
    image = np.repeat(np.repeat(colours.reshape(2, 2, 3), 32, 0), 32, 1)
    write_video(tmp_path / "c.mp4", [image] * 3, 10)
    seen = next(open_video(tmp_path / "c.mp4").frames())[16::32, 16::32]
    assert np.abs(seen.reshape(4, 3).astype(int) - colours).max() <= 4


@given(
    npst.arrays(bool, st.tuples(st.integers(1, 4), st.integers(3, 33), st.integers(3, 33))),
    st.sampled_from([1.0, 12.5, 23.976, 29.97, 60.0]),
)
@settings(max_examples=25, deadline=None)
def test_mask_videos_are_lossless(tmp_path_factory: pytest.TempPathFactory, masks: np.ndarray, fps: float) -> None:
    path = tmp_path_factory.mktemp("masks") / "1.mkv"
    write_mask_video(path, iter(masks), fps)
    first = path.read_bytes()
    write_mask_video(path, iter(masks), fps)
    assert path.read_bytes() == first
    reader = open_video(path)
    assert (reader.info.frames, reader.info.height, reader.info.width) == masks.shape
    np.testing.assert_array_equal(np.stack(list(reader.frames())), np.repeat(masks[..., None], 3, -1) * np.uint8(255))


def test_a_failed_writing_leaves_what_was_there(tmp_path: Path) -> None:
    def failing() -> Iterable[np.ndarray]:
        yield picture(0)
        raise OSError("no space left")

    path = tmp_path / "v.mp4"
    write_video(path, [picture(1)], 10)
    before = path.read_bytes()
    with pytest.raises(OSError, match="no space"):
        write_video(path, failing(), 10)
    with pytest.raises(ValueError, match="no frames"):
        write_video(path, [], 10)
    with pytest.raises(ValueError, match="another size"):
        write_video(path, [picture(0), picture(0, 50, 80)], 10)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_probe_reads_no_more_than_it_must(tmp_path: Path) -> None:
    assert probe(make(tmp_path / "v.mp4")) == VideoInfo("v.mp4", H, W, N, 30.0)
    with pytest.raises(ValueError, match="frames 0 to 31 lie outside"):
        open_video(tmp_path / "v.mp4").frames(0, 31)

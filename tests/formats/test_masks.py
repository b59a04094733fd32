"""Masks: every form gives the same tracks, and what does not fit the video is refused in one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from vidamodal.formats import VideoContext
from vidamodal.formats import read_masks as read_masks_of
from vidamodal.formats.tracks import write_tracks
from vidamodal.media.mask_images import write_object_masks
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo


def read_masks(path: Path, video: VideoInfo, names: list[str] | None = None) -> ClipTracks:
    return read_masks_of(path, VideoContext(video, None if names is None else tuple(names)))


H, W, T = 9, 7, 6
VIDEO = VideoInfo("v.mp4", H, W, T, 12.0)
FRAMES = [0, 1, 3, 4]
"""The annotated frames: 2 and 5 are not."""


def id_maps() -> np.ndarray:
    """(4, h, w): object 1 in all annotated frames but the third, object 5 from the second on, nothing in the last."""
    maps = np.zeros((len(FRAMES), H, W), dtype=np.uint8)
    maps[[0, 1], 1:4, 1:3] = 1
    maps[[1, 2], 5:, 2:] = 5
    return maps


def expected() -> ClipTracks:
    maps, nothing = id_maps(), Rle.empty(H, W)
    one = (Rle.encode(maps[0] == 1), Rle.encode(maps[1] == 1), None, nothing, nothing, None)
    five = (None, Rle.encode(maps[1] == 5), None, Rle.encode(maps[2] == 5), nothing, None)
    return ClipTracks(VIDEO, (Track(1, one), Track(5, five)))


def save_palette(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette([17 * i % 256 for i in range(768)])
    image.save(path)


def save_grey(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def as_palette(path: Path) -> Path:
    for frame, values in zip(FRAMES, id_maps(), strict=True):
        save_palette(path / f"{frame:05d}.png", values)
    return path


def as_grey(path: Path) -> Path:
    for frame, values in zip(FRAMES, id_maps(), strict=True):
        save_grey(path / f"frame_{frame}.png", values.astype(np.uint16))
    return path


def as_object_folders(path: Path) -> Path:
    for number, name in ((1, "001"), (5, "005")):
        for frame, values in zip(FRAMES, id_maps() == number, strict=True):
            if values.any() or (frame == 4 and number == 1):  # in frame 4, object 5 has no PNG and 1 an empty one
                save_grey(path / name / f"{frame:05d}.png", values.astype(np.uint8) * 255)
    return path


def as_id_npz(path: Path) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), masks=id_maps().astype(np.int64), frames=FRAMES)
    return path.with_suffix(".npz")


def as_bool_npz(path: Path) -> Path:
    stack = np.stack([id_maps() == 5, id_maps() == 1])
    np.savez(path.with_suffix(".npz"), masks=stack, ids=[5, 1], frames=np.array(FRAMES))
    return path.with_suffix(".npz")


def as_tracks(path: Path) -> Path:
    write_tracks(path, expected())
    return path


@pytest.mark.parametrize("save", [as_palette, as_grey, as_object_folders, as_id_npz, as_bool_npz, as_tracks])
def test_every_form_gives_the_same_tracks(save, tmp_path: Path) -> None:
    assert read_masks(save(tmp_path / "masks"), VIDEO) == expected()


def test_a_tracks_json_gives_visible_masks_and_never_the_truth(tmp_path: Path) -> None:
    full = Rle.encode(np.ones((H, W), dtype=bool))
    track = Track(3, (full, None) * 3, (full,) * T, (0.5,) * T, label="mug")
    write_tracks(tmp_path / "truth", ClipTracks(VIDEO, (track,), True, ((),) * T, {"seed": 1}))
    mine = VideoInfo("other.mp4", H, W, T, 30.0)
    assert read_masks(tmp_path / "truth", mine) == ClipTracks(mine, (Track(3, track.visible, label="mug"),), True)


def test_stems_match_those_of_a_folder_of_frames(tmp_path: Path) -> None:
    stems = [f"left{10 * i}" for i in range(T)]
    for frame, values in zip(FRAMES, id_maps(), strict=True):
        save_palette(tmp_path / f"{stems[frame]}.png", values)
    assert read_masks(tmp_path, VIDEO, stems) == expected()
    save_palette(tmp_path / "left11.png", id_maps()[0])
    with pytest.raises(InputError, match="left11.png: no frame of the video has this name"):
        read_masks(tmp_path, VIDEO, stems)


def test_void_is_background_beside_other_ids_and_an_object_alone(tmp_path: Path) -> None:
    maps = id_maps()
    alone = (maps[0] == 1).astype(np.uint8) * 255
    maps[:, 0, :] = 255
    for frame, values in zip(FRAMES, maps, strict=True):
        save_palette(tmp_path / "void" / f"{frame}.png", values)
    assert read_masks(tmp_path / "void", VIDEO) == expected()
    np.savez(tmp_path / "void.npz", masks=maps, frames=FRAMES)
    assert read_masks(tmp_path / "void.npz", VIDEO) == expected()
    np.savez(tmp_path / "named.npz", masks=maps, frames=FRAMES, ids=[1, 5, 255])
    assert [track.id for track in read_masks(tmp_path / "named.npz", VIDEO).tracks] == [1, 5, 255]
    save_grey(tmp_path / "binary" / "0.png", alone)
    assert [track.id for track in read_masks(tmp_path / "binary", VIDEO).tracks] == [255]


def test_an_image_takes_one_png(tmp_path: Path) -> None:
    save_palette(tmp_path / "mask.png", id_maps()[1])
    clip = read_masks(tmp_path / "mask.png", VideoInfo("photo.jpg", H, W, 1, 1.0))
    assert [track.id for track in clip.tracks] == [1, 5]
    with pytest.raises(InputError, match="one PNG for a video of 6 frames"):
        read_masks(tmp_path / "mask.png", VIDEO)


def test_npz_defaults(tmp_path: Path) -> None:
    stack = np.stack([id_maps() == 1, id_maps() == 5])
    np.savez(tmp_path / "a.npz", masks=stack)
    clip = read_masks(tmp_path / "a.npz", VIDEO)
    assert [track.id for track in clip.tracks] == [1, 2]
    assert clip.tracks[0].visible[4:] == (None, None)
    np.savez(tmp_path / "b.npz", masks=stack[0], ids=[0, 1, 7])
    clip = read_masks(tmp_path / "b.npz", VIDEO)
    assert [track.id for track in clip.tracks] == [1, 7] and clip.tracks[1].visible == (None,) * T


@given(npst.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, T), st.just(H), st.just(W))))
@settings(max_examples=25, deadline=None)
def test_overlapping_masks_are_kept(tmp_path_factory: pytest.TempPathFactory, stack: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("masks")
    np.savez(folder / "m.npz", masks=stack)
    for number, masks in enumerate(stack, 1):
        write_object_masks(folder / "out", number, map(Rle.encode, masks))
    clip = read_masks(folder / "m.npz", VIDEO)
    assert read_masks(folder / "out", VIDEO) == clip
    for track, masks in zip(clip.tracks, stack, strict=True):
        for rle, mask in zip(track.visible, masks, strict=False):
            np.testing.assert_array_equal(np.zeros((H, W), dtype=bool) if rle is None else rle.decode(), mask)


def test_mask_folders_hold_black_and_white_and_skip_what_is_not_known(tmp_path: Path) -> None:
    write_object_masks(tmp_path, 12, expected().tracks[1].visible)
    assert sorted(p.name for p in (tmp_path / "12").iterdir()) == ["00001.png", "00003.png", "00004.png"]
    values = np.asarray(Image.open(tmp_path / "12" / "00001.png"))
    np.testing.assert_array_equal(values, (id_maps()[1] == 5) * 255)


# What is refused


def npz(path: Path, **arrays: object) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def bomb(path: Path) -> None:
    """A header that promises 8 TB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (10**6, 1000, 1000)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("masks.npy", header.getvalue())


def short(path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|b1", "fortran_order": False, "shape": (T, H, W)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("masks.npy", header.getvalue() + bytes(100))


def flipped(path: Path) -> None:
    np.savez(path, masks=id_maps())
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    np.savez(path, masks=id_maps())
    path.write_bytes(path.read_bytes()[:-40])


MAPS = np.zeros((T, H, W), dtype=np.int32)
BAD_NPZ = {
    "a pickle": (lambda p: npz(p, masks=np.array([{}, {}], dtype=object)), "pickled objects, which are never opened"),
    "a pickle as ids": (lambda p: npz(p, masks=MAPS > 0, ids=np.array([{}], dtype=object)), "pickled objects"),
    "no masks": (lambda p: npz(p, other=MAPS), "no array named masks"),
    "a bomb": (bomb, r"masks of 1000 x 1000 pixels, the video has 9 x 7"),
    "floats": (lambda p: npz(p, masks=MAPS + 0.5), "masks is float64"),
    "integers an object": (lambda p: npz(p, masks=MAPS[None]), "masks is int32"),
    "two axes": (lambda p: npz(p, masks=MAPS[0]), "masks is int32"),
    "another size": (lambda p: npz(p, masks=MAPS.transpose(0, 2, 1).copy()), "masks of 7 x 9 pixels"),
    "too many frames": (lambda p: npz(p, masks=np.zeros((T + 1, H, W), bool)), "the video has 6 frames"),
    "no frame": (lambda p: npz(p, masks=MAPS[:0]), "save at least one mask"),
    "no object": (lambda p: npz(p, masks=np.zeros((0, T, H, W), bool)), "masks is"),
    "a negative id": (lambda p: npz(p, masks=MAPS - 1), "holds the id -1"),
    "an unnamed id": (lambda p: npz(p, masks=MAPS + 4, ids=[3]), "holds the id 4, which ids does not name"),
    "double ids": (lambda p: npz(p, masks=np.zeros((2, T, H, W), bool), ids=[3, 3]), "must be different integers"),
    "too few ids": (lambda p: npz(p, masks=np.zeros((2, T, H, W), bool), ids=[3]), r"save \(2,\) integers"),
    "ids as text": (lambda p: npz(p, masks=MAPS, ids=["a"]), "integers"),
    "a double frame": (lambda p: npz(p, masks=MAPS[:2], frames=[1, 1]), "names a frame twice"),
    "a frame past the end": (lambda p: npz(p, masks=MAPS[:2], frames=[1, 6]), "frame 6, the video has 0 to 5"),
    "too few frames": (lambda p: npz(p, masks=MAPS, frames=[1]), r"save \(6,\) integers"),
    "Fortran order": (lambda p: npz(p, masks=np.asfortranarray(MAPS)), "np.ascontiguousarray"),
    "too few values": (short, "ends before its masks do"),
    "a flipped bit": (flipped, "not an .npz that can be read"),
    "a cut archive": (cut, "not in a known format"),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_bad_npz_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    save, message = BAD_NPZ[name]
    save(tmp_path / "m.npz")
    with pytest.raises(InputError, match=message) as error:
        read_masks(tmp_path / "m.npz", VIDEO)
    assert "m.npz: " in str(error.value) and "\n" not in str(error.value)


def with_colour(path: Path) -> None:
    save_grey(as_palette(path) / "00002.png", np.zeros((H, W, 3), dtype=np.uint8))


def with_half_a_png(path: Path) -> None:
    whole = (as_palette(path) / "00003.png").read_bytes()
    (path / "00003.png").write_bytes(whole[: len(whole) // 2])


BAD_FOLDERS = {
    "nothing": (lambda p: p.mkdir(), "not in a known format"),
    "another size": (lambda p: save_palette(p / "00000.png", np.zeros((W, H))), "7 x 9 pixels, the video has 9 x 7"),
    "past the end": (lambda p: save_palette(as_palette(p) / "00006.png", id_maps()[0]), "frame 6 is beyond the end of the video"),
    "no number": (lambda p: save_palette(as_palette(p) / "last.png", id_maps()[0]), "last.png: the name is not a frame"),
    "two numbers": (lambda p: save_palette(p / "00000_1.png", id_maps()[0]), "the name is not a frame number"),
    "twice": (lambda p: save_palette(as_palette(p) / "0.png", id_maps()[0]), " 0.png and 00000.png are for the same"),
    "colours": (with_colour, "00002.png: a colour picture"),
    "half a PNG": (with_half_a_png, "00003.png: cannot be read as an image"),
    "maps beside folders": (lambda p: as_palette(as_object_folders(p)), "PNGs beside folders"),
    "a named folder": (lambda p: as_object_folders(p).joinpath("mug").mkdir(), "mug: the folder of an object must be named"),
    "a huge id": (lambda p: as_object_folders(p).joinpath("9" * 10).mkdir(), "must be named by its id"),
    "one id twice": (lambda p: as_object_folders(p).joinpath("1").mkdir(), "is the same id"),
    "empty folders": (lambda p: (p / "000").mkdir(parents=True), "not in a known format"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    save, message = BAD_FOLDERS[name]
    save(tmp_path / "masks")
    with pytest.raises(InputError, match=message) as error:
        read_masks(tmp_path / "masks", VIDEO)
    assert "\n" not in str(error.value)


def test_hidden_and_other_files_do_not_matter(tmp_path: Path) -> None:
    as_palette(tmp_path)
    (tmp_path / "readme.txt").write_text("masks")
    (tmp_path / "._00000.png").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    assert read_masks(tmp_path, VIDEO) == expected()


def test_other_files_are_refused(tmp_path: Path) -> None:
    for content, message in (
        (b"", "not in a known format"),
        (b"text", "not in a known format"),
        (b'{"a": 1}', "not in a known format"),
        (b"{", "not in a known format"),
    ):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_masks(tmp_path / "m", VIDEO)
    with pytest.raises(InputError, match="no such file"):
        read_masks(tmp_path / "missing", VIDEO)


@pytest.mark.parametrize("change", [{"height": H + 1}, {"width": W + 1}, {"frames": T - 1}, {"frames": T + 1}])
def test_tracks_of_another_video_are_refused(change: dict[str, int], tmp_path: Path) -> None:
    write_tracks(tmp_path / "t.json", expected())
    other = VideoInfo(**{**VIDEO.__dict__, **change})
    with pytest.raises(InputError, match="pass the masks of this video"):
        read_masks(tmp_path / "t.json", other)

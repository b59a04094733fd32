"""npz: defaults, and archives that are refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.formats.mask_data import VIDEO, H, T, W, id_maps, read_masks
from vidamodal.types import InputError


def test_npz_defaults(tmp_path: Path) -> None:
    stack = np.stack([id_maps() == 1, id_maps() == 5])
    np.savez(tmp_path / "a.npz", masks=stack)
    clip = read_masks(tmp_path / "a.npz", VIDEO)
    assert [track.id for track in clip.tracks] == [1, 2]
    assert clip.tracks[0].visible[4:] == (None, None)
    np.savez(tmp_path / "b.npz", masks=stack[0], ids=[0, 1, 7])
    clip = read_masks(tmp_path / "b.npz", VIDEO)
    assert [track.id for track in clip.tracks] == [1, 7] and clip.tracks[1].visible == (None,) * T


ORDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "(h, w, t)": lambda maps: maps.transpose(1, 2, 0),
    "(t, h, w, 1)": lambda maps: maps[..., None],
    "(t, 1, h, w)": lambda maps: maps[:, None],
    "(1, t, h, w)": lambda maps: maps[None],
    "Fortran's": np.asfortranarray,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_axes_are_recognised_by_their_lengths(order: str, dtype: type, tmp_path: Path) -> None:
    maps: np.ndarray = np.concatenate([id_maps(), id_maps()[:2]]).astype(dtype)
    np.savez(tmp_path / "usual.npz", masks=maps)
    np.savez(
        tmp_path / "a.npz", masks=np.ascontiguousarray(ORDERS[order](maps)) if order[0] == "(" else ORDERS[order](maps)
    )
    clip = read_masks(tmp_path / "a.npz", VIDEO)
    assert clip == read_masks(tmp_path / "usual.npz", VIDEO)
    assert (order == "Fortran's") == (clip.notes == ())


@pytest.mark.parametrize("values", [True, np.uint8(255), np.float32(1), np.int16(7)])
def test_objects_may_be_numbers_and_come_after_frames(values: object, tmp_path: Path) -> None:
    stack = np.concatenate([np.stack([id_maps() == 1, id_maps() == 5])] * 2, axis=1)[:, :T] * values
    np.savez(tmp_path / "n.npz", masks=stack)
    np.savez(tmp_path / "t.npz", masks=stack.swapaxes(0, 1))
    np.savez(tmp_path / "several.npz", object_1=stack[0], object_2=stack[1], scores=np.ones(3))
    clip = read_masks(tmp_path / "n.npz", VIDEO)
    assert [track.id for track in clip.tracks] == [1, 2]
    assert clip == read_masks(tmp_path / "t.npz", VIDEO) == read_masks(tmp_path / "several.npz", VIDEO)


def test_another_name_and_an_array_for_each_frame(tmp_path: Path) -> None:
    np.savez(tmp_path / "usual.npz", masks=id_maps())
    np.savez(tmp_path / "other.npz", segmentation=id_maps(), scores=np.ones(3))
    np.savez(tmp_path / "frames.npz", *id_maps())
    usual, other = read_masks(tmp_path / "usual.npz", VIDEO), read_masks(tmp_path / "other.npz", VIDEO)
    assert usual == other == read_masks(tmp_path / "frames.npz", VIDEO)
    assert other.notes[0] == "other.npz: the masks are in the array segmentation"


def test_damaged_archives_end_in_masks_or_one_line(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "m.npz", masks=id_maps(), frames=[0, 1, 3, 4])
    content, generator = (tmp_path / "m.npz").read_bytes(), np.random.default_rng(5)
    for _ in range(200):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), generator.integers(1, 5)):
            damaged[place] = generator.integers(256)
        (tmp_path / "m.npz").write_bytes(damaged)
        try:
            read_masks(tmp_path / "m.npz", VIDEO)
        except InputError:
            continue


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
    "no masks": (lambda p: npz(p, scores=MAPS[0, 0], boxes=MAPS[0, :, :4]), "no array named masks"),
    "a bomb": (bomb, r"shape \(1000000, 1000, 1000\), which does not fit the video of 6 frames of 9 x 7"),
    "floats": (lambda p: npz(p, masks=MAPS + 0.5), "float with non-integer values"),
    "logits of objects": (lambda p: npz(p, masks=np.stack([MAPS - 2.5, MAPS + 1.5])), "values below 0; threshold it"),
    "ids of objects": (lambda p: npz(p, masks=np.stack([id_maps(), id_maps()])), "values other than 0 and 5"),
    "one axis": (lambda p: npz(p, masks=MAPS[0, 0]), "masks has dtype int32"),
    "text": (lambda p: npz(p, masks=np.full((T, H, W), "a")), "masks has dtype <U1"),
    "another size": (lambda p: npz(p, masks=MAPS.transpose(0, 2, 1).copy()), r"shape \(6, 7, 9\), which does not fit"),
    "too many frames": (
        lambda p: npz(p, masks=np.zeros((T + 1, H, W), bool)),
        r"shape \(7, 9, 7\), which does not fit the video of 6 frames",
    ),
    "no frame": (lambda p: npz(p, masks=MAPS[:0]), "save 1 to"),
    "no object": (lambda p: npz(p, masks=np.zeros((0, T, H, W), bool)), "masks has shape"),
    "a negative id": (lambda p: npz(p, masks=MAPS - 1), "contains the id -1"),
    "an unnamed id": (lambda p: npz(p, masks=MAPS + 4, ids=[3]), "contains the id 4, which is not in ids"),
    "double ids": (lambda p: npz(p, masks=np.zeros((2, T, H, W), bool), ids=[3, 3]), "must be different integers"),
    "too few ids": (lambda p: npz(p, masks=np.zeros((2, T, H, W), bool), ids=[3]), r"save \(2,\) integers"),
    "ids as text": (lambda p: npz(p, masks=MAPS, ids=["a"]), "integers"),
    "a double frame": (lambda p: npz(p, masks=MAPS[:2], frames=[1, 1]), "appears twice in frames"),
    "a frame past the end": (
        lambda p: npz(p, masks=MAPS[:2], frames=[1, 6]),
        "frames contains 6, but the video has 0 to 5",
    ),
    "too few frames": (lambda p: npz(p, masks=MAPS, frames=[1]), r"save \(6,\) integers"),
    "too few values": (short, "the file ends within masks"),
    "a flipped bit": (flipped, "cannot be read as an .npz"),
    "a cut archive": (cut, "a damaged archive; copy it again"),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_bad_npz_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    save, message = BAD_NPZ[name]
    save(tmp_path / "m.npz")
    with pytest.raises(InputError, match=message) as error:
        read_masks(tmp_path / "m.npz", VIDEO)
    assert "m.npz: " in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["frame_idx", "frame_indices", "frame_ids", "frame_numbers"])
def test_frames_may_have_another_name(name: str, tmp_path: Path) -> None:
    npz(tmp_path / "a.npz", masks=id_maps(), **{name: [0, 1, 3, 4]})
    npz(tmp_path / "b.npz", masks=id_maps(), frames=[0, 1, 3, 4])
    clip = read_masks(tmp_path / "a.npz", VIDEO)
    assert clip == read_masks(tmp_path / "b.npz", VIDEO)
    assert f"a.npz: the array {name} is read as frames" in clip.notes


@pytest.mark.parametrize("name", ["object_ids", "obj_ids", "track_ids", "labels"])
def test_ids_may_have_another_name(name: str, tmp_path: Path) -> None:
    npz(tmp_path / "a.npz", masks=np.stack([id_maps() == 1, id_maps() == 5]), **{name: [5, 9]})
    clip = read_masks(tmp_path / "a.npz", VIDEO)
    assert [track.id for track in clip.tracks] == [5, 9]
    assert f"a.npz: the array {name} is read as ids" in clip.notes


@pytest.mark.parametrize("values", [["cat", "dog"], [3, 3], [0.5, 0.9]])
def test_arrays_that_are_not_read_are_named(values: list[object], tmp_path: Path) -> None:
    npz(tmp_path / "a.npz", masks=np.stack([id_maps() == 1, id_maps() == 5]), labels=values)
    clip = read_masks(tmp_path / "a.npz", VIDEO)
    assert [track.id for track in clip.tracks] == [1, 2]
    assert "a.npz: the array labels is not read" in clip.notes
    assert "a.npz: masks for the first 4 of 6 frames; the others are unknown" in clip.notes


def test_arrays_of_frames_may_count_from_1(tmp_path: Path) -> None:
    maps = np.concatenate([id_maps(), id_maps()[:2]])
    npz(tmp_path / "usual.npz", masks=maps)
    npz(tmp_path / "a.npz", **{f"frame_{t}": ids for t, ids in enumerate(maps, 1)})
    clip = read_masks(tmp_path / "a.npz", VIDEO)
    assert clip == read_masks(tmp_path / "usual.npz", VIDEO)
    assert "a.npz: 6 arrays, each is a frame; file names count from 1: frame_1 is frame 0" in clip.notes
    npz(tmp_path / "beyond.npz", **{f"frame_{t}": ids for t, ids in enumerate(maps, 5)}, frame_20=maps[0])
    with pytest.raises(InputError, match=r"beyond.npz/frame_6: frame 6 is beyond the end of the video"):
        read_masks(tmp_path / "beyond.npz", VIDEO)


def test_the_order_of_as_many_objects_as_frames_is_reported(tmp_path: Path) -> None:
    npz(tmp_path / "a.npz", masks=np.ones((T, T, H, W), bool))
    assert read_masks(tmp_path / "a.npz", VIDEO).notes[0].endswith("is read as (n, t, h, w), objects before frames")


def test_objects_of_one_frame_may_list_their_ids(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", masks=np.ones((2, 1, H, W), bool), ids=[3, 4])
    assert [track.id for track in read_masks(tmp_path / "objects.npz", VIDEO).tracks] == [3, 4]
    np.savez(tmp_path / "number.npz", masks=id_maps(), frames=3)
    with pytest.raises(InputError, match="save a list of integers"):
        read_masks(tmp_path / "number.npz", VIDEO)

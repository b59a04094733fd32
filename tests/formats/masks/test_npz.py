"""npz: defaults, and archives that are refused."""

from __future__ import annotations

import io
import zipfile
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
    "a bomb": (bomb, r"masks of 1000 x 1000 pixels, but the video has 9 x 7"),
    "floats": (lambda p: npz(p, masks=MAPS + 0.5), "masks has dtype float64"),
    "integers an object": (lambda p: npz(p, masks=MAPS[None]), "masks has dtype int32"),
    "two axes": (lambda p: npz(p, masks=MAPS[0]), "masks has dtype int32"),
    "another size": (lambda p: npz(p, masks=MAPS.transpose(0, 2, 1).copy()), "masks of 7 x 9 pixels"),
    "too many frames": (
        lambda p: npz(p, masks=np.zeros((T + 1, H, W), bool)),
        "masks for 7 frames, but the video has 6",
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
    "Fortran order": (lambda p: npz(p, masks=np.asfortranarray(MAPS)), "np.ascontiguousarray"),
    "too few values": (short, "the file ends within the masks"),
    "a flipped bit": (flipped, "cannot be read as an .npz"),
    "a cut archive": (cut, "in no known format"),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_bad_npz_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    save, message = BAD_NPZ[name]
    save(tmp_path / "m.npz")
    with pytest.raises(InputError, match=message) as error:
        read_masks(tmp_path / "m.npz", VIDEO)
    assert "m.npz: " in str(error.value) and "\n" not in str(error.value)

"""FISHBOWL's pickle is never opened by the reader, and converted only if it is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.dev import convert_fishbowl
from tests.formats.image_data import box, checked, fishbowl, frames, picture, refusal
from vidamodal.formats import find_dataset
from vidamodal.types import InputError, Rle, VideoInfo


def test_fishbowl_is_converted_only_when_it_is_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fishbowl(tmp_path / "test_data/test_data.pkl")
    out, convert = tmp_path / "out", convert_fishbowl.main
    assert convert([str(path), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "--trust" in message and not out.exists()
    assert convert([str(path), "--out", str(out), "--trust", "--quiet"]) == 0
    clip = checked(find_dataset(out).clips["00043"])
    assert [(t.id, t.label) for t in clip.tracks] == [(2, "Cod"), (7, "Cod")] and not clip.exhaustive
    assert clip.video == VideoInfo("00043.mp4", 320, 480, 5, 24.0)
    _, swimmer = clip.tracks
    assert swimmer.visible[:3] == (None,) * 3 and swimmer.amodal is not None
    assert swimmer.amodal[3] == Rle.encode(box(20, 30, 60, 90, 320, 480))
    assert swimmer.visible[3] == Rle.encode(box(20, 50, 60, 90, 320, 480))


def test_fishbowl_with_frames(tmp_path: Path) -> None:
    path = fishbowl(tmp_path / "test_data.pkl")
    for t in range(6):
        picture(tmp_path / f"test_frames/00043/{t:05d}.png", 100, 320, 480)
    assert convert_fishbowl.convert(path, tmp_path / "out", tmp_path / "test_frames") == 1
    clip = find_dataset(tmp_path / "out").clips["00043"]
    assert clip.tracks().video.frames == len(frames(clip)) == 6
    (tmp_path / "test_frames/00043/00005.png").unlink()
    (tmp_path / "test_frames/00043/00004.png").unlink()
    with pytest.raises(InputError, match="frame 4 is annotated"):
        convert_fishbowl.convert(path, tmp_path / "again", tmp_path / "test_frames")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("a pickle ran code",))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"00043_9": Evil()}, "builtins.print"),
        ({"00043_9": np.array([Evil()], dtype=object)}, "builtins.print"),
        ({"../x_9": {}}, "../x_9"),
        ({"00043_9": [1]}, "00043_9 must be an object"),
        ({"00043_9": {"1": 2}}, "not a frame number"),
        ({"00043_9": {2: {"VM": []}}}, "VM must be a list of one RLE"),
        ({"00043_9": {2: {"VM": [{"size": [320, 480], "counts": b"0"}]}}}, "sum to"),
    ],
)
def test_pickles_with_other_content_are_refused(
    tmp_path: Path, more: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fishbowl(tmp_path / "test_data.pkl", **more)
    with pytest.raises(InputError) as error:
        convert_fishbowl.convert(path, tmp_path / "out")
    assert words in str(error.value) and "\n" not in str(error.value)
    assert capsys.readouterr().out == "" and not (tmp_path / "out").exists()


def test_a_cut_off_pickle_is_refused(tmp_path: Path) -> None:
    path = fishbowl(tmp_path / "test_data.pkl")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="not a pickle of plain data"):
        convert_fishbowl.convert(path, tmp_path / "out")


def test_the_reader_never_opens_a_pickle(tmp_path: Path) -> None:
    path = fishbowl(tmp_path / "train_data/train_data.pkl", evil=Evil())
    for start in (path, path.parent, tmp_path):
        assert "convert_fishbowl --trust" in refusal(start)

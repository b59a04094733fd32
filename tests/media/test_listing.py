"""Tests of the content of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidamodal.media.listing import is_foreign, list_folder, list_folders, natural_key, plain_name

LEFT_BEHIND = [
    ".DS_Store",
    "._00000.png",
    "Thumbs.db",
    "desktop.ini",
    "@eaDir",
    "__MACOSX",
    ".ipynb_checkpoints",
    "checkpoints",
    "lost+found",
    "~$notes.docx",
]


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_other_programs_leave_in_a_folder_is_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "0.png").touch()
    assert is_foreign(name)
    assert [entry.name for entry in list_folder(tmp_path)] == ["0.png"]
    assert list_folders(tmp_path) == []


@pytest.mark.parametrize("name", ["00000.png", "checkpoints.png", "mask", "Thumbs", "_4Cd-y1", "~0.png"])
def test_other_names_are_listed(name: str) -> None:
    assert not is_foreign(name)


def test_numbers_in_names_are_sorted_by_value(tmp_path: Path) -> None:
    assert sorted(["f10", "f9", "07", "7", "a"], key=natural_key) == ["a", "f9", "f10", "07", "7"]
    for name in ("f10.png", "f.png", "f9.png"):
        (tmp_path / name).touch()
    assert [entry.name for entry in list_folder(tmp_path)] == ["f.png", "f9.png", "f10.png"]


def test_plain_names_hold_no_separator_and_can_be_encoded() -> None:
    assert plain_name(Path("a/b\\c caf\udce9.mp4")) == "b_c caf\ufffd.mp4"
    assert plain_name(Path("a/猫.mp4")) == "猫.mp4"

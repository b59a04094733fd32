"""Whole-file and whole-folder writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidamodal.errors import InputError
from vidamodal.media.files import atomic_folder, check_target


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "scene") as folder:
            (folder / "a").touch()
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert not list(tmp_path.iterdir())
    for content in ("first", "second"):
        with atomic_folder(tmp_path / "scene") as folder:
            (folder / "a").write_text(content)
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]
    assert (tmp_path / "scene" / "a").read_text() == "first"


def test_targets_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_target(tmp_path / "file")
    check_target(tmp_path / "new/file")
    check_target(tmp_path, folder=True)
    with pytest.raises(InputError, match=r"is a file\. Pass a folder"):
        check_target(tmp_path / "file", folder=True)
    with pytest.raises(InputError, match=r"is a folder\. Pass a file"):
        check_target(tmp_path)

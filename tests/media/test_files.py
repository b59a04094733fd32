"""Whole-file and whole-folder writes."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from vidamodal.errors import InputError
from vidamodal.media.files import (
    TEMPORARY_PREFIX,
    atomic_file,
    atomic_folder,
    check_target,
    temporary_folder,
    write_text,
)


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


def test_temporary_folders_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    for name in (".ours-abcd_123", ".ours-notes", ".ours-ABCD1234", ".other-abcd1234"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".ours-linked12").symlink_to(tmp_path / ".other-abcd1234")
    with temporary_folder(tmp_path, ".ours-") as first, temporary_folder(tmp_path, ".ours-") as second:
        assert first.is_dir() and second.is_dir() and not list(first.iterdir())
        kept = {".ours-notes", ".ours-ABCD1234", ".other-abcd1234", ".ours-linked12"}
        assert {path.name for path in tmp_path.iterdir()} == kept | {first.parent.name, second.parent.name}
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert (tmp_path / ".other-abcd1234/file").exists()


def write_and_die(path: Path) -> None:
    """Write half a file and half a folder, and end as by SIGKILL."""
    with atomic_file(path / "a.json") as file, atomic_folder(path / "b") as folder:
        file.write_text("half")
        (folder / "c").write_text("half")
        os._exit(9)


def test_a_killed_write_leaves_nothing_after_the_next_one(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=write_and_die, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 9
    assert all(path.name.startswith(TEMPORARY_PREFIX) for path in tmp_path.iterdir())
    write_text(tmp_path / "a.json", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_the_folder_of_a_running_process_is_kept(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as ours:
        child = multiprocessing.get_context("spawn").Process(target=write_text, args=(tmp_path / "a", "b"))
        child.start()
        child.join()
        assert child.exitcode == 0 and ours.is_dir()


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_keeps_what_was_left(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_handle: int, _operation: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".vidamodal-abcd_123").mkdir()
    write_text(tmp_path / "a", "b")
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".vidamodal-abcd_123"}


def test_text_that_utf_8_cannot_encode_is_escaped_as_in_json(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", json.dumps({"caf\udce9": "é"}, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"caf\udce9": "é"}


def test_a_path_with_a_null_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="null character"):
        check_target(tmp_path / "a\0b")


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_folders_made_for_a_failed_write_are_removed(
    write: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    for parent in (tmp_path / "new/inner", tmp_path / "old/inner"):
        with pytest.raises(OSError, match="full"), write(parent / "result"):
            raise OSError("full")
    assert list(tmp_path.iterdir()) == [tmp_path / "old"] and not list((tmp_path / "old").iterdir())
    with write(tmp_path / "new/inner/result") as temporary:
        (temporary if write is atomic_file else temporary / "a").touch()
    assert (tmp_path / "new/inner/result").exists()

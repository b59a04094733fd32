"""Text files with one row per object and frame; what the formats make of them is tested with each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vidamodal.formats.videos import text_rows
from vidamodal.formats.videos.text_rows import find_files, find_sequence, read_lines, read_rows
from vidamodal.media.json_records import FieldError
from vidamodal.types import InputError


def test_files_are_found_by_their_first_line(tmp_path: Path) -> None:
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt/gt.txt").write_text("\ufeff\n\n1,2\n")
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.csv").write_text("1,2")
    pattern = re.compile("[0-9],[0-9]")
    assert find_files(tmp_path, ("*.txt", "gt/*.txt"), pattern) == [tmp_path / "gt/gt.txt"]
    assert find_files(tmp_path, ("*",), pattern) == find_files(tmp_path / "b.csv", ("*",), pattern) == []


def test_rows_leave_blank_lines_out_and_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2\n\n 3.0 4\n")
    first, second = read_rows(tmp_path / "a.txt", None, range(2, 3))
    assert first.fields == ("1", "2") and second.line == 3 and second.integer(0, "frame") == 3
    with pytest.raises(FieldError, match="line 3: the id must be an integer"):
        second.__class__(3, ("1e99",)).integer(0, "id")


def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_rows, "MAX_TEXT", 3)
    (tmp_path / "a.txt").write_text("1 2\n")
    with pytest.raises(InputError, match="larger than"):
        list(read_rows(tmp_path / "a.txt", None, range(2, 3)))


def test_the_folder_in_seqinfo_stays_inside_the_sequence(tmp_path: Path) -> None:
    (tmp_path / "s/gt").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/1.png").write_bytes(b"x")
    (tmp_path / "s/seqinfo.ini").write_text("[Sequence]\nimDir=../secret\n")
    assert find_sequence(tmp_path / "s/gt/gt.txt").pictures is None


def test_lines_of_a_missing_file_are_none(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat \ndog")
    assert read_lines(tmp_path / "labels.txt") == ["cat", "dog"] and read_lines(tmp_path / "none") == []

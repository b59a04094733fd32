"""Archives of assets: safe unpacking, and errors that name the archive."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.library import open_library
from tests.dataset_gen.asset_files import archive_files, open_single_shape
from vidamodal.types import InputError


@pytest.mark.parametrize("name", ["/etc/it", "../it", "a/../../it", "C:/it", "a\\it", "it\n"])
def test_unsafe_members_of_an_archive_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    library = open_single_shape(tmp_path, archive_files() | {name: b"evil"})
    with pytest.raises(InputError, match=r"it\.tar\.gz.*not a path inside its folder"):
        library.asset("it")
    assert not list((tmp_path / "cache").iterdir())


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["..", "a", "b", ".", ""]), min_size=1, max_size=5), st.booleans())
def test_archives_are_unpacked_inside_their_folder_only(words: list[str], absolute: bool) -> None:
    name = "/" * absolute + "/".join(words)
    with tempfile.TemporaryDirectory() as folder:
        library = open_single_shape(Path(folder), archive_files() | ({name: b"content"} if name.strip("./") else {}))
        before = set(Path(folder).rglob("*"))
        try:
            library.asset("it")
        except InputError:
            assert name.startswith("/") or ".." in words
        made = set(Path(folder).rglob("*")) - before
        assert all(path.is_relative_to(Path(folder, "cache")) for path in made)


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    library = open_single_shape(tmp_path, archive_files())
    with tarfile.open(tmp_path / "it.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("visual_geometry.obj")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(InputError, match="is not a regular file"):
        library.asset("it")


def test_missing_and_damaged_archives_are_named_in_one_line(tmp_path: Path) -> None:
    files = archive_files()
    del files["collision_geometry.obj"]
    with pytest.raises(InputError, match=r"needs collision_geometry\.obj, which is missing"):
        open_single_shape(tmp_path, files).asset("it")
    (tmp_path / "it.tar.gz").write_bytes((tmp_path / "it.tar.gz").read_bytes()[:-30])
    with pytest.raises(InputError, match="cannot be unpacked"):
        open_library([str(tmp_path / "KuBasic.json")], tmp_path / "other").asset("it")
    (tmp_path / "it.tar.gz").unlink()
    with pytest.raises(InputError, match=r"it\.tar\.gz: cannot be read \(No such file"):
        open_library([str(tmp_path / "KuBasic.json")], tmp_path / "other").asset("it")

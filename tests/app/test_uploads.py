from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidamodal.app.uploads import safe_name, store_upload
from vidamodal.types import InputError


def zip_file(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\my clip.MP4", "my_clip.MP4"),
        ("<img src=x onerror=alert(1)>.mp4", "img_src_x_onerror_alert_1_.mp4"),
        ("..", "file"),
        ("", "file"),
        ("Müller.mov", "Muller.mov"),
        ("x" * 300 + ".mp4", "x" * 96 + ".mp4"),
    ],
)
def test_names_are_safe_and_close_to_the_original(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@settings(max_examples=40)
@given(st.text())
def test_no_name_leaves_its_folder(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..") and not set("/\\\0") & set(safe) and safe.isascii() and len(safe) <= 116
    assert Path("a", safe).parent == Path("a")


def test_one_file_several_files_and_an_archive(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    single = store_upload([tmp_path / "a.png"], tmp_path / "one", 100)
    assert single == tmp_path / "one" / "a.png" and single.read_bytes() == b"a.png"
    several = store_upload([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "two", 100)
    assert sorted(path.name for path in several.iterdir()) == ["a.png", "b.png"]
    members = {"set/masks/1/0.png": b"x", "set/masks/2/0.png": b"y", "__MACOSX/set/._0.png": b"z"}
    folder = store_upload([zip_file(tmp_path / "m.zip", members)], tmp_path / "three", 10_000)
    assert folder == tmp_path / "three" / "set" / "masks"
    assert (folder / "2" / "0.png").read_bytes() == b"y"


def test_members_of_an_archive_stay_in_the_folder(tmp_path: Path) -> None:
    hostile = {"../../evil.png": b"x", "/absolute/a.png": b"y", "c:\\b.png": b"z"}
    store_upload([zip_file(tmp_path / "evil.zip", hostile)], tmp_path / "in" / "deep", 10_000)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")) == [
        "in/deep/absolute/a.png", "in/deep/c/b.png", "in/deep/evil.png",
    ]  # fmt: skip


def test_large_and_damaged_uploads_are_refused(tmp_path: Path) -> None:
    bomb = zip_file(tmp_path / "bomb.zip", {"a.png": bytes(10**6)})
    assert bomb.stat().st_size < 5000
    with pytest.raises(InputError, match=r"bomb\.zip: more than 0\.1 MB when unpacked"):
        store_upload([bomb], tmp_path / "x", 100_000)
    with pytest.raises(InputError, match=r"limit is 0\.0 MB"):
        store_upload([bomb], tmp_path / "x", 10)
    (tmp_path / "cut.zip").write_bytes(bomb.read_bytes()[:50])
    with pytest.raises(InputError, match=r"cut\.zip: cannot be unpacked"):
        store_upload([tmp_path / "cut.zip"], tmp_path / "x", 100_000)
    with pytest.raises(InputError, match="an archive of 0 files"):
        store_upload([zip_file(tmp_path / "none.zip", {})], tmp_path / "x", 100_000)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"0\.png: two files have this name"):
        store_upload([tmp_path / "a" / "0.png", tmp_path / "b" / "0.png"], tmp_path / "x", 100)
    data = io.BytesIO(zip_file(tmp_path / "t.zip", {"a/x y.png": b"1", "a/x_y.png": b"2"}).read_bytes())
    (tmp_path / "u.zip").write_bytes(data.getvalue())
    with pytest.raises(InputError, match=r"two files have the name a/x_y\.png"):
        store_upload([tmp_path / "u.zip"], tmp_path / "x", 10_000)


def test_files_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    members = {"m/00000.png": b"x", "m/._00000.png": b"y", "m/.DS_Store": b"y", "m/@eaDir/00000.png": b"y"}
    folder = store_upload([zip_file(tmp_path / "m.zip", members)], tmp_path / "a", 10_000)
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("00000.png", b"x")]
    for name in ("0.png", "1.png", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    folder = store_upload([tmp_path / name for name in ("0.png", "1.png", ".DS_Store")], tmp_path / "b", 10_000)
    assert sorted(path.name for path in folder.iterdir()) == ["0.png", "1.png"]


def test_what_is_hidden_counts_if_there_is_nothing_else(tmp_path: Path) -> None:
    archive = zip_file(tmp_path / "m.zip", {"checkpoints/00000.png": b"x"})
    assert (store_upload([archive], tmp_path / "a", 10_000) / "00000.png").read_bytes() == b"x"
    (tmp_path / ".DS_Store").write_bytes(b"x")
    folder = store_upload([archive, tmp_path / ".DS_Store"], tmp_path / "b", 10_000)
    assert (folder / "00000.png").read_bytes() == b"x"


def test_folders_of_different_objects_stay_different(tmp_path: Path) -> None:
    members = {f"masks/{name}/{t}.png": name.encode() for name in ("猫", "犬", "file_2", "a b", "a_b") for t in (0, 1)}
    folder = store_upload([zip_file(tmp_path / "m.zip", members)], tmp_path / "a", 10_000)
    assert len(list(folder.iterdir())) == 5
    assert {(found / "0.png").read_bytes() for found in folder.iterdir()} == set(members.values())
    assert all((found / "0.png").read_bytes() == (found / "1.png").read_bytes() for found in folder.iterdir())


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_content_is_refused(kind: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", kind) as archive:
        archive.writestr("0.png", bytes(range(256)) * 20)
    content = (tmp_path / "m.zip").read_bytes()
    refusals = []
    for place in range(35, 120):  # behind the header; some places of a format do not count
        damaged = bytearray(content)
        damaged[place : place + 8] = b"\xff" * 8
        (tmp_path / "m.zip").write_bytes(damaged)
        try:
            store_upload([tmp_path / "m.zip"], tmp_path / "a", 10_000)
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) > 50 and all("m.zip: cannot be unpacked" in line for line in refusals)


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    content = zip_file(tmp_path / "m.zip", {"ä.png": b"x"}).read_bytes()
    (tmp_path / "m.zip").write_bytes(content.replace("ä".encode(), b"\xff\xff"))
    with pytest.raises(InputError, match=r"m\.zip: cannot be unpacked"):
        store_upload([tmp_path / "m.zip"], tmp_path / "a", 10_000)

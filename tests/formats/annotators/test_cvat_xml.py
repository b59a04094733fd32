"""The elements of CVAT's XML."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vidamodal.formats.annotators import cvat_xml
from vidamodal.formats.annotators.cvat_xml import is_cvat, parse_file
from vidamodal.media.json_records import FieldError
from vidamodal.types import InputError

ENTITIES = '<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<annotations/>", False),
        ("<annotations>", True),
        ('\ufeff<?xml version="1.0"?>\n<!-- a > b -->\n<annotations attribute="1">', True),
        ("<annotation><folder/></annotation>", False),
        ("<!-- <annotations> -->", False),
        ("<?xml?><?a?>" * 300, False),
        ("", False),
        (b"\x00\xff", False),
    ],
)
def test_files_are_recognised_by_their_root(tmp_path: Path, text: str | bytes, expected: bool) -> None:
    assert is_cvat(put(tmp_path / "a.xml", text)) == expected
    assert not is_cvat(put(tmp_path / "a.txt", text))


@pytest.mark.parametrize(
    "declared", [ENTITIES, '<!ENTITY i SYSTEM "file:///etc/passwd">', "<!ELEMENT annotations ANY>"]
)
def test_entities_are_refused_before_they_are_expanded(tmp_path: Path, declared: str) -> None:
    path = put(tmp_path / "a.xml", f"<!DOCTYPE annotations [{declared}]><annotations><meta>&i;</meta></annotations>")
    start = time.monotonic()
    assert is_cvat(path)
    with pytest.raises(FieldError, match="document type"):
        parse_file(path)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    "text", ["<annotations>", "<annotations>&x;</annotations>", '<?xml encoding="x"?><annotations>']
)
def test_other_damage_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="not well-formed XML"):
        parse_file(put(tmp_path / "a.xml", text))


def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.xml", f"<annotations>{'<track/>' * 20}</annotations>")
    monkeypatch.setattr(cvat_xml, "MAX_ELEMENTS", 20)
    with pytest.raises(FieldError, match="more than 20 elements"):
        parse_file(path)
    monkeypatch.setattr(cvat_xml, "MAX_BYTES", 20)
    with pytest.raises(InputError, match="larger than"):
        parse_file(path)


def test_deep_nesting_is_no_trouble(tmp_path: Path) -> None:
    text = f"<annotations><meta>{'<a>' * 50_000}{'</a>' * 50_000}</meta></annotations>"
    assert len(parse_file(put(tmp_path / "a.xml", text)).meta.children) == 1

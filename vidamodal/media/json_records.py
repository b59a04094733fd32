"""Checked access to what a JSON file holds: every breach says its place, and the reader adds the file's name."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NAMES: dict[type | tuple[type, ...], str] = {
    bool: "true or false",
    int: "an integer",
    (int, float): "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
    (list, dict): "a list or an object",
}


def mentions(file: Path, *texts: str) -> tuple[bool, ...]:
    """Which strings stand in a file that begins as a JSON object does; none in any other. It is not parsed."""
    none = (False,) * len(texts)
    if not file.is_file() or not file.stat().st_size:
        return none
    with file.open("rb") as handle:
        if not handle.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            return none
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return tuple(content.find(json.dumps(text).encode()) >= 0 for text in texts)


class Breach(ValueError):
    """A place and what is wrong there, without the file's name."""


def need(record: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str = "") -> Any:
    """The value of a key that must be there. Breach if it is not, or of another kind."""
    if key not in record:
        raise Breach(f"{where}{key} is missing; it must be {_NAMES[kind]}")
    return typed(record[key], kind, f"{where}{key}")


def want(record: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str = "") -> Any:
    """The value of a key, None where it is missing or null. Breach if it is of another kind."""
    return None if record.get(key) is None else typed(record[key], kind, f"{where}{key}")


def typed(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """The value itself; true and false are no numbers. Breach if it is of another kind."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Breach(f"{where} must be {_NAMES[kind]}, not {shown(value)}")
    return value


def shown(value: Any) -> str:
    """A value as an error shows it."""
    text = json.dumps(value, default=repr, skipkeys=True)
    return text if len(text) <= 40 else f"{text[:37]}..."

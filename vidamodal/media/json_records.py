"""Type-checked access to parsed JSON. Errors name the field; the reader of the file adds the file's name."""

from __future__ import annotations

import json
import math
import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Kind = type | tuple[type, ...]
Identity = int | str
"""An id in a file of another program: an integer, or any other text."""

_NAMES: dict[Kind, str] = {
    bool: "true or false",
    int: "an integer",
    (int, float): "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
    (list, dict): "a list or an object",
}
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}(\.0*)?\s*")
_MAX_IDENTITY = 200
"""Most characters of an id."""


class FieldError(ValueError):
    """An invalid value in a JSON document. The message names the field and the problem, but not the file."""


def required(record: Mapping[str, Any], key: str, kind: Kind, where: str = "") -> Any:
    """Return the value of a required key.

    Args:
        record: A JSON object.
        key: The key to look up.
        kind: The expected Python type or types: bool, int, (int, float), str, list, dict or (list, dict).
        where: Prefix of the key in error messages, for example ``"tracks[3]."``.

    Raises:
        FieldError: The key is missing or its value has another type.
    """
    if key not in record:
        raise FieldError(f"{where}{key} is missing; it must be {_NAMES[kind]}")
    return check_type(record[key], kind, f"{where}{key}")


def optional(record: Mapping[str, Any], key: str, kind: Kind, where: str = "") -> Any:
    """Return the value of an optional key, or None if it is missing or null. The arguments are those of `required`.

    Raises:
        FieldError: The value has another type.
    """
    return None if record.get(key) is None else check_type(record[key], kind, f"{where}{key}")


def check_type(value: Any, kind: Kind, where: str) -> Any:
    """Return ``value`` if it has the expected type. Booleans do not count as numbers.

    Raises:
        FieldError: The value has another type; the message begins with ``where``.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise FieldError(f"{where} must be {_NAMES[kind]}, not {excerpt(value)}")
    return value


def integer(value: Any, where: str) -> int:
    """Return an integer that a program wrote as 48, 48.0, "48" or "48.0".

    Raises:
        FieldError: The value is no integer; the message begins with ``where``.
    """
    if type(value) is int:
        return value
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value.partition(".")[0])
    raise FieldError(f"{where} must be an integer, not {excerpt(value)}")


def required_integer(record: Mapping[str, Any], key: str, where: str = "") -> int:
    """Return the integer of a required key, in any form that `integer` reads.

    Raises:
        FieldError: The key is missing, or its value is no integer.
    """
    if key not in record:
        raise FieldError(f"{where}{key} is missing; it must be an integer")
    return integer(record[key], f"{where}{key}")


def identity(value: Any, where: str) -> Identity:
    """Return an id: the integer that it states in any form, else its text.

    Raises:
        FieldError: The value is neither; the message begins with ``where``.
    """
    if isinstance(value, str) and not _INTEGER.fullmatch(value) and 0 < len(value) <= _MAX_IDENTITY:
        return value
    return integer(value, where)


def required_identity(record: Mapping[str, Any], key: str, where: str = "") -> Identity:
    """Return the id of a required key; see `identity`.

    Raises:
        FieldError: The key is missing, or its value is no id.
    """
    if key not in record:
        raise FieldError(f"{where}{key} is missing; it must be an integer or a name")
    return identity(record[key], f"{where}{key}")


def optional_identity(record: Mapping[str, Any], key: str, where: str = "") -> Identity | None:
    """Return the id of an optional key, or None if it is missing or null; see `identity`.

    Raises:
        FieldError: The value is no id.
    """
    return None if record.get(key) is None else identity(record[key], f"{where}{key}")


def excerpt(value: Any) -> str:
    """Return a value as JSON, shortened to 40 characters for an error message."""
    text = json.dumps(value, default=repr, skipkeys=True)
    return text if len(text) <= 40 else f"{text[:37]}..."


def contains_strings(file: Path, *texts: str) -> tuple[bool, ...]:
    """Check which JSON strings occur in a file, without parsing it.

    Returns:
        One boolean per text; all are False if the file does not start like a JSON object or list.
    """
    none = (False,) * len(texts)
    if not file.is_file() or not file.stat().st_size:
        return none
    with file.open("rb") as handle:
        if not handle.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")):
            return none
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return tuple(content.find(json.dumps(text).encode()) >= 0 for text in texts)

"""Integers and ids are read in every form that programs write."""

from __future__ import annotations

from typing import Any

import pytest

from vidamodal.media.json_records import FieldError, identity, integer, required_identity, required_integer


@pytest.mark.parametrize("value", [48, 48.0, "48", "48.0", " 48 ", "+48", "048"])
def test_integers_in_all_forms(value: Any) -> None:
    assert integer(value, "height") == 48
    assert identity(value, "id") == 48


@pytest.mark.parametrize(
    "value", [True, None, 1.5, "1.5", "", "4e3", "٣", float("nan"), float("inf"), 1e300, [1], {}, "9" * 40]
)
def test_other_values_are_no_integers(value: Any) -> None:
    with pytest.raises(FieldError, match="height must be an integer"):
        integer(value, "height")


def test_names_are_ids() -> None:
    assert identity("frame_1", "id") == "frame_1"
    others: tuple[Any, ...] = ("", "x" * 201, None, True, 0.5, [])
    for value in others:
        with pytest.raises(FieldError, match="id must be"):
            identity(value, "id")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(FieldError, match=r"images\[0\].height is missing"):
        required_integer({}, "height", "images[0].")
    with pytest.raises(FieldError, match=r"images\[0\].id is missing"):
        required_identity({}, "id", "images[0].")

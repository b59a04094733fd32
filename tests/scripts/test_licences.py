"""Tests of the licence report."""

from __future__ import annotations

from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.dev import licences
from scripts.dev.licences import is_allowed, report, stated_licence


def package(name: str, **fields: str) -> Any:
    metadata = Message()
    for key, value in fields.items():
        metadata[key.replace("_", "-")] = value
    return SimpleNamespace(name=name, version="1.0", metadata=metadata)


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR BSD-2-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR Apache-2.0)", True),
        ("GPL-3.0", False),
        ("", False),
    ],
)
def test_all_parts_of_one_alternative_must_be_allowed(licence: str, allowed: bool) -> None:
    assert is_allowed(licence) == allowed


def test_the_expression_counts_before_classifiers_and_text() -> None:
    classifier = "License :: OSI Approved :: MIT License"
    assert stated_licence(package("a", License_Expression="ISC", Classifier=classifier, License="GPL")) == "ISC"
    assert stated_licence(package("a", Classifier=classifier, License="GPL")) == "MIT License"
    assert stated_licence(package("a", License="GPL\nand its whole text")) == "GPL"
    assert stated_licence(package("a")) == ""


def test_a_licence_that_is_not_listed_is_reported() -> None:
    lines, refused = report([package("B", License="GPL"), package("a", License="MIT"), package("bpy", License="GPL")])
    assert [line.split()[0] for line in lines] == ["a", "B", "bpy"]
    assert refused == ["B 1.0: GPL"]


def test_what_is_installed_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert licences.main() == 0, capsys.readouterr().err

"""Discovery of classes by their id."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from vidamodal.registry import find_classes

BASE = "class Base:\n    pass\n"
PLUGIN = "from {package}.base import Base\n\nclass Plugin(Base):\n    ID = {identity!r}\n"


def make_package(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, plugins: dict[str, str]) -> ModuleType:
    """Import a new package with a plug-in class in each of these modules or subpackages, by their ids."""
    package = folder / name
    for path, source in {"__init__.py": "", "base.py": BASE, **plugins}.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(name)


def test_classes_are_found_in_modules_and_subpackages_by_their_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = {
        "any.py": PLUGIN.format(package="plugins_a", identity="one"),
        "inner/model.py": PLUGIN.format(package="plugins_a", identity="two"),
        "inner/__init__.py": "from plugins_a.inner.model import Plugin as Plugin\n",
    }
    package = make_package(monkeypatch, tmp_path, "plugins_a", plugins)
    classes = find_classes(package, importlib.import_module("plugins_a.base").Base)
    assert list(classes) == ["one", "two"]
    assert classes["two"].__module__ == "plugins_a.inner.model"


def test_two_classes_with_the_same_id_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = {name: PLUGIN.format(package="plugins_b", identity="same") for name in ("one.py", "two.py")}
    package = make_package(monkeypatch, tmp_path, "plugins_b", plugins)
    with pytest.raises(ValueError, match=r"plugins_b\.one and plugins_b\.two both have the ID 'same'"):
        find_classes(package, object)

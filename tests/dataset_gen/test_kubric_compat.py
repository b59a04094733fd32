"""Imports of Kubric and Blender."""

from __future__ import annotations

import ast
import sys
import tempfile
from pathlib import Path

import pytest

from tests.dataset_gen.helpers import ROOT


def test_only_three_modules_import_kubric_or_blender() -> None:
    importers = set()
    for path in (ROOT / "dataset_gen").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] in ("kubric", "bpy") for name in names):
                importers.add(path.stem)
    assert importers == {"simulate", "render", "timing"}


@pytest.mark.needs("etils")
def test_the_stand_in_for_tensorflow_exists_only_inside_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataset_gen.kubric_compat import kubric_imports

    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with kubric_imports():
        assert hasattr(sys.modules["tensorflow"].io.gfile, "copy")
    assert "tensorflow" not in sys.modules


@pytest.mark.needs("etils")
def test_folders_that_are_made_while_kubric_is_imported_are_removed() -> None:
    from dataset_gen.kubric_compat import kubric_imports

    usual = tempfile.gettempdir()
    with kubric_imports():
        made = Path(tempfile.mkdtemp())
    assert not made.exists() and tempfile.gettempdir() == usual

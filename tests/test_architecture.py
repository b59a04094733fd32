"""The rules of the house: import direction, sizes, names, packaging, public docstrings, and the tests' layout."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vidamodal"

PACKAGE_SHARE = 0.15
"""Largest share of the package's Python lines that one sub-package, with all folders in it, may have."""

SHARED_NAMES = {"__init__", "base", "config", "model", "head", "registry"}
"""File names that mean the same in every package that has them."""

STAGES = PACKAGE / "training" / "stages"
"""Its modules have the names of the model families that they train."""


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_run_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cli = pytest.importorskip("importlinter.cli")
    monkeypatch.chdir(ROOT)
    status = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_no_room_is_too_large() -> None:
    lines: Counter[str] = Counter()
    for path in python_files("vidamodal"):
        lines[path.relative_to(PACKAGE).parts[0]] += len(path.read_text(encoding="utf-8").splitlines())
    shares = {folder: count / lines.total() for folder, count in lines.most_common()}
    assert max(shares.values()) <= PACKAGE_SHARE, {folder: f"{share:.1%}" for folder, share in shares.items()}


def test_all_packages_are_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    existing = {relative(path.parent).replace("/", ".") for path in python_files("vidamodal", "dataset_gen")}
    configs = {f"vidamodal.{relative(path.parent).replace('/', '.')}" for path in (ROOT / "configs").rglob("*.yaml")}
    assert len(set(listed)) == len(listed)
    assert existing <= set(listed)
    assert set(listed) - existing <= configs | {"vidamodal.configs"}


def test_module_names_are_unique() -> None:
    modules: dict[str, list[str]] = defaultdict(list)
    for path in python_files("vidamodal"):
        if path.parent != STAGES:
            modules[path.stem].append(relative(path))
    repeated = {name: paths for name, paths in modules.items() if len(paths) > 1 and name not in SHARED_NAMES}
    assert repeated == {}

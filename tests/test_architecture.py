"""The rules of the house: import direction, sizes, names, packaging, public docstrings, and the tests' layout."""

from __future__ import annotations

import ast
import inspect
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import vidamodal

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vidamodal"

LONGEST, LONG, LONG_SHARE = 60, 40, 0.03
"""Lines of the longest function without its docstring, of a long one, and the share of functions that may be long."""

PACKAGE_SHARE = 0.15
"""Largest share of the package's Python lines that one room may have."""

GROUPED = {"formats"}
"""Sub-packages whose own sub-packages are rooms: the formats are one file each, grouped by kind."""

SHARED_NAMES = {"__init__", "base", "config", "model", "head", "registry"}
"""File names that mean the same in every package that has them."""

STAGES = PACKAGE / "training" / "stages"
"""Its modules have the names of the model families that they train."""

TESTS_WITHOUT_MODULE = {
    "test_ablations": "tests switches of a whole model",
    "test_architecture": "tests the whole project",
    "test_contributing": "tests the recipes of CONTRIBUTING.md",
    "test_fuzzed_folders": "tests the readers of folders, arrays and archives",
    "test_fuzzed_annotations": "tests the readers of annotation tools",
    "test_damaged_json": "tests all readers of JSON in vidamodal/formats/videos",
    "test_input_errors": "tests refusals before a training run",
    "test_package": "tests vidamodal/__init__.py",
    "test_processes": "tests training on several processes",
    "test_training": "tests the training of one head or segmenter, through vidamodal/training",
}
"""Tests that do not mirror one module, and why."""


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its docstring and decorators."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def functions() -> Iterator[tuple[str, int]]:
    """Yield the place and length of every function."""
    for path in python_files("vidamodal", "dataset_gen", "scripts"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{relative(path)}:{node.lineno} {node.name}", code_lines(node)


def test_imports_run_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cli = pytest.importorskip("importlinter.cli")
    monkeypatch.chdir(ROOT)
    status = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_functions_are_short() -> None:
    lengths = dict(functions())
    assert {place: lines for place, lines in lengths.items() if lines > LONGEST} == {}
    long = {place: lines for place, lines in lengths.items() if lines > LONG}
    assert len(long) <= LONG_SHARE * len(lengths), long


def test_no_room_is_too_large() -> None:
    lines: Counter[str] = Counter()
    for path in python_files("vidamodal"):
        folders = path.relative_to(PACKAGE).parts
        room = "/".join(folders[: 2 if folders[0] in GROUPED else 1])
        lines[room] += len(path.read_text(encoding="utf-8").splitlines())
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


@pytest.mark.parametrize("name", vidamodal.__all__)
def test_public_docstrings_are_complete(name: str) -> None:
    value = getattr(vidamodal, name)
    documentation = inspect.getdoc(value) or ""
    assert documentation
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert not signature.parameters or "Args:" in documentation
        missing = [each for each in signature.parameters if f"{each}:" not in documentation]
        assert not missing
        assert signature.return_annotation in (None, "None") or "Returns:" in documentation


def mirrored(test: Path) -> bool:
    """Return True if a test file has a module, package or script of the same name in the room of the same name."""
    room = test.parent.relative_to(ROOT / "tests")
    name = test.stem.removeprefix("test_")
    folders = [PACKAGE / room, ROOT / room]
    if room.parts[:1] == ("scripts",):
        folders += [path for path in (ROOT / "scripts").rglob("*") if path.is_dir()]
    return any(
        (folder / file).is_file()
        for folder in folders
        for module in (name, f"_{name}", f"__{name}__")
        for file in (f"{module}.py", f"{module}.sh", f"{module}/__init__.py")
    )


def test_tests_mirror_the_source() -> None:
    tests = [path for path in python_files("tests") if path.stem.startswith("test_")]
    strangers = [relative(path) for path in tests if path.stem not in TESTS_WITHOUT_MODULE and not mirrored(path)]
    assert strangers == []

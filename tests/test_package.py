"""The public names of the package, and the versions of its dependencies."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import vidamodal

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [Requirement(each) for each in PROJECT["dependencies"]]


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(vidamodal, name) is not None for name in vidamodal.__all__)
    assert set(vidamodal.__all__) <= set(dir(vidamodal))
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = vidamodal.nosuch


def test_the_version_is_that_of_the_installed_package() -> None:
    assert vidamodal.__version__ == version("vidamodal")


def test_the_package_declares_its_types() -> None:
    assert (files("vidamodal") / "py.typed").is_file()


def read_pins(path: Path) -> dict[str, str]:
    """Return the versions of a constraints file by normalised name."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): pinned for name, pinned in (line.split("==") for line in lines)}


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda requirement: requirement.name)
def test_the_lowest_constraint_of_a_dependency_is_its_lower_bound(requirement: Requirement) -> None:
    bounds = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
    lowest, newest = (
        Version(read_pins(ROOT / name)[canonicalize_name(requirement.name)])
        for name in ("constraints-lowest.txt", "constraints.txt")
    )
    assert bounds == [lowest]
    assert lowest <= newest
    assert newest in requirement.specifier

"""The public names of the package."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files

import pytest

import vidamodal


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(vidamodal, name) is not None for name in vidamodal.__all__)
    assert set(vidamodal.__all__) <= set(dir(vidamodal))
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = vidamodal.nosuch


def test_the_version_is_that_of_the_installed_package() -> None:
    assert vidamodal.__version__ == version("vidamodal")


def test_the_package_declares_its_types() -> None:
    assert (files("vidamodal") / "py.typed").is_file()

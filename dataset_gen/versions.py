"""Versions of everything that determines a data set."""

from __future__ import annotations

from importlib.metadata import version

GENERATOR = 1
"""Version of the generator. Increase it whenever the same seed gives a different scene."""


def ground_truth_versions() -> dict[str, str]:
    """Return the versions of everything that determines the ground truth."""
    return {"generator": str(GENERATOR), **{name: version(name) for name in ("kubric-nightly", "pybullet")}}


def all_versions() -> dict[str, str]:
    """Return the versions of everything that determines a rendered data set."""
    return {**ground_truth_versions(), **{name: version(name) for name in ("bpy", "av")}}

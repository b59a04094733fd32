"""Versions of everything that determines a data set."""

from __future__ import annotations

from importlib.metadata import version

from dataset_gen.presets import is_place

GENERATOR = 1
"""Version of the generator. Increase it whenever the same seed gives a different scene."""


def ground_truth_versions(preset: str) -> dict[str, str]:
    """Return the versions of everything that determines the ground truth; places need no physics."""
    physics = () if is_place(preset) else ("kubric-nightly", "pybullet")
    return {"generator": str(GENERATOR), **{name: version(name) for name in physics}}


def all_versions(preset: str) -> dict[str, str]:
    """Return the versions of everything that determines a rendered data set."""
    renderer = ("kubric-nightly", "bpy", "av") if is_place(preset) else ("bpy", "av")
    return {**ground_truth_versions(preset), **{name: version(name) for name in renderer}}

"""The truth that a data set holds: the exact masks and order of a settled scene, with their origin."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from dataset_gen.assets import asset
from vidamodal.types import ClipTracks
from vidamodal.worlds.spec import Mesh, SceneSpec
from vidamodal.worlds.truth import true_tracks

GENERATOR = 1
"""Raised whenever the same seed gives another scene than before."""


def meshes_of(spec: SceneSpec) -> dict[str, Mesh]:
    """The triangles of a scene's assets by asset id, sorted."""
    return {name: asset(name).mesh for name in sorted({thing.asset for thing in spec.objects})}


def rendered_truth(spec: SceneSpec, meshes: Mapping[str, Mesh], video: str) -> ClipTracks:
    """The truth of a scene's clip and where it comes from; ``video`` is the name of its video file."""
    provenance = {"seed": spec.seed, "split": spec.split, "preset": spec.preset, "versions": truth_versions()}
    return true_tracks(spec, meshes, video, provenance)


def truth_versions() -> dict[str, str]:
    """Versions of all that shapes the truth."""
    return {"generator": str(GENERATOR), **{name: version(name) for name in ("kubric-nightly", "pybullet")}}

"""The truth that a data set holds: the exact masks and order of a settled scene, with their origin, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np
from jaxtyping import Bool, Float, Int

from dataset_gen.library import OFFLINE, Library
from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.types import ClipTracks
from vidamodal.worlds.spec import Mesh, SceneSpec
from vidamodal.worlds.truth import true_tracks

GENERATOR = 1
"""Raised whenever the same seed gives another scene than before."""


@dataclass(frozen=True)
class ObjectFrames:
    """Numbers of every object (n, in the order of the tracks) in every frame (t) of a clip.

    ``boxes`` are those of the amodal masks as (top, left, bottom, right) in pixels, bottom and right exclusive, all 0
    for an empty mask. ``visible`` and ``amodal`` are areas in pixels, nan where the mask is not known.
    """

    height: int
    boxes: Int[np.ndarray, "n t 4"]
    visible: Float[np.ndarray, "n t"]
    amodal: Float[np.ndarray, "n t"]

    @cached_property
    def hidden(self) -> Float[np.ndarray, "n t"]:
        """Hidden share of the amodal mask, from 0 to 1; nan where it is empty or not known."""
        return 1 - self.visible / np.where(self.amodal > 0, self.amodal, np.nan)

    @cached_property
    def counted(self) -> Bool[np.ndarray, "n t"]:
        """Object-frames that are large enough to be scored and counted."""
        return (self.amodal >= least_counted_area(self.height)) & np.isfinite(self.hidden)


def object_frames(clip: ClipTracks) -> ObjectFrames:
    """Boxes, areas and hidden shares of a clip's objects, from run lengths alone: no mask is decoded."""
    shape = len(clip.tracks), clip.video.frames
    boxes = np.zeros((*shape, 4), dtype=np.int64)
    visible, amodal = np.full(shape, np.nan), np.full(shape, np.nan)
    for n, track in enumerate(clip.tracks):
        for t, mask in enumerate(track.visible):
            if mask is not None:
                visible[n, t] = mask.area()
        for t, mask in enumerate(track.amodal or ()):
            if mask is not None:
                amodal[n, t] = mask.area()
                boxes[n, t] = mask.box() or 0
    return ObjectFrames(clip.video.height, boxes, visible, amodal)


def meshes_of(spec: SceneSpec, library: Library = OFFLINE) -> dict[str, Mesh]:
    """The triangles of a scene's assets by asset id, sorted."""
    return {name: library.asset(name).mesh for name in sorted({thing.asset for thing in spec.objects})}


def rendered_truth(spec: SceneSpec, meshes: Mapping[str, Mesh], video: str, canvas: int = 0) -> ClipTracks:
    """The truth of a scene's clip and where it comes from; see ``true_tracks``."""
    provenance = {"seed": spec.seed, "split": spec.split, "preset": spec.preset, "versions": truth_versions()}
    return true_tracks(spec, meshes, video, provenance, canvas)


def truth_versions() -> dict[str, str]:
    """Versions of all that shapes the truth."""
    return {"generator": str(GENERATOR), **{name: version(name) for name in ("kubric-nightly", "pybullet")}}

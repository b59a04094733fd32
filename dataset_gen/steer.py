"""Choosing the view of a settled scene by how much it hides: a target histogram of hidden shares."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from dataset_gen.sample import PRESETS, draw_camera
from vidamodal.types import InputError
from vidamodal.worlds.rasterize import rasterize, visible_and_amodal
from vidamodal.worlds.spec import CameraSpec, Mesh, SceneSpec, place_object

CANDIDATES = 16
LOOKS = 6
"""Frames of each candidate that are looked at, at a quarter of the size that decides what counts."""
SIZE = 64
COUNTED = 4
"""Pixels from which an object counts there."""


def parse_histogram(text: str) -> tuple[float, ...]:
    """The wanted shares of equal bins of hidden share from 0 to 1, in any unit, as "1,2,2,1"; else InputError."""
    try:
        weights = np.array([float(part) for part in text.split(",")])
    except ValueError:
        weights = np.zeros(0)
    if len(weights) < 2 or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise InputError(f"--hidden {text}: give two or more weights from 0 up, as in 1,2,2,1 for quarters of 0 to 1")
    return tuple((weights / weights.sum()).round(6).tolist())


def steer(spec: SceneSpec, meshes: Mapping[str, Mesh], target: Sequence[float]) -> SceneSpec:
    """The settled scene as that of some cameras sees it whose histogram of hidden shares is nearest to ``target``.

    The cameras are drawn from the preset's range by the scene's own seed. Nearness is the earth mover's distance
    between the histograms of all object-frames that are looked at; what is fully hidden is in the last bin.
    """
    root = np.random.SeedSequence([spec.seed, zlib.crc32(f"steer/{spec.preset}/{spec.split}".encode())])
    rng = np.random.Generator(np.random.PCG64(root))
    cameras = [spec.camera]
    cameras += [draw_camera(rng, PRESETS[spec.preset], spec.frames) for _ in range(CANDIDATES - 1)]
    wanted = np.cumsum(target)
    distances = [
        np.abs(np.cumsum(histogram(hidden_shares(spec, meshes, camera), len(target))) - wanted).sum()
        for camera in cameras
    ]
    return replace(spec, camera=cameras[int(np.argmin(distances))])


def histogram(shares: Float[np.ndarray, " k"], bins: int) -> Float[np.ndarray, " bins"]:
    """How the shares fall into equal bins of 0 to 1, summing to 1; flat if there is none."""
    counts = np.histogram(shares, bins, (0.0, 1.0))[0]
    return counts / counts.sum() if counts.any() else np.full(bins, 1 / bins)


def hidden_shares(spec: SceneSpec, meshes: Mapping[str, Mesh], camera: CameraSpec) -> Float[np.ndarray, " k"]:
    """Hidden shares of the object-frames of a few frames, roughly."""
    faces = [meshes[thing.asset].faces for thing in spec.objects]
    shares = [np.zeros(0)]
    for frame in np.unique(np.linspace(0, spec.frames - 1, LOOKS).round().astype(int)).tolist():
        vertices = [place_object(meshes[thing.asset], thing, frame) for thing in spec.objects]
        visible, amodal = visible_and_amodal(rasterize(vertices, faces, camera, frame, SIZE))
        whole = np.count_nonzero(amodal, axis=(1, 2))
        counted = whole >= COUNTED
        shares.append(1 - np.count_nonzero(visible, axis=(1, 2))[counted] / whole[counted])
    return np.concatenate(shares)

"""Choice of a settled scene's camera by a target histogram of the objects' occluded fractions."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from dataset_gen.presets import PRESETS
from dataset_gen.scenes import sample_camera
from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.types import InputError
from vidamodal.worlds.rasterize import rasterize, visible_and_amodal
from vidamodal.worlds.spec import CameraSpec, Mesh, SceneSpec, place_object

CANDIDATES = 16
"""Number of cameras to choose from."""

PROBED_FRAMES = 6
"""Number of frames that are rasterised per camera."""

PROBE_SIZE = 64
"""Side of the probe images in pixels."""


def parse_histogram(text: str) -> tuple[float, ...]:
    """Parse weights such as "1,2,2,1" into fractions that sum to 1.

    Each weight belongs to one of equally wide bins of the occluded fraction, from 0 to 1.

    Raises:
        InputError: There are fewer than two weights, or one is negative or not a number.
    """
    try:
        weights = np.array([float(part) for part in text.split(",")])
    except ValueError:
        weights = np.zeros(0)
    if len(weights) < 2 or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise InputError(
            f"{text!r} is not a histogram of occluded fractions. "
            "Use two or more weights of at least 0, such as 1,2,2,1 for the quarters from 0 to 1."
        )
    fractions: list[float] = (weights / weights.sum()).round(6).tolist()
    return tuple(fractions)


def choose_camera(spec: SceneSpec, meshes: Mapping[str, Mesh], target: Sequence[float]) -> SceneSpec:
    """Return a settled scene with the camera that comes nearest to a histogram of occluded fractions.

    The candidates are the scene's camera and others sampled from the preset with the scene's seed. They are compared
    by the earth mover's distance between the histogram of their object-frames and the target.

    Args:
        spec: The settled scene.
        meshes: Meshes by asset id.
        target: Fraction of the object-frames in each of equally wide bins. Fully occluded ones are in the last bin.
    """
    root = np.random.SeedSequence([spec.seed, zlib.crc32(f"steer/{spec.preset}/{spec.split}".encode())])
    rng = np.random.Generator(np.random.PCG64(root))
    cameras = [spec.camera]
    cameras += [sample_camera(rng, PRESETS[spec.preset], spec.frames) for _ in range(CANDIDATES - 1)]
    wanted = np.cumsum(target)
    distances = [
        np.abs(np.cumsum(histogram(probe_occluded_fractions(spec, meshes, camera), len(target))) - wanted).sum()
        for camera in cameras
    ]
    return replace(spec, camera=cameras[int(np.argmin(distances))])


def histogram(fractions: Float[np.ndarray, " k"], bins: int) -> Float[np.ndarray, " bins"]:
    """Return the relative frequencies in equal bins from 0 to 1; uniform if ``fractions`` is empty."""
    counts = np.histogram(fractions, bins, (0.0, 1.0))[0]
    return counts / counts.sum() if counts.any() else np.full(bins, 1 / bins)


def probe_occluded_fractions(
    spec: SceneSpec, meshes: Mapping[str, Mesh], camera: CameraSpec
) -> Float[np.ndarray, " k"]:
    """Estimate the occluded fractions of a scene's object-frames from a few small frames."""
    faces = [meshes[item.asset].faces for item in spec.objects]
    fractions = [np.zeros(0)]
    for frame in np.unique(np.linspace(0, spec.frames - 1, PROBED_FRAMES).round().astype(int)).tolist():
        vertices = [place_object(meshes[item.asset], item, frame) for item in spec.objects]
        visible, amodal = visible_and_amodal(rasterize(vertices, faces, camera, frame, PROBE_SIZE))
        area = np.count_nonzero(amodal, axis=(1, 2))
        counted = area >= least_counted_area(PROBE_SIZE)
        fractions.append(1 - np.count_nonzero(visible, axis=(1, 2))[counted] / area[counted])
    return np.concatenate(fractions)

"""Drawing scenes: (preset, split, seed) -> unsettled SceneSpec. Pure: the same numbers always give the same scene."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from jaxtyping import Float

from dataset_gen.assets import THING, asset, asset_ids
from vidamodal.worlds.spec import CameraSpec, LightSpec, Material, ObjectSpec, Pose, SceneSpec, Vector

FPS = 12.0
DECIMALS = 6
"""Every sampled number is rounded to this many decimals, so that a spec is compact and its hash stable."""

HDRIS = ("city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset")
"""CC0 environment maps that come with Blender."""

TEXTURES = ("plain", "noise", "voronoi", "checker", "wave", "brick")


@dataclass(frozen=True)
class Preset:
    """Ranges that scenes are drawn from; lengths in metres, angles in degrees."""

    objects: tuple[int, int]
    object_size: tuple[float, float]
    stretch: float
    things: float
    drop_radius: float
    drop_height: tuple[float, float]
    camera_radius: tuple[float, float]
    camera_height: tuple[float, float]
    camera_arc: tuple[float, float]


PRESETS = {
    "movid_a": Preset(
        objects=(10, 20),
        object_size=(0.65, 1.5),
        stretch=1.35,
        things=0.5,
        drop_radius=1.5,
        drop_height=(0.8, 2.5),
        camera_radius=(4.8, 7.0),
        camera_height=(1.0, 3.0),
        camera_arc=(30.0, 180.0),
    )
}
"""``movid_a``: heaps of 10 to 20 objects that heavily occlude each other, a camera going round, as in MOViD-A."""


def sample_scene(preset: str, split: str, seed: int, size: int = 256, frames: int = 24) -> SceneSpec:
    """The unsettled scene of a seed (any integer >= 0): objects stand where they are dropped from.

    ``size`` is the side of the image in pixels; it and the number of frames leave all else as it is.
    """
    root = np.random.SeedSequence([seed, zlib.crc32(f"{preset}/{split}".encode())])
    shapes, camera, look = (np.random.Generator(np.random.PCG64(child)) for child in root.spawn(3))
    ranges = PRESETS[preset]
    return SceneSpec(
        seed=seed,
        split=split,
        preset=preset,
        size=size,
        frames=frames,
        fps=FPS,
        objects=_objects(shapes, look, ranges, split),
        camera=_camera(camera, ranges, frames),
        light=_light(look),
    )


def _objects(rng: np.random.Generator, look: np.random.Generator, ranges: Preset, split: str) -> tuple[ObjectSpec, ...]:
    number = int(rng.integers(ranges.objects[0], ranges.objects[1] + 1))
    chosen = [_choose_asset(rng, ranges, split) for _ in range(number)]
    scales = [_scale(rng, ranges) for _ in range(number)]
    radii = np.array([_radius(name, scale) for name, scale in zip(chosen, scales, strict=True)])
    positions = _drop_positions(rng, ranges, radii)
    return tuple(
        ObjectSpec(
            id=k + 1,
            asset=chosen[k],
            label=asset(chosen[k]).label,
            licence=asset(chosen[k]).licence,
            scale=scales[k],
            mass=round(float(np.prod(scales[k]) * rng.uniform(0.5, 1.5)), DECIMALS),
            material=_material(look),
            poses=(Pose(_vector(positions[k]), _rotation(rng)),),
        )
        for k in range(number)
    )


def _choose_asset(rng: np.random.Generator, ranges: Preset, split: str) -> str:
    families = asset_ids(split)
    shapes = [family for family in families if family != THING]
    family = THING if rng.random() < ranges.things else shapes[rng.integers(len(shapes))]
    return families[family][rng.integers(len(families[family]))]


def _scale(rng: np.random.Generator, ranges: Preset) -> Vector:
    size = rng.uniform(*ranges.object_size)
    return _vector(size * np.exp(rng.uniform(-1.0, 1.0, 3) * np.log(ranges.stretch)))


def _radius(name: str, scale: Vector) -> float:
    return float(np.linalg.norm(asset(name).mesh.vertices * np.array(scale), axis=1).max())


def _drop_positions(
    rng: np.random.Generator, ranges: Preset, radii: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """Places in a cylinder over the floor where no two bounding spheres meet; it grows taller until all fit."""
    low, high = ranges.drop_height
    positions = np.empty((len(radii), 3))
    for k, radius in enumerate(radii):
        for attempt in count():
            angle, distance = rng.uniform(0.0, 2 * np.pi), ranges.drop_radius * np.sqrt(rng.random())
            height = radius + rng.uniform(low, high + 0.05 * attempt)
            place = (distance * np.cos(angle), distance * np.sin(angle), height)
            if np.all(np.linalg.norm(positions[:k] - place, axis=1) > radii[:k] + radius):
                break
        positions[k] = place
    return positions


def _rotation(rng: np.random.Generator) -> tuple[float, float, float, float]:
    quaternion = rng.normal(size=4)
    w, x, y, z = np.round(quaternion / np.linalg.norm(quaternion), DECIMALS).tolist()
    return w, x, y, z


def _material(rng: np.random.Generator, saturation: float = 0.85, scales: tuple[float, float] = (2.0, 8.0)) -> Material:
    """A random surface; its saturation is up to a bound, its texture has so many cells a metre."""
    hue, strength, value = rng.random(), rng.uniform(0.0, saturation), rng.uniform(0.3, 0.95)
    other = (hue + rng.normal(0.0, 0.12), rng.uniform(0.0, saturation), value * rng.uniform(0.3, 0.8))
    return Material(
        color=_color(hue, strength, value),
        roughness=round(rng.uniform(0.15, 0.9), DECIMALS),
        metallic=1.0 if rng.random() < 0.1 else 0.0,
        texture=TEXTURES[0 if rng.random() < 0.4 else rng.integers(1, len(TEXTURES))],
        color2=_color(*other),
        texture_scale=round(rng.uniform(*scales), DECIMALS),
    )


def _color(hue: float, saturation: float, value: float) -> Vector:
    """Linear RGB of a colour given as sRGB's hue, saturation and value; the hue in turns."""
    wheel = np.clip(np.abs((hue * 6 + np.array((0, 4, 2))) % 6 - 3) - 1, 0, 1)
    return _vector((value * (1 - saturation * (1 - wheel))) ** 2.2)


def _light(rng: np.random.Generator) -> LightSpec:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(30, 75))
    direction = np.array((np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)))
    return LightSpec(
        sun_direction=_vector(direction),
        sun_strength=round(rng.uniform(1.0, 4.0), DECIMALS),
        hdri=HDRIS[rng.integers(len(HDRIS))],
        hdri_rotation=round(rng.uniform(0, 2 * np.pi), DECIMALS),
        hdri_strength=round(rng.uniform(0.6, 1.2), DECIMALS),
        floor=replace(_material(rng, saturation=0.4, scales=(0.3, 1.5)), metallic=0.0),
    )


def _camera(rng: np.random.Generator, ranges: Preset, frames: int) -> CameraSpec:
    """An orbit around the heap with a small drift of radius, height and target."""
    along = np.linspace(0.0, 1.0, frames)
    arc = np.radians(rng.uniform(*ranges.camera_arc)) * rng.choice((-1, 1))
    azimuth = rng.uniform(0, 2 * np.pi) + arc * along
    radius = rng.uniform(*ranges.camera_radius) * (1 + rng.uniform(-0.12, 0.12) * along)
    height = rng.uniform(*ranges.camera_height) + rng.uniform(-0.5, 0.5) * along
    start = np.append(rng.uniform(-0.3, 0.3, 2), rng.uniform(0.2, 0.6))
    targets = start + along[:, None] * rng.uniform(-0.25, 0.25, 3)
    flat = np.sqrt(radius**2 - height**2)
    positions = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height], axis=1)
    return CameraSpec(
        focal_length=35.0,
        sensor_width=32.0,
        positions=tuple(map(_vector, positions)),
        targets=tuple(map(_vector, targets)),
    )


def _vector(values: Float[np.ndarray, " 3"]) -> Vector:
    x, y, z = np.round(np.asarray(values, dtype=np.float64), DECIMALS).tolist()
    return x, y, z

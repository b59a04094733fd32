"""Sampling of scenes: (preset, split, seed) -> unsettled SceneSpec.

Sampling is pure: the same arguments always give the same scene.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from jaxtyping import Float

from dataset_gen.assets import THING, Asset, Split
from dataset_gen.creatures import Gait, animate, creature_ids, load_creature
from dataset_gen.library import OFFLINE, Library
from dataset_gen.looks import sample_light, sample_material
from dataset_gen.places.compose import compose
from dataset_gen.presets import PRESETS, Preset, is_place
from dataset_gen.rounding import DECIMALS, round_vector
from vidamodal.worlds.spec import CameraSpec, ObjectSpec, Pose, SceneSpec, Throw, Vector

FPS = 12.0
GRAVITY = 9.81


@dataclass(frozen=True)
class _Context:
    """Shared inputs for sampling the objects of a scene."""

    look: np.random.Generator
    preset: Preset
    split: Split
    library: Library


def sample_scene(
    preset: str, split: Split, seed: int, size: int = 256, frames: int = 24, library: Library = OFFLINE
) -> SceneSpec:
    """Sample the unsettled scene of a seed; its objects are at the positions from which they are dropped.

    Args:
        preset: A name in ``PRESETS``.
        split: Set of assets to use.
        seed: Any integer >= 0.
        size: Height of the image in pixels; only places have images that are not square.
        frames: Number of frames. In places, what happens is spread over them; elsewhere, neither ``size`` nor
            ``frames`` changes what is sampled.
        library: Source of shapes and environment maps.

    Raises:
        InputError: The library has nothing for the split.
    """
    if is_place(preset):
        return compose(preset, split, seed, size, frames, library)
    root = np.random.SeedSequence([seed, zlib.crc32(f"{preset}/{split}".encode())])
    shapes, camera, look, motion = (np.random.Generator(np.random.PCG64(child)) for child in root.spawn(4))
    ranges = PRESETS[preset]
    context = _Context(look, ranges, split, library)
    objects = _heap(shapes, context)
    for _ in range(_sample_count(motion, ranges.thrown)):
        objects.append(_thrown_object(motion, context, len(objects) + 1))
    for _ in range(_sample_count(motion, ranges.creatures)):
        objects.append(_creature_object(motion, context, len(objects) + 1, frames))
    return SceneSpec(
        seed=seed,
        split=split,
        preset=preset,
        size=size,
        frames=frames,
        fps=FPS,
        objects=tuple(objects),
        camera=sample_camera(camera, ranges, frames),
        light=sample_light(look, library.maps(split)),
    )


def sample_camera(rng: np.random.Generator, preset: Preset, frames: int) -> CameraSpec:
    """Sample a camera path of one of the preset's kinds; an orbit's radius, height and target drift slightly."""
    kinds = [kind for kind, _ in preset.cameras]
    kind = kinds[0] if len(kinds) == 1 else rng.choice(kinds, p=[share for _, share in preset.cameras])
    along = np.linspace(0.0, 1.0, frames)
    arc = np.radians(rng.uniform(*preset.camera_arc)) * rng.choice((-1, 1))
    azimuth = rng.uniform(0, 2 * np.pi) + arc * along
    radius = rng.uniform(*preset.camera_radius) * (1 + rng.uniform(-0.12, 0.12) * along)
    height = rng.uniform(*preset.camera_height) + rng.uniform(-0.5, 0.5) * along
    start = np.append(rng.uniform(-0.3, 0.3, 2), rng.uniform(0.2, 0.6))
    targets = start + along[:, None] * rng.uniform(-0.25, 0.25, 3)
    flat = np.sqrt(radius**2 - height**2)
    positions = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height], axis=1)
    if kind == "fixed":
        positions, targets = np.repeat(positions[:1], frames, axis=0), np.repeat(targets[:1], frames, axis=0)
    elif kind == "linear":
        reach = rng.uniform(0.5, 3.0) / max(float(np.linalg.norm(positions[-1] - positions[0])), 1e-6)
        positions = positions[0] + along[:, None] * min(1.0, reach) * (positions[-1] - positions[0])
    return CameraSpec(
        focal_length=35.0,
        sensor_width=32.0,
        positions=tuple(map(round_vector, positions)),
        targets=tuple(map(round_vector, targets)),
    )


def _sample_count(rng: np.random.Generator, ends: tuple[int, int]) -> int:
    return int(rng.integers(ends[0], ends[1] + 1)) if ends[1] else 0


def _heap(rng: np.random.Generator, context: _Context) -> list[ObjectSpec]:
    """Sample the objects of a heap, above the floor and without contact."""
    low, high = context.preset.objects
    number = int(rng.integers(low, high + 1))
    assets = [_sample_asset(rng, context) for _ in range(number)]
    scales = [_sample_scale(rng, context.preset) for _ in range(number)]
    radii = np.array([_radius(asset, scale) for asset, scale in zip(assets, scales, strict=True)])
    positions = _drop_positions(rng, context.preset, radii)
    objects = []
    for k, (asset, scale) in enumerate(zip(assets, scales, strict=True)):
        mass = _sample_mass(rng, scale)
        pose = Pose(round_vector(positions[k]), _sample_rotation(rng))
        objects.append(_object_spec(context.look, k + 1, asset, scale, mass, (pose,)))
    return objects


def _thrown_object(rng: np.random.Generator, context: _Context, number: int) -> ObjectSpec:
    """Sample an object outside the heap that flies over it in a parabola or rolls into it."""
    preset = context.preset
    asset, scale = _sample_asset(rng, context), _sample_scale(rng, preset)
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*preset.throw_distance)
    radius, time = _radius(asset, scale), rng.uniform(*preset.throw_time)
    start = np.array((distance * np.cos(angle), distance * np.sin(angle), rng.uniform(radius, radius + 1.5)))
    middle = np.append(rng.normal(0.0, 0.6, 2), rng.uniform(0.3, 1.5))
    if rng.random() < preset.rolling:
        start[2] = middle[2] = radius + 0.01
        velocity = (middle - start) / time
        spin = np.array((-velocity[1], velocity[0], 0.0)) / radius
    else:
        velocity = (middle - start) / time + (0.0, 0.0, GRAVITY * time / 2)
        spin = rng.normal(0.0, 3.0, 3)
    mass = _sample_mass(rng, scale)
    pose = Pose(round_vector(start), _sample_rotation(rng))
    thrown = _object_spec(context.look, number, asset, scale, mass, (pose,))
    return replace(thrown, throw=Throw(round_vector(velocity), round_vector(spin)))


@dataclass(frozen=True)
class _Movement:
    """Ranges of a creature kind's gait."""

    speed: tuple[float, float]
    """Metres per frame."""
    pace: tuple[float, float]
    """Strides per frame."""
    leap: float = 0.0
    """Height of hops relative to the size."""
    flight: float = 0.0
    """Height of flight in metres."""


_MOVEMENTS = {
    "arm": _Movement((0.0, 0.0), (0.02, 0.06)),
    "biped": _Movement((0.03, 0.12), (0.04, 0.1)),
    "bird": _Movement((0.06, 0.2), (0.06, 0.2), flight=1.0),
    "jelly": _Movement((0.03, 0.12), (0.05, 0.12), leap=0.6),
    "post": _Movement((0.0, 0.03), (0.02, 0.07)),
    "quadruped": _Movement((0.03, 0.15), (0.04, 0.12)),
    "worm": _Movement((0.0, 0.08), (0.03, 0.1)),
}


def _creature_object(rng: np.random.Generator, context: _Context, number: int, frames: int) -> ObjectSpec:
    """Sample a creature that passes the centre at some distance, about halfway through a clip of 24 frames."""
    ids = creature_ids(context.split)
    creature = load_creature(ids[rng.integers(len(ids))])
    size = rng.uniform(*context.preset.creature_size)
    scale = round_vector(size * np.exp(rng.uniform(-1.0, 1.0, 3) * np.log(1.15)))
    movement = _MOVEMENTS[creature.asset.label]
    heading = rng.uniform(0, 2 * np.pi)
    aside = rng.uniform(*context.preset.creature_radius) * rng.choice((-1, 1))
    speed, pace = rng.uniform(*movement.speed), rng.uniform(*movement.pace)
    turn = rng.normal(0.0, 0.02)
    along = np.array((np.cos(heading), np.sin(heading)))
    nearest = aside * np.array((-along[1], along[0])) + rng.normal(0.0, 0.5) * along
    start = nearest - along * speed * rng.uniform(4, 20)
    gait = Gait(
        start=(round(float(start[0]), DECIMALS), round(float(start[1]), DECIMALS)),
        heading=heading,
        speed=speed,
        pace=pace,
        phase=rng.random(),
        turn=turn,
        leap=movement.leap * size * rng.uniform(0.5, 1.5),
        height=movement.flight * rng.uniform(0.5, 2.0),
    )
    poses, deformation = animate(creature, scale, gait, frames)
    spec = _object_spec(context.look, number, creature.asset, scale, float(np.prod(scale)), poses)
    return replace(spec, deformation=deformation)


def _object_spec(
    look: np.random.Generator, number: int, asset: Asset, scale: Vector, mass: float, poses: tuple[Pose, ...]
) -> ObjectSpec:
    mass = round(mass, DECIMALS)
    return ObjectSpec(number, asset.id, asset.label, asset.licence, scale, mass, sample_material(look), poses)


def _sample_asset(rng: np.random.Generator, context: _Context) -> Asset:
    families = context.library.ids(context.split)
    preferred = [family for family in context.preset.families if family in families]
    shapes = preferred or [family for family in families if family != THING] or [THING]
    use_thing = rng.random() < context.preset.things and THING in families
    family = THING if use_thing else shapes[rng.integers(len(shapes))]
    return context.library.asset(families[family][rng.integers(len(families[family]))])


def _sample_scale(rng: np.random.Generator, preset: Preset) -> Vector:
    size = rng.uniform(*preset.object_size)
    return round_vector(size * np.exp(rng.uniform(-1.0, 1.0, 3) * np.log(preset.stretch)))


def _sample_mass(rng: np.random.Generator, scale: Vector) -> float:
    return float(np.prod(scale) * rng.uniform(0.5, 1.5))


def _sample_rotation(rng: np.random.Generator) -> tuple[float, float, float, float]:
    quaternion = rng.normal(size=4)
    w, x, y, z = np.round(quaternion / np.linalg.norm(quaternion), DECIMALS).tolist()
    return w, x, y, z


def _radius(asset: Asset, scale: Vector) -> float:
    """Return the radius of the bounding sphere around the centroid, in metres."""
    return float(np.linalg.norm(asset.mesh.vertices * np.array(scale), axis=1).max())


def _drop_positions(
    rng: np.random.Generator, preset: Preset, radii: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """Sample positions in a cylinder above the floor where no two bounding spheres meet.

    The cylinder grows taller with every attempt, so that all objects fit.
    """
    low, high = preset.drop_height
    positions = np.empty((len(radii), 3))
    for k, radius in enumerate(radii):
        for attempt in count():
            angle, distance = rng.uniform(0.0, 2 * np.pi), preset.drop_radius * np.sqrt(rng.random())
            height = radius + rng.uniform(low, high + 0.05 * attempt)
            position = (distance * np.cos(angle), distance * np.sin(angle), height)
            if np.all(np.linalg.norm(positions[:k] - position, axis=1) > radii[:k] + radius):
                break
        positions[k] = position
    return positions

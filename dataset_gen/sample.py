"""Drawing scenes: (preset, split, seed) -> unsettled SceneSpec. Pure: the same numbers always give the same scene."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from jaxtyping import Float

from dataset_gen.assets import THING, Asset
from dataset_gen.creatures import Gait, creature, creature_ids, move
from dataset_gen.library import OFFLINE, TEXTURES, Library
from dataset_gen.rounding import DECIMALS, vector
from vidamodal.worlds.spec import CameraSpec, LightSpec, Material, ObjectSpec, Pose, SceneSpec, Throw, Vector

FPS = 12.0
GRAVITY = 9.81

ORBIT = (("orbit", 1.0),)
ANY_CAMERA = (("fixed", 0.4), ("linear", 0.3), ("orbit", 0.3))

SIMPLE = ("box", "capsule", "cone", "cylinder", "dumbbell", "ellipsoid", "gear", "mug", "prism", "ring", "star")
"""Families of plain shapes, as KuBasic has them."""


@dataclass(frozen=True)
class Preset:
    """Ranges that scenes are drawn from, all uniformly; lengths in metres, angles in degrees."""

    objects: tuple[int, int]
    """How many fall into a heap, at rest when the clip begins."""
    object_size: tuple[float, float]
    stretch: float
    """Each axis is stretched by up to this factor, or shrunk."""
    things: float
    """Share of shapes without a family of their own."""
    drop_radius: float
    drop_height: tuple[float, float]
    camera_radius: tuple[float, float]
    camera_height: tuple[float, float]
    camera_arc: tuple[float, float]
    """How far an orbiting camera goes round."""
    cameras: tuple[tuple[str, float], ...] = ORBIT
    """Kinds of camera path and their shares: "orbit", "fixed", or "linear" between two points of the same range."""
    families: tuple[str, ...] = ()
    """Labels that shapes are drawn from; all where none is named, or where the library has none of them."""
    thrown: tuple[int, int] = (0, 0)
    """How many fly or roll in from the outside."""
    throw_distance: tuple[float, float] = (2.5, 4.0)
    throw_time: tuple[float, float] = (0.5, 1.5)
    """Seconds until one that is thrown passes the middle."""
    rolling: float = 0.3
    """Share of those that start on the floor."""
    creatures: tuple[int, int] = (0, 0)
    """How many walk, crawl, hop, fly or wave (`dataset_gen.creatures`)."""
    creature_size: tuple[float, float] = (0.9, 2.0)
    creature_radius: tuple[float, float] = (0.2, 2.0)
    """How far from the middle their path passes."""


_HEAP = Preset(
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

PRESETS = {
    "movid_a": _HEAP,
    "movi_b": replace(
        _HEAP, objects=(0, 0), things=0.0, families=SIMPLE, thrown=(4, 10), cameras=ANY_CAMERA, camera_radius=(5.5, 8.0)
    ),
    "movi_d": replace(
        _HEAP, objects=(8, 16), drop_radius=1.8, thrown=(1, 4), cameras=ANY_CAMERA, camera_radius=(5.5, 8.0)
    ),
    "creatures": replace(
        _HEAP, objects=(2, 8), thrown=(0, 1), creatures=(3, 7), cameras=ANY_CAMERA, camera_radius=(4.5, 7.5)
    ),
}
"""``movid_a``: heaps of 10 to 20 objects that heavily occlude each other, a camera going round, as in MOViD-A.
``movi_b``: 4 to 10 plain shapes thrown together, as in MOVi-B. ``movi_d``: 1 to 4 objects thrown into a heap, as in
MOVi-D. ``creatures``: shapes that walk, crawl, hop and bend about a small heap. Fixed, straight and orbiting cameras
but in ``movid_a``."""


def sample_scene(
    preset: str, split: str, seed: int, size: int = 256, frames: int = 24, library: Library = OFFLINE
) -> SceneSpec:
    """The unsettled scene of a seed (any integer >= 0): objects stand where they are dropped from.

    ``size`` is the side of the image in pixels; it and the number of frames leave all else as it is.
    Raises InputError where the library has nothing for the split.
    """
    root = np.random.SeedSequence([seed, zlib.crc32(f"{preset}/{split}".encode())])
    shapes, camera, look, motion = (np.random.Generator(np.random.PCG64(child)) for child in root.spawn(4))
    ranges = PRESETS[preset]
    objects = _objects(shapes, look, ranges, split, library)
    objects += tuple(
        _thrown(motion, look, ranges, split, len(objects) + k + 1, library) for k in range(_draw(motion, ranges.thrown))
    )
    objects += tuple(
        _creature(motion, look, ranges, split, len(objects) + k + 1, frames)
        for k in range(_draw(motion, ranges.creatures))
    )
    return SceneSpec(
        seed=seed,
        split=split,
        preset=preset,
        size=size,
        frames=frames,
        fps=FPS,
        objects=objects,
        camera=draw_camera(camera, ranges, frames),
        light=_light(look, library.maps(split)),
    )


def _objects(
    rng: np.random.Generator, look: np.random.Generator, ranges: Preset, split: str, library: Library
) -> tuple[ObjectSpec, ...]:
    number = int(rng.integers(ranges.objects[0], ranges.objects[1] + 1))
    chosen = [library.asset(_choose_asset(rng, ranges, split, library)) for _ in range(number)]
    scales = [_scale(rng, ranges) for _ in range(number)]
    radii = np.array([_radius(what, scale) for what, scale in zip(chosen, scales, strict=True)])
    positions = _drop_positions(rng, ranges, radii)
    return tuple(
        ObjectSpec(
            id=k + 1,
            asset=chosen[k].id,
            label=chosen[k].label,
            licence=chosen[k].licence,
            scale=scales[k],
            mass=round(float(np.prod(scales[k]) * rng.uniform(0.5, 1.5)), DECIMALS),
            material=_material(look),
            poses=(Pose(vector(positions[k]), _rotation(rng)),),
        )
        for k in range(number)
    )


def _draw(rng: np.random.Generator, ends: tuple[int, int]) -> int:
    return int(rng.integers(ends[0], ends[1] + 1)) if ends[1] else 0


def _object(
    look: np.random.Generator, number: int, what: Asset, scale: Vector, mass: float, poses: tuple[Pose, ...]
) -> ObjectSpec:
    return ObjectSpec(number, what.id, what.label, what.licence, scale, round(mass, DECIMALS), _material(look), poses)


def _thrown(
    rng: np.random.Generator, look: np.random.Generator, ranges: Preset, split: str, number: int, library: Library
) -> ObjectSpec:
    """An object outside, about to fly over the heap in a parabola, or to roll into it."""
    what, scale = library.asset(_choose_asset(rng, ranges, split, library)), _scale(rng, ranges)
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*ranges.throw_distance)
    radius, time = _radius(what, scale), rng.uniform(*ranges.throw_time)
    start = np.array((distance * np.cos(angle), distance * np.sin(angle), rng.uniform(radius, radius + 1.5)))
    middle = np.append(rng.normal(0.0, 0.6, 2), rng.uniform(0.3, 1.5))
    if rng.random() < ranges.rolling:
        start[2] = middle[2] = radius + 0.01
        velocity = (middle - start) / time
        spin = np.array((-velocity[1], velocity[0], 0.0)) / radius
    else:
        velocity = (middle - start) / time + (0.0, 0.0, GRAVITY * time / 2)
        spin = rng.normal(0.0, 3.0, 3)
    mass = float(np.prod(scale) * rng.uniform(0.5, 1.5))
    thing = _object(look, number, what, scale, mass, (Pose(vector(start), _rotation(rng)),))
    return replace(thing, throw=Throw(vector(velocity), vector(spin)))


_PACES = {  # metres and strides a frame, height of the hops or flight over the size
    "arm": ((0.0, 0.0), (0.02, 0.06), 0.0, 0.0),
    "biped": ((0.03, 0.12), (0.04, 0.1), 0.0, 0.0),
    "bird": ((0.06, 0.2), (0.06, 0.2), 0.0, 1.0),
    "jelly": ((0.03, 0.12), (0.05, 0.12), 0.6, 0.0),
    "post": ((0.0, 0.03), (0.02, 0.07), 0.0, 0.0),
    "quadruped": ((0.03, 0.15), (0.04, 0.12), 0.0, 0.0),
    "worm": ((0.0, 0.08), (0.03, 0.1), 0.0, 0.0),
}


def _creature(
    rng: np.random.Generator, look: np.random.Generator, ranges: Preset, split: str, number: int, frames: int
) -> ObjectSpec:
    """One that passes the middle at some distance, halfway through about a clip of 24 frames."""
    ids = creature_ids(split)
    name = ids[rng.integers(len(ids))]
    who, size = creature(name), rng.uniform(*ranges.creature_size)
    scale = vector(size * np.exp(rng.uniform(-1.0, 1.0, 3) * np.log(1.15)))
    speeds, paces, leap, flight = _PACES[who.asset.label]
    heading, aside = rng.uniform(0, 2 * np.pi), rng.uniform(*ranges.creature_radius) * rng.choice((-1, 1))
    speed, pace = rng.uniform(*speeds), rng.uniform(*paces)
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
        leap=leap * size * rng.uniform(0.5, 1.5),
        height=flight * rng.uniform(0.5, 2.0),
    )
    poses, deformation = move(who, scale, gait, frames)
    return replace(_object(look, number, who.asset, scale, float(np.prod(scale)), poses), deformation=deformation)


def _choose_asset(rng: np.random.Generator, ranges: Preset, split: str, library: Library) -> str:
    families = library.ids(split)
    named = [family for family in ranges.families if family in families]
    shapes = named or [family for family in families if family != THING] or [THING]
    family = THING if rng.random() < ranges.things and THING in families else shapes[rng.integers(len(shapes))]
    return families[family][rng.integers(len(families[family]))]


def _scale(rng: np.random.Generator, ranges: Preset) -> Vector:
    size = rng.uniform(*ranges.object_size)
    return vector(size * np.exp(rng.uniform(-1.0, 1.0, 3) * np.log(ranges.stretch)))


def _radius(what: Asset, scale: Vector) -> float:
    return float(np.linalg.norm(what.mesh.vertices * np.array(scale), axis=1).max())


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
    return vector((value * (1 - saturation * (1 - wheel))) ** 2.2)


def _light(rng: np.random.Generator, maps: tuple[str, ...]) -> LightSpec:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(30, 75))
    direction = np.array((np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)))
    return LightSpec(
        sun_direction=vector(direction),
        sun_strength=round(rng.uniform(1.0, 4.0), DECIMALS),
        hdri=maps[rng.integers(len(maps))],
        hdri_rotation=round(rng.uniform(0, 2 * np.pi), DECIMALS),
        hdri_strength=round(rng.uniform(0.6, 1.2), DECIMALS),
        floor=replace(_material(rng, saturation=0.4, scales=(0.3, 1.5)), metallic=0.0),
    )


def draw_camera(rng: np.random.Generator, ranges: Preset, frames: int) -> CameraSpec:
    """A path by one of the preset's kinds, with a small drift of an orbit's radius, height and target."""
    kinds = [kind for kind, _ in ranges.cameras]
    kind = kinds[0] if len(kinds) == 1 else rng.choice(kinds, p=[share for _, share in ranges.cameras])
    along = np.linspace(0.0, 1.0, frames)
    arc = np.radians(rng.uniform(*ranges.camera_arc)) * rng.choice((-1, 1))
    azimuth = rng.uniform(0, 2 * np.pi) + arc * along
    radius = rng.uniform(*ranges.camera_radius) * (1 + rng.uniform(-0.12, 0.12) * along)
    height = rng.uniform(*ranges.camera_height) + rng.uniform(-0.5, 0.5) * along
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
        positions=tuple(map(vector, positions)),
        targets=tuple(map(vector, targets)),
    )

"""Composition of places: (preset, split, seed) -> SceneSpec. Pure and seeded; no physics is needed.

A subject comes first: how large it is in the image, with which lens, gives the distance of the camera. Others walk with
it, cross its path, or mind their own business. Then things are put where they block nobody's way, some of them between
the camera and a subject.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataset_gen.assets import Split
from dataset_gen.library import OFFLINE, Library
from dataset_gen.looks import sample_light
from dataset_gen.places.casting import CASTS, PUSHED, Actor, CastName, actor
from dataset_gen.places.plots import Role, companion, hides_for_good, passer, sample_role
from dataset_gen.places.pruning import prune
from dataset_gen.places.road import CARS, DRIVES, RIDDEN, drive
from dataset_gen.places.scenery import furnish, hide_for_good, house_fronts, occlude, throw, walls
from dataset_gen.places.sets import Place, collide
from dataset_gen.places.shots import (
    LENSES,
    MOVES,
    RATES,
    CameraMove,
    Shot,
    distance_for,
    film,
    pick,
    sample_aspect,
)
from dataset_gen.presets import PlaceName
from dataset_gen.props.catalogue import furniture_ids, occluder_ids
from vidamodal.worlds.spec import CameraSpec, SceneSpec

OUTDOORS = (
    "bench", "bollard", "brick_pier", "bus_shelter", "bush", "column", "grid_fence", "hedge", "lamp_post",
    "parked_boxes", "picket_fence", "pole", "rail_fence", "rock", "sign", "tall_grass", "tree", "wall", "wheelie_bin",
)  # fmt: skip
"""Kinds of occluders on streets."""

NATURE = ("bush", "hedge", "picket_fence", "pole", "rail_fence", "rock", "tall_grass", "tree", "wall")
"""Kinds of occluders in fields."""

INDOORS = ("column", "door_frame", "parked_boxes", "pole", "wall", "window_frame")
"""Kinds of occluders in rooms, besides furniture."""

PETS = ("cat", "dog", "dog", "rabbit")
"""Kinds of animals in rooms."""

STREET_ANIMALS = ("cat", "dog", "dog", "horse", "goat", "chicken", "cow")
"""Kinds of animals on streets."""

HIDING = ("bush", "hedge", "parked_boxes", "wall", "rock", "brick_pier", "bus_shelter", "tree")
"""Kinds of occluders that somebody may vanish behind for good."""

Extra = Literal["companion", "passer", "other", "background"]

EXTRAS: tuple[tuple[Extra, float], ...] = (("companion", 0.3), ("passer", 0.36), ("other", 0.2), ("background", 0.14))
"""What further actors do, with probabilities: walk with another, cross its path, act at any depth, or far away."""

UNOCCLUDED = 0.2
"""Share of scenes without static occluders, whose subjects may be whole all the time."""

LEAST_SHOWN = 0.004
"""Least share of the image that the subjects of a scene take, as a mean over the frames."""

LEAST_OCCLUDED = 0.03
"""Least share of the subjects' pixels that is hidden in the other scenes."""

_ATTEMPTS = 5
"""How often a scene is composed until it shows enough."""

_TRIES = 6
"""How often a subject's role is sampled until it is long enough in the image."""

VANISHING = 0.08
"""Share of scenes in which somebody goes behind something and stays there."""


@dataclass(frozen=True)
class Group:
    """Actors of a cast, from some of its families or from all."""

    cast: CastName
    families: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlaceKind:
    """Ranges of a preset. Lengths are in metres."""

    groups: tuple[tuple[Group, float], ...]
    """Who acts, with probabilities."""
    share: tuple[float, float]
    """How much of the image's height the first subject fills; sampled logarithmically."""
    depth: tuple[float, float]
    """Least and greatest distance of the camera from the subject."""
    extras: tuple[float, ...]
    """Probabilities of 0, 1, 2, ... further actors."""
    occluders: tuple[str, ...]


_PEOPLE, _PUSHED = Group("person"), Group("vehicle", PUSHED)
_RIDERS, _APART = Group("rider"), Group("vehicle", RIDDEN)  # one track with what carries them, or two

KINDS: dict[PlaceName, PlaceKind] = {
    "street": PlaceKind(
        (
            (_PEOPLE, 0.52), (_RIDERS, 0.09),
            (_APART, 0.04), (_PUSHED, 0.05),
            (Group("vehicle", CARS), 0.22), (Group("animal", STREET_ANIMALS), 0.08),
        ),
        (0.12, 2.0), (0.9, 45.0), (0.13, 0.27, 0.27, 0.17, 0.1, 0.06), OUTDOORS,
    ),
    "room": PlaceKind(
        ((_PEOPLE, 0.86), (Group("animal", PETS), 0.12), (_PUSHED, 0.02)),
        (0.4, 2.2), (0.8, 6.0), (0.26, 0.36, 0.23, 0.11, 0.04), INDOORS,
    ),
    "field": PlaceKind(
        (
            (Group("animal"), 0.46), (_PEOPLE, 0.42), (_RIDERS, 0.05),
            (_APART, 0.02), (_PUSHED, 0.01),
            (Group("vehicle", ("tractor", "boat", "suv", "pickup")), 0.04),
        ),
        (0.15, 2.1), (0.9, 40.0), (0.18, 0.28, 0.22, 0.16, 0.1, 0.06), NATURE,
    ),
}  # fmt: skip
"""The places."""


def compose(
    preset: PlaceName, split: Split, seed: int, size: int, frames: int, library: Library = OFFLINE
) -> SceneSpec:
    """Compose the scene of a seed.

    Args:
        preset: A place.
        split: Set of assets to use.
        seed: Any integer >= 0.
        size: Height of the image in pixels.
        frames: Number of frames.
        library: Source of environment maps.
    """
    key = [seed, zlib.crc32(f"{preset}/{split}".encode())]
    clean = np.random.default_rng(key).random() < UNOCCLUDED
    for attempt in range(_ATTEMPTS):
        root = np.random.SeedSequence([*key, attempt])
        streams = tuple(np.random.Generator(np.random.PCG64(child)) for child in root.spawn(4))
        scene, camera, aspect = _sketch(preset, split, frames, clean, streams)
        pruned = prune(scene.objects, scene.meshes, camera, aspect)
        if pruned.shown >= LEAST_SHOWN and (clean or pruned.occluded >= LEAST_OCCLUDED):
            break
    return SceneSpec(
        seed=seed,
        split=split,
        preset=preset,
        size=size,
        frames=frames,
        fps=scene.shot.fps,
        objects=pruned.objects,
        camera=camera,
        light=sample_light(scene.look, library.maps(split)),
        width=2 * max(8, round(size * aspect / 2)),
    )


def _sketch(
    preset: PlaceName, split: Split, frames: int, clean: bool, streams: tuple[np.random.Generator, ...]
) -> tuple[Place, CameraSpec, float]:
    """Compose a scene; return it with its camera and the width of the image over its height."""
    lens = streams[-1]
    if preset == "street" and lens.random() < DRIVES:
        return drive(split, frames, *streams)
    return _stage(KINDS[preset], preset, split, frames, clean, streams)


def _stage(
    kind: PlaceKind,
    preset: PlaceName,
    split: Split,
    frames: int,
    clean: bool,
    streams: tuple[np.random.Generator, ...],
) -> tuple[Place, CameraSpec, float]:
    """Compose a scene around a subject."""
    layout, look, motion, lens = streams
    fps = RATES[pick(lens, RATES)][0]
    subject = _actor(layout, kind, split)
    shot = _shot(lens, kind, subject, frames, fps)
    scene = Place(split, shot, layout, look, motion)
    move: CameraMove = MOVES[pick(lens, MOVES)][0]
    vanishes = lens.random() < VANISHING and move in ("fixed", "handheld", "pan")
    first, end = _first_role(layout, shot, subject, move, vanishes)
    scene.act(first)
    camera = film(lens, shot, move, first.path)
    _extras(scene, kind)
    if end is not None:
        hide_for_good(scene, camera, occluder_ids(split), [k for k in HIDING if k in kind.occluders], end)
    _surround(scene, kind, preset, camera, clean)
    return scene, camera, shot.aspect


def _shot(rng: np.random.Generator, kind: PlaceKind, subject: Actor, frames: int, fps: float) -> Shot:
    """Choose image, lens and distance."""
    aspect = sample_aspect(rng)
    focal = float(rng.uniform(*LENSES[pick(rng, LENSES)][0]))
    low, high = np.log(kind.share)
    share = float(np.exp(rng.uniform(low, high) if rng.random() < 0.6 else rng.uniform((low + high) / 2, high)))
    tall = float(subject.extent[2])
    extent = max(tall, 0.55 * float(subject.extent[:2].max()))
    distance = float(np.clip(distance_for(extent, share, focal, aspect), *kind.depth))
    focal = min(focal, focal * kind.depth[1] / distance)
    heights = ((0.25, 0.8), (1.2, 1.8), (1.8, 1.8 + 0.25 * distance))
    height = rng.uniform(*heights[int(rng.choice(3, p=(0.22, 0.56, 0.22)))])
    height = min(height, 0.2 + 0.9 * distance)
    shown = extent / share
    slack = max(shown - tall, 0.0) / 2
    aim = tall * rng.uniform(0.4, 0.65) + rng.uniform(-0.4, 0.6) * min(slack, 0.25 * distance)
    return Shot(aspect, focal, distance + subject.reach * 0.3, float(height), float(aim), frames, fps)


def _actor(rng: np.random.Generator, kind: PlaceKind, split: Split) -> Actor:
    group = kind.groups[pick(rng, kind.groups)][0]
    return actor(rng, CASTS[group.cast], split, group.families)


def _first_role(
    rng: np.random.Generator, shot: Shot, subject: Actor, move: CameraMove, vanishes: bool
) -> tuple[Role, np.ndarray | None]:
    """Return what the subject does, and where it stays hidden if it vanishes."""
    if vanishes:
        return hides_for_good(rng, shot, subject, shot.distance)
    if move == "follow":
        return sample_role(rng, shot, subject, shot.distance, "turn" if rng.random() < 0.2 else "cross"), None
    for _ in range(_TRIES):
        role = sample_role(rng, shot, subject, shot.distance)
        if move == "pan" or _time_in_view(shot, role) > rng.uniform(0.2, 0.7):
            break
    return role, None


def _time_in_view(shot: Shot, role: Role) -> float:
    """Return the share of the frames in which an actor is in the image of a camera that does not move."""
    x, depth = role.path.positions[:, 0], role.path.positions[:, 1] + shot.distance
    return float(np.mean((depth > 0.5) & (np.abs(x) < shot.across * depth + role.actor.reach)))


def _extras(scene: Place, kind: PlaceKind) -> None:
    """Add further actors."""
    rng, shot = scene.layout, scene.shot
    for _ in range(int(rng.choice(len(kind.extras), p=kind.extras))):
        other = _actor(rng, kind, scene.split)
        what = EXTRAS[pick(rng, EXTRAS)][0]
        known = scene.roles[int(rng.integers(len(scene.roles)))]
        if what == "companion":
            role = companion(rng, known, other)
        elif what == "passer":
            role = passer(rng, shot, known, other)
        else:
            low, high = (0.6, 1.6) if what == "other" else (1.6, 4.0)
            role = sample_role(rng, shot, other, shot.distance * rng.uniform(low, high))
        if _keeps_off(scene, role):
            scene.act(role)


def _keeps_off(scene: Place, role: Role) -> bool:
    """Return True if an actor does not run through another one or into the camera."""
    eye = np.array([0.0, -scene.shot.distance])
    if np.linalg.norm(role.path.positions - eye, axis=1).min() < role.actor.reach + 0.45:
        return False
    return not any(collide(role, other) for other in scene.roles)


def _surround(scene: Place, kind: PlaceKind, preset: PlaceName, camera: CameraSpec, clean: bool) -> None:
    """Put occluders, furniture, flying things and the backdrop."""
    rng, shot, split = scene.layout, scene.shot, scene.split
    occluded = not clean
    if occluded:
        for _ in range(int(rng.choice((1, 2, 3, 4), p=(0.3, 0.35, 0.22, 0.13)))):
            kinds = [name for name in HIDING if name in kind.occluders] if rng.random() < 0.45 else kind.occluders
            occlude(scene, camera, occluder_ids(split), kinds, _random_role(scene))
    if preset == "room":
        if occluded and rng.random() < 0.6:
            occlude(
                scene,
                camera,
                furniture_ids(split),
                sorted(furniture_ids(split)),
                _random_role(scene),
                rng.random() < 0.6,
            )
        half = max(shot.half_width(shot.distance), 1.0) * rng.uniform(1.0, 1.8) + 0.5
        back = rng.uniform(0.8, 4.0)
        furnish(scene, camera, furniture_ids(split), int(rng.integers(1, 6)), (half, back), 0.7)
        reach = max(float(np.abs(role.path.positions[:, 0]).max()) for role in scene.roles)
        deep = max(float(role.path.positions[:, 1].max()) for role in scene.roles)
        room = max(half, reach, float(np.abs(np.array(camera.positions)[:, 0]).max()) + 0.6 * shot.distance)
        walls(scene, room + 0.7, max(back, deep) + 0.7)
    elif preset == "street" and rng.random() < 0.75:
        deep = max(float((role.path.positions[:, 1]).max()) for role in scene.roles)
        house_fronts(scene, max(deep, 0.0) + rng.uniform(1.5, 12.0))
    if rng.random() < (0.12 if preset == "street" else 0.28):
        throw(scene, camera, _random_role(scene))


def _random_role(scene: Place) -> Role:
    """Choose an actor; the first is the most likely."""
    if scene.layout.random() < 0.5:
        return scene.roles[0]
    return scene.roles[int(scene.layout.integers(len(scene.roles)))]

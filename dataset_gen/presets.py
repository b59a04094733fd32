"""Presets: the ranges that scenes are sampled from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeGuard, get_args

from vidamodal.worlds.place_views import PLACES

PhysicalName = Literal["creatures", "movi_b", "movi_d", "movid_a"]

PlaceName = Literal["field", "room", "street"]

PresetName = PhysicalName | PlaceName

PHYSICAL: tuple[PhysicalName, ...] = get_args(PhysicalName)
"""Presets whose objects fall into place: they need a simulation."""

PRESET_NAMES: tuple[PresetName, ...] = (*PHYSICAL, *get_args(PlaceName))


PLACE_FRAMES = 60
"""Frames of a mask-only place, if not chosen: more than a training clip has, since clips are stretches of them."""


def is_place(preset: str) -> TypeGuard[PlaceName]:
    """Return True for a preset that ``dataset_gen.places`` composes, without physics."""
    return preset in PLACES


CameraKind = Literal["fixed", "linear", "orbit"]

ORBIT: tuple[tuple[CameraKind, float], ...] = (("orbit", 1.0),)
ANY_CAMERA: tuple[tuple[CameraKind, float], ...] = (("fixed", 0.4), ("linear", 0.3), ("orbit", 0.3))

SIMPLE = ("box", "capsule", "cone", "cylinder", "dumbbell", "ellipsoid", "gear", "mug", "prism", "ring", "star")
"""Families of simple shapes, similar to KuBasic's."""


@dataclass(frozen=True)
class Preset:
    """Ranges of a scene's parameters. Values are sampled uniformly; lengths are in metres, angles in degrees."""

    objects: tuple[int, int]
    """Number of objects that fall into a heap and are at rest when the clip begins."""
    object_size: tuple[float, float]
    stretch: float
    """Largest factor by which each axis is stretched or shrunk."""
    things: float
    """Fraction of the objects that are shapes without a family."""
    drop_radius: float
    drop_height: tuple[float, float]
    camera_radius: tuple[float, float]
    camera_height: tuple[float, float]
    camera_arc: tuple[float, float]
    """Angle that an orbiting camera covers during the clip."""
    cameras: tuple[tuple[CameraKind, float], ...] = ORBIT
    """Kinds of camera path with their probabilities. A linear path joins two points of an orbit."""
    families: tuple[str, ...] = ()
    """Labels of the families in use. Empty for all, which also holds where the library has none of them."""
    thrown: tuple[int, int] = (0, 0)
    """Number of objects that fly or roll in from outside."""
    throw_distance: tuple[float, float] = (2.5, 4.0)
    throw_time: tuple[float, float] = (0.5, 1.5)
    """Seconds until a thrown object passes the centre."""
    rolling: float = 0.3
    """Fraction of the thrown objects that roll along the floor."""
    creatures: tuple[int, int] = (0, 0)
    """Number of creatures (``dataset_gen.creatures``)."""
    creature_size: tuple[float, float] = (0.9, 2.0)
    creature_radius: tuple[float, float] = (0.2, 2.0)
    """Distance at which a creature's path passes the centre."""


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

PRESETS: dict[str, Preset] = {
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
"""Presets with physics by name (``PhysicalName``).

- ``movid_a``: heaps of 10 to 20 objects that heavily occlude each other, with an orbiting camera, as in MOViD-A.
- ``movi_b``: 4 to 10 simple shapes thrown together, as in MOVi-B.
- ``movi_d``: a heap of 8 to 16 objects into which 1 to 4 more are thrown, as in MOVi-D.
- ``creatures``: 3 to 7 shapes that walk, crawl, hop and bend around a small heap.

All but ``movid_a`` use fixed, linear and orbiting cameras.
"""

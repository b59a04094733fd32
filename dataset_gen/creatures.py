"""Creatures: deformable shapes, with jointed limbs or bodies that bend and squash, and their gaits on the floor.

Like the shape families of ``dataset_gen.assets``, they consist of closed convex parts, the id determines the shape, and
the splits have disjoint ids. A creature faces +x and stands upright along z. The physics ignores creatures: they follow
scripted gaits and may pass through each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float

from dataset_gen.assets import Asset, Split, variants
from dataset_gen.creature_kinds import KINDS, Joint
from dataset_gen.families import require_kind, seeded
from dataset_gen.meshes import convex_hull, normalize_parts
from dataset_gen.rounding import DECIMALS, round_vector
from vidamodal.worlds.spec import Deformation, Hinge, Pose, Vector, deform


@dataclass(frozen=True)
class Creature:
    """A deforming shape: its asset at rest, its joints, and the amplitudes of its bend and squash."""

    asset: Asset
    joints: tuple[Joint, ...] = ()
    bend: float = 0.0
    squash: float = 0.0


@dataclass(frozen=True)
class Gait:
    """A creature's path and rhythm."""

    start: tuple[float, float]
    """Position on the floor in frame 0, in metres."""
    heading: float
    """Direction of movement in frame 0, in radians."""
    speed: float
    """Metres per frame."""
    pace: float
    """Strides per frame."""
    phase: float
    """Phase in frame 0, in strides."""
    turn: float = 0.0
    """Change of the heading per frame, in radians."""
    leap: float = 0.0
    """Height of hops, in metres."""
    height: float = 0.0
    """Height above the floor between hops, in metres."""


@cache
def creature_ids(split: Split) -> tuple[str, ...]:
    """Return all creature ids of a split."""
    return tuple(f"{kind}/{number:04d}" for kind in sorted(KINDS) for number in variants(split))


def is_creature(asset_id: str) -> bool:
    """Return True if the id names a creature kind."""
    return asset_id.partition("/")[0] in KINDS


@cache
def load_creature(asset_id: str) -> Creature:
    """Return the creature with the given id.

    Raises:
        InputError: The id is in no split.
    """
    kind = require_kind(asset_id, KINDS)
    body = KINDS[kind](seeded(asset_id))
    raw = [convex_hull(points) for points in body.parts]
    parts = normalize_parts(raw)
    # Normalisation moved and scaled the parts together; the joints have to follow.
    before, after = (np.concatenate([part.vertices for part in group]).astype(np.float64) for group in (raw, parts))
    scale = np.ptp(before[:, 2]) / np.ptp(after[:, 2])
    origin = before.mean(axis=0) - scale * after.mean(axis=0)
    joints = (replace(j, pivot=round_vector((np.array(j.pivot) - origin) / scale)) for j in body.joints)
    return Creature(Asset(asset_id, kind, parts, "Apache-2.0", "dataset_gen"), tuple(joints), body.bend, body.squash)


def animate(creature: Creature, scale: Vector, gait: Gait, frames: int) -> tuple[tuple[Pose, ...], Deformation]:
    """Return a creature's pose and deformation in every frame.

    Its lowest point is on the floor, or at the height of its hop or flight.
    """
    stride = gait.phase + gait.pace * np.arange(frames)
    hop = np.abs(np.sin(np.pi * stride)) if gait.leap else np.zeros(frames)
    deformation = _deformation(creature, gait, stride, hop)
    vertices = creature.asset.mesh.vertices
    heading = gait.heading + gait.turn * np.arange(frames)
    steps = gait.speed * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    places = np.array(gait.start) + np.cumsum(steps, axis=0) - steps[0]
    poses = []
    for t in range(frames):
        lowest = scale[2] * deform(vertices, deformation, t)[:, 2].min()
        height = gait.height + gait.leap * hop[t] - lowest
        rotation = (np.cos(heading[t] / 2), 0.0, 0.0, np.sin(heading[t] / 2))
        w, x, y, z = np.round(rotation, DECIMALS).tolist()
        poses.append(Pose(round_vector(np.array((*places[t], height))), (w, x, y, z)))
    return tuple(poses), deformation


def _deformation(
    creature: Creature, gait: Gait, stride: Float[np.ndarray, " t"], hop: Float[np.ndarray, " t"]
) -> Deformation:
    wave = np.sin(2 * np.pi * stride)
    # A hopping creature is longest in the air and flat where it lands; without hops it breathes.
    squash_wave = 2 * hop - 1 if gait.leap else wave
    return Deformation(
        hinges=tuple(_hinge(creature.asset, joint, stride) for joint in creature.joints),
        bend=_rounded(creature.bend * wave) if creature.bend else (),
        squash=_rounded(np.exp(creature.squash * squash_wave)) if creature.squash else (),
    )


def _hinge(asset: Asset, joint: Joint, stride: Float[np.ndarray, " t"]) -> Hinge:
    ends = np.cumsum([0, *(len(part.vertices) for part in asset.parts)]).tolist()
    angles = joint.rest + joint.swing * np.sin(2 * np.pi * (joint.phase + stride))
    return Hinge(ends[joint.first], ends[joint.last], joint.pivot, joint.axis, _rounded(angles))


def _rounded(values: Float[np.ndarray, " t"]) -> tuple[float, ...]:
    return tuple(np.round(values, DECIMALS).tolist())

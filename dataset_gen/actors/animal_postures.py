"""Postures of animals that stay in their place: stand, graze, sit and lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.anatomy import Body, Leg


@dataclass(frozen=True)
class Aim:
    """Where a foot is in a posture, in the coordinates of the mesh in metres, and the angles of its lowest links."""

    x: float
    z: float
    cannon: float
    foot: float = 0.0


@dataclass(frozen=True)
class Posture:
    """How a body is held; angles in radians from x towards z."""

    height: float = 0.0
    """Height of the body above that at rest in metres."""
    pitch: float = 0.0
    feet: Mapping[str, Aim] = field(default_factory=dict)
    """Aims of the hind and fore feet; feet without one stay where they are at rest."""
    neck: float = 0.0
    """How far the neck is raised, shared by its two halves."""
    head: float = 0.0
    """How far the head is raised on the neck."""


def posture(body: Body, name: str) -> Posture:
    """Return a posture of a body. Raises KeyError if there is none of this name."""
    return {"stand": _stand, "graze": _graze, "sit": _sit, "lie": _lie}[name](body)


def _stand(body: Body) -> Posture:  # noqa: ARG001
    return Posture()


def _graze(body: Body) -> Posture:
    """Return the posture in which the nose comes down to the floor, or as far as the neck reaches before the chest."""
    low, skull = np.array(body.anatomy.neck[0][:2]), np.array(body.anatomy.head[0][:2])
    length = np.linalg.norm(skull - low)
    best = 0.0
    for bow in np.linspace(0, -2.4, 49).tolist():
        ahead = _rotation(bow) @ (skull - low)
        if ahead[1] < 0 and ahead[0] < 0.45 * length:
            break
        best = bow
        if _nose_height(body, bow) < 0.03 * body.anatomy.height:
            break
    return Posture(neck=best, head=_nod(best))


def _nod(bow: float) -> float:
    """Return how far a head is raised when the neck bows."""
    return -0.55 * bow


def _nose_height(body: Body, bow: float) -> float:
    """Return the height of the lower side of the nose when the neck bows."""
    (low, middle, _), skull, nose = body.anatomy.neck, body.anatomy.head[0], body.anatomy.head[-1]
    point = np.array(nose[:2])
    for pivot, angle in ((skull, _nod(bow)), (middle, 0.15 * bow), (low, 0.85 * bow)):
        point = _rotation(angle) @ (point - pivot[:2]) + pivot[:2]
    return float(point[1] - nose[2])


def _sit(body: Body) -> Posture:
    """Return the posture in which the rump is on the floor and the forelegs are straight."""
    anatomy, pivot = body.anatomy, np.array((0.0, body.anatomy.torso[len(body.anatomy.torso) // 2][1]))
    hind, fore = anatomy.hind, anatomy.fore
    reach = np.inf if fore is None else 0.97 * _length(fore)
    pitch, height = 0.2, 0.0
    for pitch in np.linspace(1.05, 0.2, 30):
        height = _drop(body, float(pitch))
        if fore is None or _at(fore.joints[0], pitch, pivot)[1] + height < reach:
            break
    hip = _at(hind.joints[0], pitch, pivot)
    aims = {"hind": Aim(float(hip[0]) + 0.55 * _link(hind, 2) + 0.12 * _link(hind, 0), hind.foot[1], -0.12)}
    if fore is not None:
        shoulder = _at(fore.joints[0], pitch, pivot)
        rest = np.subtract(fore.joints[3], fore.joints[2])
        aims["fore"] = Aim(float(shoulder[0]) + 0.02, fore.joints[3][1], float(np.arctan2(rest[1], rest[0])))
    return Posture(height, float(pitch), aims, neck=-0.35 * float(pitch), head=-0.4 * float(pitch))


def _lie(body: Body) -> Posture:
    """Return the posture in which the belly is on the floor and the legs are folded below it."""
    anatomy = body.anatomy
    height = _drop(body, 0.0)
    hind, fore = anatomy.hind, anatomy.fore
    aims = {"hind": Aim(hind.joints[0][0] + 0.9 * _link(hind, 2), hind.foot[1] + 0.01, -0.06)}
    if fore is not None:
        hoofed = fore.foot[0] < 1.6 * fore.foot[1]
        stretched = fore.joints[0][0] + 0.25 * _link(fore, 0) + _link(fore, 2)
        folded = fore.joints[0][0] + 0.35 * _link(fore, 0) - 0.6 * _link(fore, 2)
        aims["fore"] = (
            Aim(folded, fore.radii[3][0], -np.pi + 0.06, -np.pi / 2) if hoofed else Aim(stretched, fore.foot[1], -0.05)
        )
    return Posture(height, 0.0, aims, neck=-0.05)


def _drop(body: Body, pitch: float) -> float:
    """Return by how much a pitched body sinks until its torso touches the floor."""
    anatomy = body.anatomy
    pivot = (0.0, anatomy.torso[len(anatomy.torso) // 2][1])
    lowest = min(
        float(_at((x, z), pitch, pivot)[1] - max(high * abs(np.cos(pitch)), high * 0.6))
        for x, z, high, _ in anatomy.torso
    )
    return -lowest + 0.01 * anatomy.height


def _at(
    point: tuple[float, float], pitch: float, pivot: Float[np.ndarray, " 2"] | tuple[float, float]
) -> Float[np.ndarray, " 2"]:
    return np.asarray(_rotation(pitch) @ np.subtract(point, pivot) + pivot)


def _rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _length(leg: Leg) -> float:
    return sum(_link(leg, k) for k in range(3))


def _link(leg: Leg, k: int) -> float:
    return float(np.linalg.norm(np.subtract(leg.joints[k + 1], leg.joints[k])))

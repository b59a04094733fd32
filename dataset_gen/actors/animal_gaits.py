"""Gaits and postures of animals: where the feet are, and the angles at which the joints of the legs reach them.

Angles are in radians in the x-z plane, counter-clockwise from x towards z; hinges turn by them about (0, -1, 0). Feet
that stand do not slide: their phase follows the distance covered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.anatomy import Leg

GRAVITY = 9.81

Angles = Float[np.ndarray, " t"]


@dataclass(frozen=True)
class Gait:
    """A way to move on legs."""

    offsets: Mapping[str, float]
    """Phase of each leg in strides: hind0, hind1, fore0, fore1."""
    duty: float
    """Share of a stride in which a foot stands."""
    froude: tuple[float, float]
    """Lowest and highest speed squared over gravity times the height of the hips."""
    bob: float = 0.02
    """Amplitude of the body's height, in heights of the hips."""
    flight: bool = False
    """True if no foot stands for part of a stride and the body flies."""
    rock: float = 0.0
    """Amplitude of the body's pitch in radians."""
    arch: float = 0.0
    """Amplitude of the bend of the back in radians."""
    lift: float = 0.12
    """Height of the feet in the middle of a swing, in heights of the hips."""
    fold: float = 0.7
    """How far the lowest long link of a leg folds back in a swing, in radians."""


GAITS: dict[str, Gait] = {
    "walk": Gait({"hind0": 0.0, "fore0": 0.22, "hind1": 0.5, "fore1": 0.72}, 0.64, (0.02, 0.35)),
    "pace": Gait({"hind0": 0.0, "fore0": 0.1, "hind1": 0.5, "fore1": 0.6}, 0.62, (0.02, 0.4), bob=0.015, rock=0.02),
    "trot": Gait({"hind0": 0.0, "fore1": 0.0, "hind1": 0.5, "fore0": 0.5}, 0.42, (0.4, 2.2), 0.03, lift=0.2, fold=1.0),
    "gallop": Gait({"hind0": 0.0, "hind1": 0.1, "fore0": 0.48, "fore1": 0.6}, 0.28, (2.2, 8.0), 0.05,
                   rock=0.09, arch=0.2, lift=0.3, fold=1.3),
    "bound": Gait({"hind0": 0.0, "hind1": 0.03, "fore0": 0.5, "fore1": 0.58}, 0.3, (0.5, 8.0), 0.05, True,
                  rock=0.22, arch=0.3, lift=0.25, fold=0.5),
    "hop": Gait({"hind0": 0.0, "hind1": 0.02}, 0.3, (0.5, 6.0), 0.06, True, rock=0.1, lift=0.1, fold=0.5),
    "strut": Gait({"hind0": 0.0, "hind1": 0.5}, 0.62, (0.02, 0.5), 0.025, rock=0.03, lift=0.22, fold=0.8),
    "run": Gait({"hind0": 0.0, "hind1": 0.5}, 0.4, (0.6, 6.0), 0.05, rock=0.04, lift=0.3, fold=1.0),
}  # fmt: skip
"""Gaits by name; a leg that a gait does not list hangs in the air."""


@dataclass(frozen=True)
class Footfall:
    """The course of a foot: its place relative to its place at rest, and the angles of the lowest links."""

    x: Angles
    z: Angles
    fold: Angles
    """Added to the angle of the lowest long link."""
    droop: Angles
    """Angle of the foot."""
    stands: Float[np.ndarray, " t"]
    """1 while the foot stands."""


@dataclass(frozen=True)
class BodyMotion:
    """The course of the body: its height above that at rest, its pitch and the bend of its back."""

    height: Angles
    pitch: Angles
    arch: Angles
    feet: Mapping[str, Footfall] = field(default_factory=dict)


def stride_length(speed: float, hip: float) -> float:
    """Return the length of a stride in metres, which grows with speed as in walking and running animals.

    The exponent of the Froude number is that of Alexander's comparison of mammals (Nature 261, 1976).
    """
    return float(2.3 * hip * max(speed**2 / (GRAVITY * hip), 0.01) ** 0.3)


def footfall(gait: Gait, name: str, phase: Angles, stride: float, hip: float) -> Footfall:
    """Return the course of a foot at each phase (in strides) of a gait."""
    zero = np.zeros_like(phase)
    if name not in gait.offsets:
        return Footfall(zero, zero, zero, zero, zero)
    along = (phase + gait.offsets[name]) % 1.0
    stands = along < gait.duty
    swing = np.clip((along - gait.duty) / (1 - gait.duty), 0, 1)
    eased = swing - np.sin(2 * np.pi * swing) / (2 * np.pi)
    x = stride * gait.duty * np.where(stands, 0.5 - along / gait.duty, eased - 0.5)
    arc = np.sin(np.pi * swing)
    return Footfall(
        x,
        gait.lift * hip * arc**1.3,
        -gait.fold * arc * (1.2 - 0.6 * swing),
        -0.8 * arc * (1 - swing) + 0.25 * np.sin(np.pi * swing**3),
        stands.astype(np.float64),
    )


def body_motion(gait: Gait, phase: Angles, stride: float, speed: float, hip: float) -> BodyMotion:
    """Return how the body moves and where the feet are at each phase (in strides) of a gait."""
    turn = 2 * np.pi * phase
    feet = {name: footfall(gait, name, phase, stride, hip) for name in ("hind0", "hind1", "fore0", "fore1")}
    if gait.flight:
        along = phase % 1.0
        air = np.clip((along - gait.duty) / (1 - gait.duty), 0, 1)
        time = (1 - gait.duty) * stride / max(speed, 1e-6)
        rise = min(GRAVITY * time**2 / 8, 0.6 * hip)
        height = np.where(
            along < gait.duty, -gait.bob * hip * np.sin(np.pi * along / gait.duty), 4 * rise * air * (1 - air)
        )
        pitch = gait.rock * np.cos(np.pi * 2 * (along - gait.duty * 0.6))
        return BodyMotion(height, pitch, gait.arch * np.sin(turn), feet)
    beats = 1 if gait.arch else 2
    height = -gait.bob * hip * (1 + np.cos(beats * turn - 2 * np.pi * gait.duty)) / 2
    return BodyMotion(height, gait.rock * np.sin(turn + 0.6), gait.arch * np.sin(turn + 0.3), feet)


def leg_angles(leg: Leg, x: Angles, z: Angles, cannon: Angles, foot: Angles) -> tuple[Angles, Angles, Angles, Angles]:
    """Return by how much thigh, shin, cannon and foot turn, each relative to the link that carries it.

    Args:
        leg: The leg at rest.
        x: Place of the foot's joint in the coordinates of the body, in metres.
        z: Its height in the coordinates of the body, in metres.
        cannon: Angle of the link above the foot, in the axes of the body.
        foot: Angle of the foot, in the axes of the body.
    """
    points = np.array(leg.joints)
    links = np.diff(points, axis=0)
    first, second, third = np.linalg.norm(links, axis=1)
    rest = np.arctan2(links[:, 1], links[:, 0])
    bend = np.sign(links[0, 0] * links[1, 1] - links[0, 1] * links[1, 0]) or 1.0
    to_x = x - third * np.cos(cannon) - points[0, 0]
    to_z = z - third * np.sin(cannon) - points[0, 1]
    reach = np.clip(np.hypot(to_x, to_z), abs(first - second) * 1.05 + 1e-6, (first + second) * 0.998)
    inner = np.arccos(np.clip((first**2 + reach**2 - second**2) / (2 * first * reach), -1, 1))
    outer = np.arccos(np.clip((second**2 + reach**2 - first**2) / (2 * second * reach), -1, 1))
    way = np.arctan2(to_z, to_x)
    thigh, shin = way - bend * inner - rest[0], way + bend * outer - rest[1]
    lower = cannon - rest[2]
    thigh, shin, lower = (_wrapped(angle) for angle in (thigh, shin, lower))
    return thigh, _wrapped(shin - thigh), _wrapped(lower - shin), _wrapped(foot - lower)


def _wrapped(angle: Angles) -> Angles:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def turned(x: Angles, z: Angles, angle: Angles, pivot: tuple[float, float]) -> tuple[Angles, Angles]:
    """Turn points of the x-z plane about a pivot by angles from x towards z."""
    dx, dz = x - pivot[0], z - pivot[1]
    return pivot[0] + dx * np.cos(angle) - dz * np.sin(angle), pivot[1] + dx * np.sin(angle) + dz * np.cos(angle)

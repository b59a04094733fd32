"""What subjects do in front of a camera: plans of their paths, relative to what the image shows.

Distances x are in metres to the right of the line along which the camera looks, depths in metres from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.performances import GroundPath
from dataset_gen.places.casting import Actor
from dataset_gen.places.paths import beside, delayed, stand, walk
from dataset_gen.places.shots import Shot, pick

Plot = Literal["cross", "leave", "enter", "return", "away", "towards", "turn", "stand"]

PLOTS: tuple[tuple[Plot, float], ...] = (
    ("cross", 0.24),
    ("leave", 0.15),
    ("enter", 0.12),
    ("return", 0.1),
    ("away", 0.09),
    ("towards", 0.06),
    ("turn", 0.08),
    ("stand", 0.16),
)
"""Plans with their probabilities."""


@dataclass(frozen=True)
class Role:
    """What an actor does: an action along a path."""

    actor: Actor
    action: str
    path: GroundPath


def sample_role(rng: np.random.Generator, shot: Shot, actor: Actor, depth: float, plot: Plot | None = None) -> Role:
    """Sample a role at a depth; without a plot, one of ``PLOTS``."""
    chosen = plot or PLOTS[pick(rng, PLOTS)][0]
    action, speed = actor.choose(rng, chosen != "stand")
    if speed < 0.05:
        chosen = "stand"
    return Role(actor, action, _path(rng, shot, actor, depth, chosen, speed))


def _path(rng: np.random.Generator, shot: Shot, actor: Actor, depth: float, plot: Plot, speed: float) -> GroundPath:
    edge, side = shot.half_width(depth), float(rng.choice((-1, 1)))
    beyond, times = edge + actor.reach + 0.2, shot.times
    if plot == "stand":
        place = shot.place(rng.uniform(-0.75, 0.75) * edge, depth)
        return stand(place, rng.uniform(0, 2 * np.pi), shot.frames, shot.fps)
    if plot in ("away", "towards"):
        angle = rng.uniform(-0.5, 0.5) + np.pi * (plot == "towards")
        way = np.array([np.sin(angle), np.cos(angle)])
        room = 0.0 if plot == "away" else speed * shot.seconds * rng.uniform(0.3, 1.0)
        start = shot.place(rng.uniform(-0.6, 0.6) * edge, depth + room)
        return walk([start, start + way], speed * times, shot.fps)
    if plot == "return":
        return _return(rng, shot, depth, side * beyond, speed)
    if plot == "turn":
        return _turn(rng, shot, depth, side, speed)
    moment, at = {
        "cross": (rng.uniform(0.3, 0.7), rng.uniform(-0.4, 0.4) * edge),
        "leave": (rng.uniform(0.4, 0.85), side * beyond),
        "enter": (rng.uniform(0.15, 0.6), -side * beyond),
    }[plot]
    slant = rng.uniform(-0.35, 0.35) if rng.random() < 0.6 else 0.0
    way = side * np.array([np.cos(slant), np.sin(slant)])
    here = shot.place(at, depth)
    return walk([here, here + way], speed * (times - moment * shot.seconds), shot.fps)


def _return(rng: np.random.Generator, shot: Shot, depth: float, beyond: float, speed: float) -> GroundPath:
    """Leave by the border and come back."""
    out, back = rng.uniform(0.25, 0.5) * shot.seconds, rng.uniform(0.1, 0.25) * shot.seconds
    side, deeper = np.sign(beyond), rng.choice((-1, 1)) * rng.uniform(0.3, 0.6)
    gone = max(speed * back / 2 - abs(deeper), 0.1)
    ways = [beyond - side * max(speed * out, 0.5), beyond, beyond + side * gone, beyond + side * gone, beyond]
    depths = [depth, depth, depth, depth + deeper, depth + deeper]
    points = [shot.place(x, d) for x, d in zip(ways, depths, strict=True)]
    points.append(shot.place(beyond - side * 3.0, depth + deeper))
    return walk(points, speed * shot.times, shot.fps)


def _turn(rng: np.random.Generator, shot: Shot, depth: float, side: float, speed: float) -> GroundPath:
    """Turn within the image."""
    reach = speed * shot.seconds
    middle = shot.place(rng.uniform(-0.3, 0.3) * shot.half_width(depth), depth)
    start, angle = rng.uniform(0, 2 * np.pi), side * rng.uniform(0.6, 2.4)
    first, last = np.array([np.cos(start), np.sin(start)]), np.array([np.cos(start + angle), np.sin(start + angle)])
    points = [middle - first * max(reach / 2, 0.5), middle, middle + last * max(reach / 2, 0.5)]
    return walk(points, speed * shot.times, shot.fps)


def companion(rng: np.random.Generator, role: Role, actor: Actor) -> Role:
    """Return the role of someone who walks or stands hand in hand with another, or close behind."""
    length = float(role.path.travelled[-1])
    action, speed = actor.choose(rng, length > 0.3, length / max(len(role.path.positions) - 1, 1) * role.path.fps)
    if length <= 0.3 or speed == 0.0:
        angle, apart = rng.uniform(0, 2 * np.pi), _apart(rng, role.actor, actor)
        place = role.path.positions[0] + apart * np.array([np.cos(angle), np.sin(angle)])
        frames = len(role.path.positions)
        return Role(actor, action, stand(place, rng.uniform(0, 2 * np.pi), frames, role.path.fps))
    if rng.random() < 0.3:
        gap = role.actor.reach + actor.reach + rng.uniform(0.1, 1.2)
        return Role(actor, action, delayed(role.path, gap))
    left = rng.choice((-1, 1)) * _apart(rng, role.actor, actor)
    return Role(actor, action, beside(role.path, rng.uniform(-0.35, 0.35), left))


def passer(rng: np.random.Generator, shot: Shot, role: Role, actor: Actor) -> Role:
    """Return the role of someone who crosses another's path in the image, before or behind."""
    action, speed = actor.choose(rng, True)
    moment = int(rng.uniform(0.25, 0.75) * (shot.frames - 1))
    met = role.path.positions[moment]
    depth = met[1] + shot.distance
    apart = role.actor.reach + actor.reach + rng.uniform(0.1, 0.8)
    nearer = depth - apart > 0.45 * depth and rng.random() < 0.6
    place = np.array(
        [met[0] * (1 - apart / depth if nearer else 1 + apart / depth), met[1] + (-apart if nearer else apart)]
    )
    if speed < 0.05:
        return Role(actor, action, stand(place, rng.uniform(0, 2 * np.pi), shot.frames, shot.fps))
    side, slant = float(rng.choice((-1, 1))), rng.uniform(-0.25, 0.25)
    way = side * np.array([np.cos(slant), np.sin(slant)])
    return Role(actor, action, walk([place, place + way], speed * (shot.times - shot.times[moment]), shot.fps))


def hides_for_good(
    rng: np.random.Generator, shot: Shot, actor: Actor, depth: float
) -> tuple[Role, Float[np.ndarray, " 2"]]:
    """Return the role of someone who walks to a place and stays there, and that place."""
    action, speed = actor.choose(rng, True)
    side, edge = float(rng.choice((-1, 1))), shot.half_width(depth)
    end = shot.place(rng.uniform(-0.5, 0.5) * edge, depth)
    way = side * np.array([1.0, rng.uniform(-0.2, 0.2)])
    arrival = rng.uniform(0.4, 0.7) * shot.seconds
    travelled = np.minimum(speed * (shot.times - arrival), 0.0)
    return Role(actor, action, walk([end, end + way], travelled, shot.fps)), end


def _apart(rng: np.random.Generator, one: Actor, other: Actor) -> float:
    """Return the distance in metres between two who stay close together."""
    wide = (min(one.extent[1], one.extent[2] / 2) + min(other.extent[1], other.extent[2] / 2)) / 2
    return float(max(0.38, wide * rng.uniform(0.75, 1.2)))

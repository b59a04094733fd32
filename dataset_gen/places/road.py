"""Streets as a car's camera sees them: the road ahead with traffic, parked cars at its sides, and people beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataset_gen.assets import Split
from dataset_gen.places.backdrops import house_ids, load_backdrop
from dataset_gen.places.casting import CASTS, Actor, actor, one_of, one_of_kinds
from dataset_gen.places.paths import stand, walk
from dataset_gen.places.plots import Role
from dataset_gen.places.sets import Place, collide
from dataset_gen.places.shots import SENSOR, Shot, pick
from dataset_gen.props.catalogue import load_prop, occluder_ids
from vidamodal.worlds.place_views import shake
from vidamodal.worlds.spec import CameraSpec

DRIVES = 0.35
"""Share of street scenes that a car's camera sees."""

ASPECTS = ((1242 / 375, 0.5), (2.35, 0.15), (16 / 9, 0.3), (4 / 3, 0.05))

ROADSIDE = (
    "bollard",
    "bus_shelter",
    "bush",
    "hedge",
    "lamp_post",
    "pole",
    "sign",
    "tree",
    "wheelie_bin",
    "parked_boxes",
)

CARS = ("hatchback", "saloon", "suv", "estate", "hatchback", "saloon", "van", "pickup", "lorry", "bus", "tram")
"""Kinds of vehicles that drive on streets; those that are listed twice are twice as frequent."""

PARKED = ("hatchback", "saloon", "suv", "estate", "hatchback", "saloon", "van", "pickup", "bicycle", "motorcycle")
"""Kinds of vehicles that are parked."""

RIDDEN = ("bicycle", "bicycle", "bicycle", "bicycle", "moped", "motorcycle", "kick_scooter", "skateboard")
"""Kinds of vehicles that people ride."""

LANE = 3.2
"""Width of a lane in metres."""


@dataclass(frozen=True)
class Road:
    """A road along +y, seen from x = 0; lengths in metres."""

    speed: float
    """Speed of the camera in metres per second, 0 or more."""
    left: float
    """Where the cars on the left are parked."""
    right: float
    end: float
    """How far it is filled."""


def drive(
    split: Split,
    frames: int,
    layout: np.random.Generator,
    look: np.random.Generator,
    motion: np.random.Generator,
    lens: np.random.Generator,
) -> tuple[Place, CameraSpec, float]:
    """Compose a drive; return the scene with its camera and the width of the image over its height."""
    aspect = ASPECTS[pick(lens, ASPECTS)][0]
    fps = float(lens.choice((10.0, 10.0, 12.0, 15.0, 25.0, 30.0)))
    focal = lens.uniform(19, 30) if aspect > 2 else lens.uniform(22, 40)
    shot = Shot(aspect, float(focal), 0.0, float(lens.uniform(1.2, 2.0)), 0.0, frames, fps)
    road = Road(
        speed=float(lens.choice((0.0, lens.uniform(1, 6), lens.uniform(5, 13)), p=(0.25, 0.4, 0.35))),
        left=-float(layout.uniform(1.4, 2.2) * LANE) - 0.4,
        right=float(layout.uniform(0.95, 1.4) * LANE) + 0.4,
        end=float(layout.uniform(30, 70)),
    )
    scene = Place(split, shot, layout, look, motion)
    _traffic(scene, road)
    _pedestrians(scene, road)
    _parked(scene, road)
    _roadside(scene, road)
    return scene, _camera(lens, shot, road), aspect


def _camera(rng: np.random.Generator, shot: Shot, road: Road) -> CameraSpec:
    """Return a camera that drives along +y; it looks 3 m ahead."""
    frames = shot.frames
    yaw, turn = rng.normal(0, 0.04), rng.normal(0, 0.1) if rng.random() < 0.3 else 0.0
    angles = yaw + turn * np.linspace(-0.5, 0.5, frames)
    position = np.stack([np.zeros(frames), road.speed * shot.times, np.full(frames, shot.height)], axis=1)
    ahead = 3.0 * np.stack([np.sin(angles), np.cos(angles), np.full(frames, rng.uniform(-0.06, 0.01))], axis=1)
    target = position + ahead + shake(rng, frames, 0.004) * 3.0
    return CameraSpec(
        focal_length=round(shot.focal_length, 3),
        sensor_width=SENSOR,
        positions=tuple(map(tuple, position.round(3).tolist())),
        targets=tuple(map(tuple, target.round(3).tolist())),
    )


def _traffic(scene: Place, road: Road) -> None:
    """Add vehicles that drive ahead, come towards the camera, pass it, or cross the road."""
    rng, shot = scene.layout, scene.shot
    for _ in range(int(rng.integers(0, 5))):
        other = _driver(rng, scene.split)
        action, speed = other.choose(rng, True, float(rng.uniform(2, 12)))
        what = rng.random()
        if what < 0.4:  # the same way
            lane = 0.0 if rng.random() < 0.6 else LANE
            start, way = np.array([lane - rng.normal(0, 0.2), rng.uniform(6, 35)]), np.array([0.0, 1.0])
            speed = (
                float(np.clip(road.speed * rng.uniform(0.7, 1.3), *other.actions[action])) if road.speed > 1 else speed
            )
        elif what < 0.8:  # towards the camera
            start, way = np.array([-LANE + rng.normal(0, 0.2), rng.uniform(10, 60)]), np.array([0.0, -1.0])
        else:
            side = rng.choice((-1, 1))
            depth = rng.uniform(8, 25) + road.speed * shot.seconds / 2
            start, way = (
                np.array([0.0, depth]) - side * np.array([speed * shot.seconds / 2, 0.0]),
                np.array([side, 0.0]),
            )
        _play(scene, road, Role(other, action, walk([start, start + way], speed * shot.times, shot.fps)))


def _driver(rng: np.random.Generator, split: Split) -> Actor:
    """Choose a car, or a rider with what carries it as one track or as two."""
    kind = rng.random()
    if kind < 0.15:
        return actor(rng, CASTS["rider"], split)
    return actor(rng, CASTS["vehicle"], split, RIDDEN if kind < 0.23 else CARS)


def _pedestrians(scene: Place, road: Road) -> None:
    """Add people on the pavements and some who cross the road."""
    rng, shot = scene.layout, scene.shot
    for _ in range(int(rng.integers(0, 6))):
        other = actor(rng, CASTS["person"], scene.split)
        moves = rng.random() < 0.8
        action, speed = other.choose(rng, bool(moves), 1.4)
        x = road.left - rng.uniform(1.3, 3.0) if rng.random() < 0.5 else road.right + rng.uniform(1.3, 3.0)
        start = np.array([x, rng.uniform(5, 28)])
        if speed < 0.05:
            path = stand(start, rng.uniform(0, 2 * np.pi), shot.frames, shot.fps)
        else:
            way = np.array([0.0, rng.choice((-1, 1))])
            if rng.random() < 0.3:
                way = np.array([-np.sign(x), rng.normal(0, 0.2)])
                start = np.array(
                    [x * rng.uniform(0.2, 1.0), start[1] + road.speed * shot.seconds * rng.uniform(0.3, 1.0)]
                )
            path = walk([start, start + way], speed * shot.times, shot.fps)
        _play(scene, road, Role(other, action, path))


def _parked(scene: Place, road: Road) -> None:
    """Add parked vehicles at both sides; they are as much worth a track as the others."""
    rng, shot = scene.layout, scene.shot
    cast = CASTS["vehicle"]
    for x, heading in ((road.left, -np.pi / 2), (road.right, np.pi / 2)):
        if rng.random() < 0.2:
            continue
        y = rng.uniform(4, 12)
        while y < road.end and sum(not thing.scenery for thing in scene.objects) < 14:
            car = actor(rng, cast, scene.split, PARKED)
            length = float(car.extent[0])
            place = np.array([x + rng.normal(0, 0.1), y + length / 2])
            if rng.random() < 0.75 and scene.is_free(place, length / 3):
                action, _ = car.choose(rng, False)
                turn = heading + rng.normal(0, 0.03) + np.pi * (rng.random() < 0.15)
                _play(scene, road, Role(car, action, stand(place, turn, shot.frames, shot.fps)))
            y += length + rng.uniform(0.5, 2.5)


def _play(scene: Place, road: Road, role: Role) -> None:
    """Add an actor unless it runs into another one or into the camera."""
    shot, path = scene.shot, role.path.positions
    eye = np.stack([np.zeros(shot.frames), road.speed * shot.times], axis=1)
    if (np.linalg.norm(path - eye, axis=1) < role.actor.reach + 1.2).any():
        return
    if not any(collide(role, other) for other in scene.roles):
        scene.act(role)


def _roadside(scene: Place, road: Road) -> None:
    """Add poles, trees and other things beside the road, and house fronts."""
    rng, ids = scene.layout, occluder_ids(scene.split)
    for _ in range(int(rng.integers(0, 9))):
        asset = load_prop(one_of_kinds(rng, ids, ROADSIDE))
        width = float(np.ptp(asset.mesh.vertices[:, 1]))
        side = rng.choice((-1, 1))
        x = (road.left if side < 0 else road.right) + side * (1.2 + rng.uniform(0, 0.8))
        place = np.array([x, rng.uniform(4, road.end)])
        if scene.is_free(place, max(width / 2, 0.25)):
            heading = -np.pi / 2 if width < 1.0 else float(np.pi / 2 - side * np.pi / 2)
            scene.put(asset, (float(place[0]), float(place[1]), 0.0), heading, True)
    for side, edge in ((-1, road.left), (1, road.right)):
        if rng.random() < 0.7:
            gap = rng.uniform(3.5, 8.0)
            for middle in (10.0, 55.0):
                asset = load_backdrop(one_of(rng, house_ids(scene.split)))
                scene.put(
                    asset, (float(edge + side * gap), middle, 0.0), float(np.pi / 2 - side * np.pi / 2 + np.pi), True
                )

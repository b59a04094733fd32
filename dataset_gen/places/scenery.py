"""What stands and flies around the subjects: occluders before their paths, furniture, balls, and backdrops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from dataset_gen.assets import Asset
from dataset_gen.places.backdrops import house_ids, load_backdrop, wall_ids
from dataset_gen.places.casting import one_of, one_of_kinds
from dataset_gen.places.plots import Role
from dataset_gen.places.sets import Place, clear_of_camera
from dataset_gen.places.shots import Shot
from dataset_gen.props.catalogue import carried_ids, load_prop
from vidamodal.worlds.spec import CameraSpec, Pose

GRAVITY = 9.81

_TRIES = 12

Ids = Mapping[str, Sequence[str]]


def occlude(scene: Place, camera: CameraSpec, ids: Ids, kinds: Sequence[str], role: Role, scenery: bool = True) -> bool:
    """Put something between the camera and the place of an actor at some moment.

    Returns:
        True if there was room.
    """
    rng = scene.layout
    shown = frames_in_view(scene.shot, camera, role)
    for _ in range(_TRIES):
        asset = load_prop(one_of_kinds(rng, ids, kinds))
        frame = int(shown[int(rng.uniform(0.15, 0.85) * len(shown))])
        eye, subject = np.array(camera.positions[frame])[:2], role.path.positions[frame]
        share = rng.uniform(0.4, 0.92)
        place = eye + share * (subject - eye) + rng.normal(0, 0.15, 2)
        if put_facing(scene, camera, asset, place, eye, scenery):
            return True
    return False


def frames_in_view(shot: Shot, camera: CameraSpec, role: Role) -> Int[np.ndarray, " k"]:
    """Return the frames in which an actor stands within the sides of the image; all frames if there are none."""
    eye, target = (np.array(points)[:, :2] for points in (camera.positions, camera.targets))
    ahead = (target - eye) / np.maximum(np.linalg.norm(target - eye, axis=1, keepdims=True), 1e-9)
    apart = role.path.positions - eye
    depth = (apart * ahead).sum(axis=1)
    aside = apart[:, 0] * ahead[:, 1] - apart[:, 1] * ahead[:, 0]
    shown = np.flatnonzero((depth > 0.5) & (np.abs(aside) < shot.across * depth))
    return shown if len(shown) else np.arange(shot.frames)


def hide_for_good(
    scene: Place, camera: CameraSpec, ids: Ids, kinds: Sequence[str], end: Float[np.ndarray, " 2"]
) -> bool:
    """Put the widest of some occluders right before a place."""
    rng = scene.layout
    assets = [load_prop(one_of_kinds(rng, ids, kinds)) for _ in range(4)]
    assets.sort(key=lambda asset: -float(np.prod(np.ptp(asset.mesh.vertices[:, 1:], axis=0))))
    eye = np.array(camera.positions[-1])[:2]
    away = float(np.linalg.norm(end - eye))
    for asset in assets:
        thick = float(np.ptp(asset.mesh.vertices[:, 0])) / 2
        if put_facing(scene, camera, asset, end + (eye - end) * ((thick + 0.6) / away), eye, True, 0.12):
            return True
    return False


def put_facing(
    scene: Place,
    camera: CameraSpec,
    asset: Asset,
    place: Float[np.ndarray, " 2"],
    eye: Float[np.ndarray, " 2"],
    scenery: bool,
    spread: float = 0.4,
) -> bool:
    """Put a thing with its front roughly towards a point, if it blocks no path and no camera."""
    length, width, _ = np.ptp(asset.mesh.vertices, axis=0)
    heading = float(np.arctan2(*(eye - place)[::-1]) + scene.layout.normal(0, spread))
    across = np.array([-np.sin(heading), np.cos(heading)])
    count = max(1, round(float(width / max(length, 0.3))))
    centres = [place + across * width * ((k + 0.5) / count - 0.5) for k in range(count)]
    radius = float(max(length, width / count)) / 2
    if not all(scene.is_free(centre, radius) and clear_of_camera(camera, centre, radius + 0.5) for centre in centres):
        return False
    scene.put(asset, (float(place[0]), float(place[1]), 0.0), heading, scenery)
    return True


def furnish(scene: Place, camera: CameraSpec, ids: Ids, count: int, size: tuple[float, float], scenery: float) -> None:
    """Put things at free places on the ground.

    Args:
        scene: The scene.
        camera: Camera that needs room.
        ids: Ids by kind.
        count: Number of things to try.
        size: Half the extent of the ground in metres, along x and y.
        scenery: Share that has no track.
    """
    rng, kinds = scene.layout, sorted(ids)
    for _ in range(count):
        asset = load_prop(one_of_kinds(rng, ids, kinds))
        place = np.array([rng.uniform(-size[0], size[0]), rng.uniform(-0.8 * size[1], size[1])])
        towards = place + rng.normal(size=2)
        put_facing(scene, camera, asset, place, towards, bool(rng.random() < scenery), 0.0)


def throw(scene: Place, camera: CameraSpec, role: Role) -> None:
    """Let a ball or another thing fly, bounce or roll past an actor, before it as seen from the camera."""
    rng, shot = scene.motion, scene.shot
    ids = carried_ids(scene.split)
    kind = ("ball", "ball", "ball", "frisbee", "balloon", "parcel")[int(rng.integers(6))]
    asset = load_prop(one_of(rng, ids[kind]))
    moment = rng.uniform(0.2, 0.8)
    frame = int(moment * (shot.frames - 1))
    eye, subject = np.array(camera.positions[frame])[:2], role.path.positions[frame]
    met = eye + rng.uniform(0.6, 0.93) * (subject - eye)
    speed = rng.uniform(0.6, 4.0) if kind != "balloon" else rng.uniform(0.1, 0.6)
    side, slant = rng.choice((-1, 1)), rng.uniform(-0.4, 0.4)
    times = shot.times - moment * shot.seconds
    ground = met + np.outer(times * speed, (side * np.cos(slant), np.sin(slant)))
    height = _flight(rng, kind, times, float(role.actor.extent[2]))
    turn = rng.uniform(-1, 1) * speed * 4 * times
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    if kind in ("balloon", "frisbee"):
        axis = np.array([0.0, 0.0, 1.0])
    middle = (asset.mesh.vertices.max(axis=0) + asset.mesh.vertices.min(axis=0)) / 2
    scene.move(
        asset, tuple(_spinning(np.append(g, h), a, axis, middle) for g, h, a in zip(ground, height, turn, strict=True))
    )


def _flight(
    rng: np.random.Generator, kind: str, times: Float[np.ndarray, " t"], tall: float
) -> Float[np.ndarray, " t"]:
    """Return the height of a thing's lowest point: it bounces, rolls, glides or rises."""
    at = rng.uniform(0.1, 0.9) * tall
    if kind == "balloon":
        return np.asarray(np.maximum(at - 0.8 + rng.uniform(0.1, 0.5) * (times - times[0]), 0.0))
    if kind == "frisbee":
        return np.asarray(np.maximum(at + 0.2 * np.sin(times + rng.uniform(0, 6)), 0.0))
    if rng.random() < 0.3:
        return np.zeros(len(times))
    top = max(at, 0.2) * rng.uniform(1.0, 1.6)
    half = np.sqrt(2 * top / GRAVITY)
    phase = (times + rng.uniform(-1, 1) * half) % (2 * half) - half
    return np.asarray(top - GRAVITY / 2 * phase**2)


def _spinning(
    base: Float[np.ndarray, " 3"], angle: float, axis: Float[np.ndarray, " 3"], middle: Float[np.ndarray, " 3"]
) -> Pose:
    """Return the pose of a thing that is turned about its middle and would stand on ``base`` if it were not."""
    w, (x, y, z) = np.cos(angle / 2), np.sin(angle / 2) * axis
    vector = np.array([x, y, z])
    moved = middle + 2 * np.cross(vector, np.cross(vector, middle) + w * middle)
    position = base + middle - moved
    return Pose(tuple(position.tolist()), (float(w), float(x), float(y), float(z)))


def house_fronts(scene: Place, distance: float) -> None:
    """Put rows of houses at a distance beyond the origin, along x."""
    rng = scene.layout
    for x in (-34.0, 11.0) if rng.random() < 0.5 else (-11.0, 34.0):
        asset = load_backdrop(one_of(rng, house_ids(scene.split)))
        scene.put(asset, (float(x), float(distance), 0.0), -np.pi / 2, True)


def walls(scene: Place, half_width: float, back: float) -> None:
    """Put a back wall beyond the origin and side walls; the side of the camera stays open."""
    rng = scene.layout
    high, front = rng.uniform(2.4, 3.4), -0.5
    wall = load_backdrop(one_of(rng, wall_ids(scene.split)))
    scene.put(wall, (0.0, back + 0.1, 0.0), 0.0, True, (round(2 * half_width + 4, 2), 0.2, round(high, 2)))
    for side in (-1, 1):
        middle, long = (back + front) / 2, back - front
        scene.put(wall, (side * half_width, middle, 0.0), 0.0, True, (0.2, round(long, 2), round(high, 2)))

"""Mask-only worlds: simulated scenes from which clips of exact masks are sampled, without Blender.

A folder of worlds (``python -m dataset_gen --masks-only``) holds ``worlds.jsonl`` with one SceneSpec per line, and
``meshes.safetensors`` with the triangles of their assets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from safetensors import SafetensorError
from safetensors.numpy import load_file

from vidamodal.types import InputError
from vidamodal.worlds.mesh_arrays import mesh_from_arrays
from vidamodal.worlds.place_views import PLACES, sample_view
from vidamodal.worlds.rasterize import ImageSize, floor_disparity, height_and_width, rasterize, visible_and_amodal
from vidamodal.worlds.spec import CameraSpec, Mesh, ObjectSpec, Pose, SceneSpec, place_object

WORLDS = "worlds.jsonl"
"""File by which a folder of worlds is recognised."""

CameraKind = Literal["fixed", "linear", "orbit"]

CAMERAS: tuple[CameraKind, ...] = ("fixed", "linear", "orbit", "orbit")
"""Kinds of camera for moving objects; each entry is equally likely."""


RETURNING = 0.3
"""Share of vanishing objects that return."""

MOST_TRIES = 1000
"""Worlds that are tried in search of one from which not all objects are left out."""


@dataclass(frozen=True)
class WorldConfig:
    """The distribution of clips that are sampled from worlds."""

    size: int = 256
    """Side of the square image in pixels; streets, rooms and fields have images of their own shape and a height of
    112 to 192 pixels."""
    frames: int = 24
    """Number of frames."""
    spacing: tuple[int, ...] = (1,)
    """Frames of the video from one sampled frame to the next; each value is equally likely. With 4, the sampled frames
    are every fourth of a clip four times as long, in which objects are hidden for longer. Worlds and recorded clips get
    the largest value that they are long enough for, up to the sampled one."""
    drop: float = 0.3
    """Greatest share of a world's objects that are left out; the share is uniform."""
    move: float = 0.2
    """Share of clips of static worlds in which one to three objects fly along straight lines, turning."""
    vanish: float = 0.0
    """Share of clips in which one to three objects vanish at a random time, without an occluder; some of them return
    later."""
    without: tuple[str, ...] = ()
    """Families of assets, such as "person" or "hedge", that are left out of all worlds."""


@dataclass(frozen=True)
class ClipMasks:
    """True masks of n objects over t frames."""

    visible: Bool[np.ndarray, "n t h w"]
    amodal: Bool[np.ndarray, "n t h w"]
    known: Bool[np.ndarray, "n t"] | None = None
    """Object-frames with known masks; masks of others are empty. None: all are known."""
    image: UInt8[np.ndarray, "t h w 3"] | None = None
    """The frames; None if there are no images."""
    exhaustive: bool = True
    """True if nothing but the n objects occludes any of them."""
    labels: tuple[str | None, ...] | None = None
    """Labels of the objects, where known."""
    scenery: Bool[np.ndarray, " n"] | None = None
    """Objects that occlude others and are never completed themselves. None: there are none."""
    disparity: Float[np.ndarray, "t h w"] | None = None
    """One over the depth of the nearest surface in metres, 0 for the sky; None if unknown."""
    spacing: int = 1
    """Frames of the video from one of the t frames to the next."""


def sample_spacing(rng: np.random.Generator, config: WorldConfig, longest: int | None) -> int:
    """Sample how far apart the frames of a clip are.

    Args:
        rng: Source of the choice, which is not used if there is none.
        config: The spacings to choose from.
        longest: Number of frames of the video; None if it may have any length.
    """
    spacing = int(rng.choice(config.spacing)) if len(config.spacing) > 1 else config.spacing[0]
    while spacing > 1 and longest is not None and spacing * (config.frames - 1) >= longest:
        spacing -= 1
    return spacing


@dataclass(frozen=True)
class WorldBank:
    """Simulated scenes and the meshes of their objects."""

    worlds: tuple[SceneSpec, ...]
    meshes: Mapping[str, Mesh]

    def __len__(self) -> int:
        return len(self.worlds)

    @staticmethod
    def load(folder: Path) -> WorldBank:
        """Read a folder of worlds.

        Raises:
            InputError: If the folder holds no worlds, or damaged ones.
        """
        try:
            with (folder / WORLDS).open(encoding="utf-8") as lines:
                worlds = tuple(SceneSpec.from_json(json.loads(line)) for line in lines)
            arrays = load_file(folder / "meshes.safetensors")
            assets = {o.asset for world in worlds for o in world.objects}
            meshes = {asset: mesh_from_arrays(asset, arrays) for asset in sorted(assets)}
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise InputError(
                f"{folder}: this is not a folder of worlds ({error}). To make one, run "
                f"`python -m dataset_gen --masks-only --out {folder} --scenes 1000 --seed 1`."
            ) from error
        if not worlds:
            raise InputError(
                f"{folder}/{WORLDS}: the file holds no world. To make some, run `python -m dataset_gen --masks-only`."
            )
        return WorldBank(worlds, meshes)

    def sample(self, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        """Sample a clip: some objects of a random world, seen by a random camera.

        In a static world the camera orbits, and some objects may fly. A world of a street, a room or a field is seen
        by its own camera, which is moved a little, over a random stretch of its frames.

        Raises:
            InputError: If a world with moving objects is shorter than the clip, or if all families are left out.
        """
        world = self._sample_world(rng, config.without)
        moves = any(not thing.still for thing in world.objects)
        ends = moves or world.preset in PLACES
        spacing = sample_spacing(rng, config, world.frames if ends else None)
        if world.preset in PLACES:
            view = sample_view(world, rng, config.frames, config.drop, spacing)
            exist = _sample_existence(view.objects, rng, config)
            masks = clip_masks(view.objects, self.meshes, view.camera, view.frames, view.size, exist)
            return replace(masks, spacing=spacing)
        kept = rng.random(len(world.objects)) >= rng.uniform(0, config.drop)
        kept[rng.integers(len(kept))] = True
        objects = [o for o, keep in zip(world.objects, kept, strict=True) if keep]
        kind: CameraKind = "orbit"
        frames = range(0, spacing * (config.frames - 1) + 1, spacing)
        if moves:
            if world.frames < config.frames:
                raise InputError(
                    f"world {world.seed} ({world.preset}): its objects move for {world.frames} frames, but clips have "
                    f"{config.frames}. Generate the worlds with {config.frames} frames, or reduce sample.world.frames."
                )
            kind = CAMERAS[rng.integers(len(CAMERAS))]
        elif rng.random() < config.move:
            for k in rng.permutation(len(objects))[: rng.integers(1, 4)]:
                objects[k] = _fly(objects[k], rng, frames.stop)
        camera = random_camera(rng, frames.stop, kind)
        exist = _sample_existence(objects, rng, config)
        return replace(clip_masks(tuple(objects), self.meshes, camera, frames, config.size, exist), spacing=spacing)

    def _sample_world(self, rng: np.random.Generator, without: Sequence[str]) -> SceneSpec:
        """Sample a world that still shows an object when some families are left out."""
        if not without:
            return self.worlds[rng.integers(len(self.worlds))]
        for _ in range(MOST_TRIES):
            world = self.worlds[rng.integers(len(self.worlds))]
            objects = tuple(o for o in world.objects if o.asset.partition("/")[0] not in without)
            if any(not o.scenery for o in objects):
                return replace(world, objects=objects)
        raise InputError(f"no object is left in the worlds without {', '.join(without)}. Leave out fewer families.")


def clip_masks(
    objects: tuple[ObjectSpec, ...],
    meshes: Mapping[str, Mesh],
    camera: CameraSpec,
    frames: int | Sequence[int],
    size: ImageSize,
    exist: Bool[np.ndarray, "n t"] | None = None,
) -> ClipMasks:
    """Rasterise objects over frames of a camera's path.

    Backdrops that occlude nothing are only part of the disparity.

    Args:
        objects: Objects of the scene.
        meshes: Meshes of their assets by name.
        camera: Camera with a position for each frame.
        frames: Number of frames, or the frames of the scene to show.
        size: Size of the image.
        exist: False in frames in which an object is not part of the scene. None: all objects always are.
    """
    shown = range(frames) if isinstance(frames, int) else frames
    faces = [meshes[o.asset].faces for o in objects]
    still = [place_object(meshes[o.asset], o, 0) if o.still else None for o in objects]
    height, width = height_and_width(size)
    visible = np.zeros((len(objects), len(shown), height, width), dtype=bool)
    amodal = np.zeros_like(visible)
    disparity = np.empty(visible.shape[1:], dtype=np.float32)
    for t, frame in enumerate(shown):
        vertices = [
            place_object(meshes[o.asset], o, frame) if v is None else v for v, o in zip(still, objects, strict=True)
        ]
        depth = rasterize(vertices, faces, camera, frame, size)
        if exist is not None:
            depth[~exist[:, t]] = np.inf
        visible[:, t], amodal[:, t] = visible_and_amodal(depth)
        disparity[t] = np.maximum(1 / depth.min(axis=0, initial=np.inf), floor_disparity(camera, frame, size))
    scenery = np.array([o.scenery for o in objects], dtype=bool)
    if not scenery.any():
        return ClipMasks(visible, amodal, disparity=disparity)
    listed = ~np.array([o.backdrop for o in objects], dtype=bool)
    for k in np.flatnonzero(~listed):
        listed[k] = (visible[k] & amodal[~scenery].any(axis=0)).any()
    return ClipMasks(visible[listed], amodal[listed], scenery=scenery[listed], disparity=disparity)


def random_camera(rng: np.random.Generator, frames: int, kind: CameraKind) -> CameraSpec:
    """Sample a camera that looks at the objects.

    Args:
        rng: Source of all parameters.
        frames: Number of frames.
        kind: "orbit" moves on an arc around the objects with changing height, distance and target; "fixed" stays at
            the start of the arc; "linear" moves straight towards its end.
    """
    along = np.linspace(0, 1, frames)
    arc = np.deg2rad(rng.uniform(15, 200)) * rng.choice([-1, 1])
    azimuth = rng.uniform(0, 2 * np.pi) + arc * along
    elevation = np.deg2rad(rng.uniform(12, 55) + rng.uniform(-8, 8) * along)
    radius = rng.uniform(4.5, 8.5) + rng.uniform(-0.8, 0.8) * along
    target = rng.normal(0, (0.3, 0.3, 0.15)) + (0, 0, 0.5) + along[:, None] * rng.normal(0, (0.25, 0.25, 0.1))
    flat = radius * np.cos(elevation)
    position = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), radius * np.sin(elevation)], axis=1)
    if kind == "fixed":
        position, target = (np.repeat(path[:1], frames, axis=0) for path in (position, target))
    elif kind == "linear":
        way = position[-1] - position[0]
        length = max(float(np.linalg.norm(way)), 1e-6)
        position = position[0] + along[:, None] * way * min(1.0, rng.uniform(0.5, 3.0) / length)
    return CameraSpec(
        focal_length=float(rng.uniform(28, 45)),
        sensor_width=32.0,
        positions=tuple(map(tuple, position.tolist())),
        targets=tuple(map(tuple, target.tolist())),
    )


def _sample_existence(
    objects: Sequence[ObjectSpec], rng: np.random.Generator, config: WorldConfig
) -> Bool[np.ndarray, "n t"] | None:
    """Return the frames in which each object exists; None if all objects always do."""
    candidates = np.flatnonzero([not o.scenery for o in objects])
    if not config.vanish or not len(candidates) or rng.random() >= config.vanish:
        return None
    exist = np.ones((len(objects), config.frames), dtype=bool)
    for k in rng.permutation(candidates)[: rng.integers(1, 4)]:
        start, stop = np.sort(rng.integers(1, config.frames + 1, 2))
        exist[k, start : stop if rng.random() < RETURNING else None] = False
    return exist


def _fly(obj: ObjectSpec, rng: np.random.Generator, frames: int) -> ObjectSpec:
    """Move an object along a straight line above the floor, turning about one axis."""
    heading = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(heading), np.sin(heading), rng.uniform(-0.15, 0.15)])
    middle = np.array([*rng.normal(0, 1.0, 2), rng.uniform(0.4, 1.8)])
    along = np.linspace(-0.5, 0.5, frames) + rng.uniform(-0.3, 0.3)
    position = middle + direction * rng.uniform(0.3, 5) * along[:, None]
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    half = rng.uniform(0, 2 * np.pi) + rng.uniform(0, np.pi) * along
    turn = np.concatenate([np.cos(half)[:, None], np.sin(half)[:, None] * axis], axis=1)
    poses = tuple(Pose(tuple(p), tuple(q)) for p, q in zip(position.tolist(), turn.tolist(), strict=True))
    return replace(obj, poses=poses)
